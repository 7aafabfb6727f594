# Part of the template: changes belong there (`copier update` merges this file).
"""The sandbox behind the tools, whatever its backend: state, output, failures, and that it always ends."""

import asyncio
import importlib.util
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from fastapi.testclient import TestClient
from harness import SERVER_CLASS, Client, LiveServer

from gymkit.fixture import make_server
from gymkit.rows import Row, demo_row, expected_output
from sandbox import CellResult, CommandResult, ProviderLost, SandboxFileError, SandboxLost, cell_text, command_text

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Fake:
    """A sandbox without an interpreter, which counts how many there are."""

    open: ClassVar[int] = 0
    made: ClassVar[int] = 0
    start_seconds: ClassVar[float] = 0

    def __init__(self, settings: object) -> None:
        self._closed = asyncio.Event()
        Fake.made += 1
        Fake.open += 1

    async def start(self) -> None:
        await asyncio.sleep(self.start_seconds)

    async def run_cell(self, code: str, *, seconds: float) -> CellResult:
        if code == "wait":
            await self._closed.wait()
            raise SandboxLost("It was closed.")
        return CellResult(value="1")

    async def run_command(self, command: str, *, seconds: float) -> CommandResult:
        return CommandResult("", "", 0)

    async def write_file(self, path: str, data: bytes) -> None:
        pass

    async def read_file(self, path: str) -> bytes:
        raise SandboxFileError("There are no files.")

    async def close(self) -> None:
        Fake.open -= not self._closed.is_set()
        self._closed.set()


class NeverThere(Fake):
    async def start(self) -> None:
        raise SandboxLost("No room for one more.")


UseFakes = Callable[[type[Fake]], None]


@pytest.fixture
def use_fakes(monkeypatch: pytest.MonkeyPatch) -> UseFakes:
    """A function by which servers make fakes, of the given class, until the end of the test."""
    Fake.open = Fake.made = 0
    server = sys.modules[SERVER_CLASS.__module__]
    return lambda kind: monkeypatch.setattr(server, "make_sandbox", kind)


@pytest.fixture(scope="module")
def shared(serve_for_all: Any) -> LiveServer:
    return serve_for_all(part_characters=2000)


@pytest.fixture(scope="module")
def session(shared: LiveServer) -> Iterator[Client]:
    """One session for the tests that leave it as it was."""
    client = shared.client()
    client.seed()
    yield client
    client.post("/close_session")


@pytest.fixture
def limit(shared: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that sets the time limit of cells and commands, until the end of the test."""

    def set_limit(seconds: float) -> None:
        monkeypatch.setattr(shared.server.config, "cell_seconds", seconds)
        monkeypatch.setattr(shared.server.config, "command_seconds", seconds)

    return set_limit


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend soon gives up a cell that it has interrupted."""
    if importlib.util.find_spec("sandbox.e2b") is not None:
        monkeypatch.setattr("sandbox.e2b.cells.PROBES", 2)
        monkeypatch.setattr("sandbox.e2b.cells.PROBE_SECONDS", 1)
    else:
        monkeypatch.setattr("sandbox.confinement.jupyter.INTERRUPT_SECONDS", 1)


def clean_up(live: LiveServer, client: Client) -> None:
    """Close a session as NeMo Gym 0.7 does it: by its id, at once, without a grade."""
    session_id = str(*client.cookies.values()).strip('"').rpartition(".")[0]
    live.client().post("/close_session", json={"resources_session_id": session_id}, cookies=client.cookies)


def run(client: Client, code: str) -> str:
    return client.tool("run_python", code=code)


def wait_for(condition: Any, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


# ----------------------------------------------------------------------------------------------------------- state


def test_state_is_kept_from_call_to_call_and_from_nobody_elses(shared: LiveServer, session: Client) -> None:
    other = shared.client()
    other.seed()
    assert run(session, "import math\nx = 41") == "[no output]"
    session.tool("write_file", path="notes/mine.txt", content="mine")
    assert run(session, "x + math.floor(1.5)") == "[value]\n42"
    assert run(session, "open('notes/mine.txt').read()") == "[value]\n'mine'"
    assert session.tool("run_shell", command="cat notes/mine.txt") == "mine"
    session.tool("write_file", path="files.py", content="own = 'a module of its own'")
    assert run(session, "import files\nfiles.own") == "[value]\n'a module of its own'"
    assert "NameError" in run(other, "x")
    assert "does not exist" in other.tool("read_file", path="notes/mine.txt")
    assert "mine.txt" not in other.tool("run_shell", command="find . /tmp 2>/dev/null")
    other.post("/close_session")


def test_the_tasks_files_are_there(session: Client) -> None:
    for name, content in demo_row()["files"].items():
        assert session.tool("read_file", path=name) == content


# ---------------------------------------------------------------------------------------------------------- output


def test_an_output_says_what_happened(session: Client) -> None:
    assert run(session, "print('out')\nimport sys\nprint('err', file=sys.stderr)\n6 * 7") == (
        "out\n[stderr]\nerr\n[value]\n42"
    )
    output = run(session, "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(100)")
    assert output.startswith("[traceback]")
    assert output.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "lines left out" in output
    assert "\x1b" not in output
    assert run(session, "import subprocess\nsubprocess.run('echo from a child', shell=True).returncode") == (
        "from a child\n[value]\n0"
    )


def test_a_figure_is_noted(session: Client) -> None:
    code = f"import base64\nfrom IPython.display import Image, display\ndisplay(Image(base64.b64decode('{PIXEL}')))"
    assert "[1 figure was made" in run(session, code)


def test_a_long_output_is_cut_in_the_middle(session: Client) -> None:
    for code in ("print('<' + 'x' * 50_000 + '>')", "'<' + 'x' * 50_000 + '>'"):
        output = run(session, code)
        assert len(output) < 2200
        assert "characters left out" in output
        assert "<x" in output
        assert "x>" in output


def test_a_shell_commands_exit_code_and_end(session: Client, limit: Callable[[float], None]) -> None:
    assert session.tool("run_shell", command="echo a; echo b >&2; exit 3") == "a\n[stderr]\nb\n[exit code 3]"
    limit(1)
    started = time.monotonic()
    assert "[The command was ended" in session.tool("run_shell", command="echo begun; sleep 60")
    assert time.monotonic() - started < 15


def test_texts_of_results() -> None:
    assert cell_text(CellResult(figures=2, interrupted=True), 100).count("[") == 2
    assert "variables and imports are lost" in cell_text(CellResult(restarted=True), 100)
    assert cell_text(CellResult(), 100) == "[no output]"
    assert command_text(CommandResult("", "", 0), 100) == "[no output]"


# -------------------------------------------------------------------------------------------------------- failures


def test_a_cell_that_takes_too_long_is_interrupted_and_the_state_kept(
    session: Client, limit: Callable[[float], None]
) -> None:
    run(session, "kept = 'kept'")
    for code in ("while True: pass", "import time\ntime.sleep(60)"):
        limit(1)
        started = time.monotonic()
        output = run(session, code)
        assert "KeyboardInterrupt" in output
        assert "[The cell was interrupted" in output
        assert time.monotonic() - started < 15
    limit(30)
    assert run(session, "kept") == "[value]\n'kept'"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "code",
    [
        "import time\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass",
        "import os\nos._exit(1)",
        "import ctypes\nctypes.string_at(0)",
    ],
    ids=["ignores_the_interrupt", "exits", "crashes"],
)
def test_an_interpreter_that_dies_is_started_anew_and_says_so(
    session: Client, limit: Callable[[float], None], code: str
) -> None:
    run(session, "lost = 1")
    session.tool("write_file", path="kept.txt", content="kept")
    limit(1 if "except" in code else 30)
    assert "started anew" in run(session, code)
    limit(30)
    assert "NameError" in run(session, "lost")
    assert session.tool("read_file", path="kept.txt") == "kept"


def test_after_its_client_has_gone_a_cell_is_ended(session: Client) -> None:
    run(session, "kept = 1")
    with pytest.raises(Exception, match="timed out"):
        session.post("/run_python", json={"code": "import time\ntime.sleep(60)"}, timeout=0.5)
    started = time.monotonic()
    assert run(session, "kept") == "[value]\n1"
    assert time.monotonic() - started < 10


def test_a_sandbox_that_cannot_be_had_is_text_and_a_masked_sample(
    serve: Any, rows: list[Row], use_fakes: UseFakes
) -> None:
    use_fakes(NeverThere)
    client = serve().client()
    client.seed(rows[0])
    for _ in range(2):
        response = client.post("/run_python", json={"code": "1"})
        assert response.status_code == 200
        assert "No room for one more." in response.json()["output"]
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, True)
    assert verdict["failure_kind"] == "provider_unavailable"
    assert Fake.open == 0


# -------------------------------------------------------------------------- masking is for what the environment did

BREAK = {
    "startup": "open(os.path.join(get_ipython().profile_dir.startup_dir, '0.py'), 'w').write('import os; os._exit(1)')",
    "folders": "[shutil.rmtree(each, ignore_errors=True) for each in (os.environ['TMPDIR'], os.getcwd())]",
}
"""What an agent can break: its interpreter by a startup file, $TMPDIR and the working folder."""


def answers_by_kind(rows: list[Row]) -> dict[str, Row]:
    return {("file" if "result_file" in row else "answer"): row for row in rows}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("what", BREAK)
def test_what_an_agent_breaks_voids_nothing(shared: LiveServer, rows: list[Row], what: str) -> None:
    """The right answer is paid for, whatever has become of the sandbox. So is no answer, with the lowest reward."""
    row = answers_by_kind(rows)["answer"]
    client = shared.client()
    client.seed(row)
    for code in (f"import os, shutil\n{BREAK[what]}\nos._exit(1)", "1"):
        assert run(client, code)
    client.tool("submit_answer", answer=str(expected_output(row)))
    verdict = client.verdict(row)
    assert (verdict["reward"], verdict["mask_sample"]) == (1.0, False)


def test_a_file_in_a_folder_that_was_deleted_is_a_file_that_is_not_there(shared: LiveServer, rows: list[Row]) -> None:
    row = answers_by_kind(rows)["file"]
    answer, content = expected_output(row)
    client = shared.client()
    client.seed(row)
    client.tool("write_file", path=row["result_file"], content=content)
    client.tool("run_shell", command='cd /; rm -rf "$HOME"')
    client.tool("submit_answer", answer=str(answer))
    verdict = client.verdict(row)
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, False)


class Breaking(Fake):
    """A sandbox that fails as the cell says, and from then on."""

    failure: Exception | None = None

    async def run_cell(self, code: str, *, seconds: float) -> CellResult:
        failures = {"sandbox": SandboxLost("It is broken."), "provider": ProviderLost("The provider is gone.")}
        self.failure = failures.get(code)
        return CellResult(value=(await self.read_file("")).decode())

    async def read_file(self, path: str) -> bytes:
        if self.failure is not None:
            raise self.failure
        return b'{"sum": 1' + b"0" * 400 + b"}"


@pytest.mark.parametrize("kind", ["answer", "file"])
@pytest.mark.parametrize("failing", ["sandbox", "provider", ""])
def test_only_a_provider_that_is_lost_masks(serve: Any, use_fakes: UseFakes, kind: str, failing: str) -> None:
    """And a number that is larger than any float is a wrong number."""
    use_fakes(Breaking)
    client = serve().client()
    row = {**demo_row(), "ground_truth": [{"expected_output": "yes"}], "row_key": "1"}
    row.pop("result_file", None)
    if kind == "file":
        row |= {"ground_truth": [{"expected_output": ["yes", '{"sum": 1}']}], "result_file": "sum.json"}
    client.seed(row)
    assert failing in run(client, failing)
    client.tool("submit_answer", answer="yes")
    verdict = client.verdict(row)
    assert verdict["mask_sample"] == (failing == "provider")
    assert verdict["reward"] == (failing != "provider" and kind == "answer")
    assert verdict.get("failure_kind") == ("provider_unavailable" if failing == "provider" else None)


class LostAtTheEnd(Fake):
    """A sandbox whose provider is gone when its file is read for the grade."""

    async def run_cell(self, code: str, *, seconds: float) -> CellResult:
        return CellResult()

    async def read_file(self, path: str) -> bytes:
        raise ProviderLost("The provider is gone.")


def test_a_provider_that_is_lost_while_the_grade_is_made_masks(serve: Any, use_fakes: UseFakes) -> None:
    use_fakes(LostAtTheEnd)
    client = serve().client()
    row = {**demo_row(), "ground_truth": [{"expected_output": ["yes", '{"sum": 1}']}], "result_file": "sum.json"}
    row["row_key"] = "1"
    client.seed(row)
    run(client, "1")
    client.tool("submit_answer", answer="yes")
    verdict = client.verdict(row)
    assert (verdict["mask_sample"], verdict["failure_kind"]) == (True, "provider_unavailable")


# ---------------------------------------------------------------------------------------------- beginning and end


def test_there_is_no_sandbox_before_the_first_call_and_none_after_the_end(
    serve: Any, rows: list[Row], use_fakes: UseFakes
) -> None:
    use_fakes(Fake)
    live = serve(idle_seconds=3)
    closed, verified, idle, running, unused = clients = [live.client() for _ in range(5)]
    for client in clients:
        client.seed(rows[0])
    assert Fake.made == 0
    users = clients[:4]
    assert [run(client, "1") for client in users] == ["[value]\n1"] * 4
    assert Fake.made == 4
    closed.post("/close_session")
    verified.verdict(rows[0])
    assert wait_for(lambda: Fake.open <= 2)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(run, running, "wait")
        time.sleep(0.2)
        clean_up(live, running)
        assert answer.result(15)
    assert wait_for(lambda: Fake.open == 0)  # the idle one too
    assert "has ended" in run(idle, "1")
    assert Fake.made == 4
    verdict = unused.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, False)


def test_closing_a_session_ends_the_cell_that_runs(shared: LiveServer) -> None:
    client = shared.client()
    client.seed()
    assert run(client, "1") == "[value]\n1"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(run, client, "import time\ntime.sleep(60)")
        time.sleep(1)
        clean_up(shared, client)
        assert answer.result(15)


def test_a_session_that_ends_while_its_sandbox_starts_leaves_none(
    serve: Any, use_fakes: UseFakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fakes(Fake)
    monkeypatch.setattr(Fake, "start_seconds", 1)
    live = serve()
    client = live.client()
    client.seed()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run, client, "1")
        assert wait_for(lambda: Fake.made == 1)
        live.client().post("/close_session", cookies=client.cookies)
    assert wait_for(lambda: Fake.open == 0)


def counts(client: TestClient) -> dict[str, float]:
    """What `/metrics` says of the sandboxes."""
    lines = client.get("/metrics").text.splitlines()
    found = (re.fullmatch(r'gymkit_pool_(\w+)\{pool="sandboxes"\} (.*)', line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match}


def test_warm_sandboxes_are_ready_and_end_with_the_server(rows: list[Row], use_fakes: UseFakes) -> None:
    use_fakes(Fake)
    server = make_server(SERVER_CLASS, warm_sandboxes=1)
    with TestClient(server.setup_webserver()) as client:
        assert wait_for(lambda: len(server._pool._ready) == 1)
        client.post("/seed_session", json=rows[0])
        ready = server._pool._ready[0][1]
        assert client.post("/run_python", json={"code": "1"}).json()["output"] == "[value]\n1"
        assert wait_for(lambda: len(server._pool._ready) == 1)
        assert ready is not server._pool._ready[0][1]
        assert Fake.made == 2
        assert counts(client) == {"started_total": 2, "failed_total": 0, "waiting": 0, "ready": 1, "in_use": 1}
        client.post("/close_session")
        assert counts(client)["in_use"] == 0
    assert Fake.open == 0
