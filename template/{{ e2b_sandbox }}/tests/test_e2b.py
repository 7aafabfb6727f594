# Part of the template: changes belong there (`copier update` merges this file).
"""The sandbox at E2B: E2B's own client, against the stand-in of its service, which runs the code for real."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from standins import e2b as standin
from standins.e2b import ID_VARIABLE, SERVICE_VARIABLE, Service, marked

from gymkit.project import ROOT
from gymkit.rows import Row, expected_output
from sandbox import CellResult, ProviderLost, SandboxFileError, SandboxLost
from sandbox.backend import E2BSandbox, SandboxSettings, check

Work = Callable[[E2BSandbox], Coroutine[Any, Any, Any]]
Cells = Callable[..., list[CellResult]]


@pytest.fixture(scope="module")
def own_service() -> Iterator[Service]:
    with standin.serve() as service:
        yield service


@pytest.fixture
def service(own_service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service with the sandboxes of the test alone, which it may refuse, change and watch."""
    for name, value in own_service.environment().items():
        monkeypatch.setenv(name, value)
    own_service.created = 0
    yield own_service
    own_service.refusal = None
    assert own_service.running() == []


def in_sandbox(work: Work, **settings: Any) -> Any:
    """What `work` returns, given a started sandbox that is closed afterwards."""

    async def run() -> Any:
        sandbox = E2BSandbox(SandboxSettings(**settings))
        await sandbox.start()
        try:
            return await work(sandbox)
        finally:
            await sandbox.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def in_shared() -> Iterator[Callable[[Work], Any]]:
    """The same for a sandbox that tests share which leave it usable. It has files of all kinds, and low limits."""
    prepare = (
        "echo here > here.txt; ln -s /etc/hostname link; ln -s /etc linked; mkdir folder; mkfifo pipe;"
        "head -c 1048577 /dev/zero > big"
    )
    loop = asyncio.new_event_loop()
    sandbox = E2BSandbox(SandboxSettings(transfer_mb=1, kept_bytes=1000, printed_mb=1))
    loop.run_until_complete(sandbox.start())
    loop.run_until_complete(sandbox.run_command(prepare, seconds=20))
    yield lambda work: loop.run_until_complete(work(sandbox))
    loop.run_until_complete(sandbox.close())
    loop.close()


@pytest.fixture
def cells(in_shared: Callable[[Work], Any]) -> Cells:
    """A function that runs cells in the shared sandbox, each for so many seconds at most."""

    def run(*codes: str, seconds: float = 20) -> list[CellResult]:
        async def work(sandbox: E2BSandbox) -> list[CellResult]:
            return [await sandbox.run_cell(code, seconds=seconds) for code in codes]

        return in_shared(work)

    return run


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


# ----------------------------------------------------------------------------------------------------------- cells


def test_state_is_kept_and_separated(service: Service) -> None:
    async def work(sandbox: E2BSandbox) -> tuple[CellResult, CellResult]:
        other = E2BSandbox(SandboxSettings())
        await other.start()
        await sandbox.run_cell("x = 41", seconds=20)
        await sandbox.write_file("mine.txt", b"mine")
        mine, others = await asyncio.gather(
            sandbox.run_cell("x + 1", seconds=20), other.run_cell("import os; x, os.listdir()", seconds=20)
        )
        with pytest.raises(SandboxFileError, match="does not exist"):
            await other.read_file("mine.txt")
        await other.close()
        return mine, others

    mine, others = in_sandbox(work)
    assert mine == CellResult(value="42")
    assert others.traceback is not None
    assert "NameError" in others.traceback
    assert service.created == 2


def test_values_are_as_repr_writes_them(cells: Cells) -> None:
    values = ["'a'", '"it\'s"', "''", "['a', \"'b'\"]", "{'k': 'v'}", "b'a'", "'a\\nb'", "None, 'x'"]
    assert [result.value for result in cells(*values)] == [repr(eval(value)) for value in values]
    assert cells("None", "x = 'a'", "  \n") == [CellResult()] * 3


def test_a_traceback_is_plain_text_line_by_line(cells: Cells) -> None:
    (result,) = cells("def f():\n    1 / 0\nf()")
    assert result.traceback is not None
    lines = result.traceback.splitlines()
    assert lines[0].startswith("ZeroDivisionError")
    assert lines[0].endswith("Traceback (most recent call last)")
    assert lines[1].startswith("Cell In[")
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "\x1b" not in result.traceback


def test_a_cell_that_takes_too_long_is_interrupted(cells: Cells) -> None:
    loop, sleep = cells("x = 1\nwhile True: pass", "import time\nprint('begun', flush=True)\ntime.sleep(60)", seconds=1)
    for result in (loop, sleep):
        assert result.interrupted
        assert not result.restarted
    assert sleep.stdout == "begun\n"
    assert cells("x") == [CellResult(value="1")]


@pytest.mark.parametrize(
    "code",
    ["import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass", "import os\nos._exit(1)"],
    ids=["ignores_the_interrupt", "exits"],
)
def test_an_interpreter_that_is_lost_is_started_anew(cells: Cells, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr("sandbox.e2b.cells.PROBES", 2)
    monkeypatch.setattr("sandbox.e2b.cells.PROBE_SECONDS", 1)
    cells("x = 1")
    (died,) = cells(code, seconds=1)
    gone, value = cells("x", "'quoted'")
    assert died.restarted
    assert not died.interrupted
    assert gone.traceback is not None
    assert "NameError" in gone.traceback
    assert not gone.restarted
    assert value.value == "'quoted'"


def test_an_interpreter_that_died_between_two_cells_is_noticed(in_shared: Callable[[Work], Any]) -> None:
    later = "import os, threading\nx = 1\nthreading.Timer(0.5, os._exit, [1]).start()"

    async def work(sandbox: E2BSandbox) -> list[CellResult]:
        results = [await sandbox.run_cell(later, seconds=20)]
        await asyncio.sleep(1.5)
        return results + [await sandbox.run_cell(code, seconds=20) for code in ("1", "2")]

    before, first, second = in_shared(work)
    assert not before.restarted
    assert first.restarted
    assert second == CellResult(value="2")


def test_a_cell_that_is_given_up_does_not_stand_in_the_way(in_shared: Callable[[Work], Any]) -> None:
    async def work(sandbox: E2BSandbox) -> CellResult:
        await sandbox.run_cell("x = 1", seconds=20)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.run_cell("import time\ntime.sleep(60)", seconds=60), 1)
        return await sandbox.run_cell("x", seconds=20)

    started = time.monotonic()
    assert in_shared(work) == CellResult(value="1")
    assert time.monotonic() - started < 30


def test_of_much_output_the_head_and_the_tail_are_kept(cells: Cells) -> None:
    (result,) = cells("print('<' + 'x' * 300_000 + '>')")
    assert len(result.stdout) < 1100
    assert result.stdout.startswith("<xxx")
    assert result.stdout.endswith("xxx>\n")
    assert "299,003 characters left out" in result.stdout
    much = "for _ in range(200): print('y' * 10_000)"
    endless, after = cells(f"x = 1\n{much}\nwhile True: pass", "x", seconds=30)
    assert endless.interrupted
    assert len(endless.stdout) < 1100
    assert after.value == "1"


def test_a_figure_is_counted(cells: Cells) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    code = f"import base64\nfrom IPython.display import Image, display\ndisplay(Image(base64.b64decode('{pixel}')))"
    assert [result.figures for result in cells(code, "1")] == [1, 0]


# -------------------------------------------------------------------------------------------------------- commands


def test_commands_and_what_they_leave_running(service: Service) -> None:
    async def work(sandbox: E2BSandbox) -> None:
        done = await sandbox.run_command("echo out; echo err >&2; pwd > where; exit 3", seconds=20)
        assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 3)
        await sandbox.run_command("sleep 987 & sleep 988 >/dev/null 2>&1 & echo left", seconds=20)
        late = await sandbox.run_command("echo begun; sleep 987 | sleep 988", seconds=1)
        assert (late.stdout, late.exit_code) == ("begun\n", None)
        much = await sandbox.run_command("yes", seconds=20)
        assert much.exit_code is None
        assert "characters left out" in much.stdout
        assert (await sandbox.run_command("echo a\0b", seconds=20)).exit_code == 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.run_command("sleep 987", seconds=60), 1)
        assert wait_for(lambda: not running("sleep"))

    def running(name: str) -> list[int]:
        (number,) = service.running()
        return [each for each in marked(ID_VARIABLE, number) if name in Path(f"/proc/{each}/comm").read_text()]

    in_sandbox(work, kept_bytes=1000, printed_mb=1)


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.txt", "does not exist"),
        ("../out.txt", "leads out of"),
        ("a/../../out.txt", "leads out of"),
        ("/etc/hostname", "leads out of"),
        ("link", "leads out of"),
        ("linked/hostname", "leads out of"),
        ("folder", "is a folder"),
        ("pipe", "no regular file"),
        ("big", "is larger than"),
        ("", "no name"),
        (".", "no name"),
        ("a\0b", "no name"),
        ("n" * 300, "too long a name"),
        ("here.txt/below", "does not exist"),
    ],
)
def test_what_cannot_be_read(in_shared: Callable[[Work], Any], path: str, reason: str) -> None:
    async def work(sandbox: E2BSandbox) -> None:
        with pytest.raises(SandboxFileError, match=reason):
            await sandbox.read_file(path)

    in_shared(work)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../out.txt", "leads out of"),
        ("link", "leads out of"),
        ("linked/new", "leads out of"),
        ("folder", "is a folder"),
        ("here.txt/below", "no folder"),
    ],
)
def test_what_cannot_be_written(in_shared: Callable[[Work], Any], path: str, reason: str) -> None:
    async def work(sandbox: E2BSandbox) -> None:
        with pytest.raises(SandboxFileError, match=reason):
            await sandbox.write_file(path, b"data")
        with pytest.raises(SandboxFileError, match="no more"):
            await sandbox.write_file("new", b"x" * (2**20 + 1))

    in_shared(work)


def test_what_is_written_is_read_and_seen_by_cells_and_commands(in_shared: Callable[[Work], Any]) -> None:
    data = bytes(range(256)) * 8

    async def work(sandbox: E2BSandbox) -> None:
        for path in ("a b'c.bin", "new/folders/x", "$HOME", "-rf"):
            await sandbox.write_file(path, data)
            assert await sandbox.read_file(path) == data
        await sandbox.write_file("here.txt", b"anew")
        assert (await sandbox.run_command("cat ./here.txt", seconds=20)).stdout == "anew"
        assert (await sandbox.run_cell("len(open('new/folders/x', 'rb').read())", seconds=20)).value == "2048"

    in_shared(work)


# ---------------------------------------------------------------------------------------------- beginning and end


async def one_cell(sandbox: E2BSandbox) -> CellResult:
    return await sandbox.run_cell("1", seconds=20)


@pytest.mark.parametrize("refusal", [(429, "too many sandboxes"), (500, "broken"), (503, "busy"), (400, "no template")])
def test_a_sandbox_that_is_refused_is_lost(service: Service, refusal: tuple[int, str]) -> None:
    service.refusal = refusal
    with pytest.raises(SandboxLost, match=refusal[1]):
        in_sandbox(one_cell)


@pytest.mark.parametrize("key", ["e2b_" + "a" * 40, None])
def test_without_the_right_key_there_is_none_and_the_key_is_not_told(
    service: Service, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key is None:
        monkeypatch.delenv("E2B_API_KEY")
    else:
        monkeypatch.setenv("E2B_API_KEY", key)
    assert ("is not set" in check(SandboxSettings())) == (key is None)
    with pytest.raises(SandboxLost) as lost:
        in_sandbox(one_cell)
    assert ("E2B_API_KEY" if key is None else "Unauthorized") in str(lost.value)
    assert (key or "?") not in str(lost.value)
    assert service.created == 0


def test_a_service_that_is_not_there_is_no_sandbox(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
    with pytest.raises(ProviderLost, match="No sandbox can be had"):
        in_sandbox(one_cell, start_seconds=5)


def test_a_sandbox_that_dies_is_lost(service: Service) -> None:
    async def work(sandbox: E2BSandbox) -> None:
        await sandbox.write_file("x", b"")
        running = [
            asyncio.create_task(sandbox.run_cell("import time\ntime.sleep(60)", seconds=60)),
            asyncio.create_task(sandbox.run_command("sleep 60", seconds=60)),
        ]
        await asyncio.sleep(1)
        assert not any(call.done() for call in running)
        await asyncio.to_thread(service.kill, *service.running())
        later = [
            sandbox.run_cell("1", seconds=20),
            sandbox.run_command("true", seconds=20),
            sandbox.read_file("x"),
            sandbox.write_file("x", b""),
        ]
        for call in (*running, *later):
            with pytest.raises(SandboxLost) as lost:
                await call
            assert not isinstance(lost.value, ProviderLost)  # It may be its own doing.

    in_sandbox(work)


def test_a_service_that_has_gone_is_a_lost_provider(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(sandbox: E2BSandbox) -> None:
        monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
        await asyncio.to_thread(service.kill, *service.running())
        for call in (sandbox.run_cell("1", seconds=20), sandbox.read_file("x")):
            with pytest.raises(ProviderLost):
                await call

    in_sandbox(work)


@pytest.mark.parametrize("what", ["machine", "service"])
def test_an_agent_that_ends_its_machine_voids_nothing(
    service: Service, serve: Any, rows: list[Row], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The answer is graded as if nothing had happened. If the service has gone, the sample is masked."""
    row = next(row for row in rows if "result_file" not in row)
    client = serve().client()
    client.seed(row)
    client.tool("run_python", code="1")
    service.kill(*service.running())
    if what == "service":
        monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
    assert client.tool("run_shell", command="true").startswith("Error: ")
    client.tool("submit_answer", answer=str(expected_output(row)))
    verdict = client.verdict(row)
    assert (verdict["reward"], verdict["mask_sample"]) == ((1.0, False) if what == "machine" else (0.0, True))


def test_it_is_renewed_while_it_is_held_and_expires_when_it_is_not(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(sandbox: E2BSandbox) -> None:
        await asyncio.sleep(4)
        assert (await sandbox.run_cell("1", seconds=20)).value == "1"
        assert sandbox._renewal is not None
        sandbox._renewal.cancel()  # as if the server had been killed
        assert await asyncio.to_thread(wait_for, lambda: not service.running(), 10)
        with pytest.raises(ProviderLost):
            await sandbox.run_cell("1", seconds=20)

    async def end_and_wait(sandbox: E2BSandbox) -> None:
        await asyncio.to_thread(service.kill, *service.running())
        await asyncio.sleep(3.5)
        with pytest.raises(SandboxLost) as lost:
            await sandbox.run_cell("1", seconds=20)
        assert not isinstance(lost.value, ProviderLost)

    # The setting has a least value, so that nobody floods E2B with renewals.
    monkeypatch.setattr(SandboxSettings.model_fields["lifetime_seconds"], "metadata", [])
    SandboxSettings.model_rebuild(force=True)
    in_sandbox(work, lifetime_seconds=3)
    in_sandbox(end_and_wait, lifetime_seconds=3)


def test_nothing_is_left_after_close(service: Service) -> None:
    async def work(sandbox: E2BSandbox) -> None:
        await sandbox.run_cell(
            "import subprocess\nsubprocess.Popen(['sleep', '987'], start_new_session=True)", seconds=20
        )
        assert len(marked(SERVICE_VARIABLE, service.token)) >= 2
        await sandbox.close()
        await sandbox.close()
        assert service.running() == []
        with pytest.raises(SandboxLost, match="has been closed"):
            await sandbox.run_cell("1", seconds=20)

    in_sandbox(work)
    assert marked(SERVICE_VARIABLE, service.token) == set()
    assert not any(service.folder.glob("i*"))


def test_one_that_is_closed_while_it_starts_is_not_left(service: Service) -> None:
    async def run() -> None:
        sandbox = E2BSandbox(SandboxSettings())
        starting = asyncio.create_task(sandbox.start())
        while not service.created:
            await asyncio.sleep(0.005)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(run())
    assert service.running() == []


def test_the_stand_in_leaves_nothing_when_it_is_killed(tmp_path: Path) -> None:
    variables = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    service = subprocess.Popen(
        [sys.executable, standin.__file__, "0"], stdout=subprocess.PIPE, text=True, env=variables
    )
    assert service.stdout is not None
    exports = dict(service.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(3))

    async def use() -> set[int]:
        sandbox = E2BSandbox(SandboxSettings())
        await sandbox.start()
        await sandbox.run_cell("import subprocess\nsubprocess.Popen(['setsid', 'sleep', '987'])", seconds=20)
        (folder,) = tmp_path.iterdir()
        (number,) = (each.name for each in folder.iterdir() if each.is_dir())
        service.kill()
        service.wait()
        return marked(ID_VARIABLE, number)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in exports.items():
            patch.setenv(name, value)
        left = asyncio.run(use())
    assert wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in left))
    assert wait_for(lambda: not list(tmp_path.iterdir()))


def test_importing_the_backend_takes_neither_a_key_nor_e2bs_client() -> None:
    """As the server does."""
    code = "import sys; import sandbox.backend; sys.exit('e2b' in sys.modules or 'e2b_code_interpreter' in sys.modules)"
    variables = {name: value for name, value in os.environ.items() if not name.startswith("E2B_")}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, check=False).returncode == 0
