# Part of the template: changes belong there (`copier update` merges this file).
"""The sandbox behind the tools, whatever its backend: state, output, failures, and that it always ends."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from harness import Client, LiveServer, Row

import sandbox
from sandbox import CellResult, CommandResult, SandboxLost, cell_text, command_text

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Counted:
    """A sandbox that counts how many there are."""

    open: ClassVar[int] = 0
    made: ClassVar[int] = 0

    def __init__(self, settings: Any) -> None:
        self._inner = sandbox.make_sandbox(settings)
        self._closed = False
        Counted.made += 1
        Counted.open += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def close(self) -> None:
        await self._inner.close()
        Counted.open -= not self._closed
        self._closed = True


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    Counted.open = Counted.made = 0
    monkeypatch.setattr("server.make_sandbox", Counted)
    return Counted


@pytest.fixture(scope="module")
def shared(serve_for_module: Any) -> LiveServer:
    return serve_for_module(cell_seconds=3, command_seconds=3, part_characters=2000)


@pytest.fixture(scope="module")
def session(shared: LiveServer) -> Iterator[Client]:
    """One session for the tests that leave it as it was."""
    client = shared.client()
    client.seed()
    yield client
    client.post("/close_session")


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
    assert "NameError" in run(other, "x")
    assert "does not exist" in other.tool("read_file", path="notes/mine.txt")
    assert "mine.txt" not in other.tool("run_shell", command="find . /tmp 2>/dev/null")
    other.post("/close_session")


def test_the_tasks_files_are_there(session: Client) -> None:
    from gymkit.server import demo_row

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


def test_a_shell_commands_exit_code_and_end(session: Client) -> None:
    assert session.tool("run_shell", command="echo a; echo b >&2; exit 3") == "a\n[stderr]\nb\n[exit code 3]"
    started = time.monotonic()
    assert "[The command was ended" in session.tool("run_shell", command="echo begun; sleep 60")
    assert time.monotonic() - started < 15


def test_texts_of_results() -> None:
    assert cell_text(CellResult(figures=2, interrupted=True), 100).count("[") == 2
    assert "variables and imports are lost" in cell_text(CellResult(restarted=True), 100)
    assert cell_text(CellResult(), 100) == "[no output]"
    assert command_text(CommandResult("", "", 0), 100) == "[no output]"


# -------------------------------------------------------------------------------------------------------- failures


def test_a_cell_that_takes_too_long_is_interrupted_and_the_state_kept(session: Client) -> None:
    run(session, "kept = 'kept'")
    for code in ("while True: pass", "import time\ntime.sleep(60)"):
        started = time.monotonic()
        output = run(session, code)
        assert "KeyboardInterrupt" in output
        assert "[The cell was interrupted" in output
        assert time.monotonic() - started < 15
    assert run(session, "kept") == "[value]\n'kept'"


@pytest.mark.parametrize(
    "code",
    [
        "import time\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass",
        "import os\nos._exit(1)",
        "import ctypes\nctypes.string_at(0)",
    ],
    ids=["ignores_the_interrupt", "exits", "crashes"],
)
def test_an_interpreter_that_dies_is_started_anew_and_says_so(session: Client, code: str) -> None:
    run(session, "lost = 1")
    session.tool("write_file", path="kept.txt", content="kept")
    assert "started anew" in run(session, code)
    assert "NameError" in run(session, "lost")
    assert session.tool("read_file", path="kept.txt") == "kept"


def test_after_its_client_has_gone_a_cell_is_ended(session: Client) -> None:
    run(session, "kept = 1")
    with pytest.raises(Exception, match="timed out"):
        session.post("/run_python", json={"code": "import time\ntime.sleep(60)"}, timeout=0.5)
    started = time.monotonic()
    assert run(session, "kept") == "[value]\n1"
    assert time.monotonic() - started < 10


class NeverThere(Counted):
    async def start(self) -> None:
        raise SandboxLost("No room for one more.")


def test_a_sandbox_that_cannot_be_had_is_text_and_a_masked_sample(
    serve: Any, rows: list[Row], counted: type[Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.make_sandbox", NeverThere)
    client = serve().client()
    client.seed(rows[0])
    for _ in range(2):
        response = client.post("/run_python", json={"code": "1"})
        assert response.status_code == 200
        assert "No room for one more." in response.json()["output"]
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, True)
    assert verdict["failure_kind"] == "provider_unavailable"
    assert counted.open == 0


# ---------------------------------------------------------------------------------------------- beginning and end


def test_there_is_no_sandbox_before_the_first_call_and_none_after_the_end(
    serve: Any, rows: list[Row], counted: type[Counted]
) -> None:
    live = serve(idle_seconds=6)
    closed, verified, seeded, idle, running, unused = clients = [live.client() for _ in range(6)]
    for client in clients:
        client.seed(rows[0])
    assert counted.made == 0
    users = clients[:5]
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(lambda client: run(client, "1"), users)) == ["[value]\n1"] * 5
    assert counted.made == 5
    closed.post("/close_session")
    verified.verdict(rows[0])
    seeded.seed(rows[0])
    assert wait_for(lambda: counted.open <= 2)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(run, running, "import time\ntime.sleep(60)")
        time.sleep(1)
        live.client().post("/close_session", cookies=running.cookies.get_dict())
        assert answer.result(15)
    assert wait_for(lambda: counted.open == 0)  # the idle one too
    assert "has ended" in run(idle, "1")
    assert counted.made == 5
    assert unused.verdict(rows[0])["failure_kind"] == "session_lost"


def test_a_session_that_ends_while_its_sandbox_starts_leaves_none(serve: Any, counted: type[Counted]) -> None:
    live = serve()
    client = live.client()
    client.seed()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run, client, "1")
        assert wait_for(lambda: counted.made == 1)
        live.client().post("/close_session", cookies=client.cookies.get_dict())
    assert wait_for(lambda: counted.open == 0)


def test_warm_sandboxes_are_ready_and_end_with_the_server(rows: list[Row], counted: type[Counted]) -> None:
    from fastapi.testclient import TestClient

    from gymkit import project
    from gymkit.fixture import make_server

    server = make_server(project.server_class(), warm_sandboxes=1)
    with TestClient(server.setup_webserver()) as client:
        assert wait_for(lambda: len(server._pool._ready) == 1, 60)
        client.post("/seed_session", json=rows[0])
        ready = server._pool._ready[0][1]
        assert client.post("/run_python", json={"code": "1"}).json()["output"] == "[value]\n1"
        assert ready is not server._pool._ready[0][1] if server._pool._ready else True
        assert wait_for(lambda: len(server._pool._ready) == 1, 60)
        assert counted.made == 2
    assert counted.open == 0
