# Part of the template: changes belong there (`copier update` merges this file).
"""The desktop and its tools, for real: bad calls, things that break, and what is left over."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import Client, LiveServer, play_row, played
from PIL import Image, ImageChops

from desktop import DesktopLost, backend
from desktop.display import commands, xserver
from desktop.display.x11 import DisplayGone, Screen
from desktop.keyboard import UnknownKey, keysym_of, parse_keys
from gymkit import project
from gymkit.rows import Row
from gymkit.server import CannotServe


@pytest.fixture(scope="module", autouse=True)
def commands_everywhere(served: LiveServer) -> Iterator[None]:
    """Commands are run also where they cannot be confined."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served.server.config, "unconfined_commands", True)
        yield


@pytest.fixture
def client(served: LiveServer) -> Iterator[Client]:
    """A client, whose session is closed after the test."""
    client = served.client()
    yield client
    client.post("/close_session")


@pytest.fixture(scope="module")
def shared(served: LiveServer, rows: list[Row]) -> Iterator[Client]:
    """A client with a desktop that runs, for tests to which it does not matter what others have done there."""
    client = seeded(served, rows[0])
    yield client
    client.post("/close_session")


@pytest.fixture
def config(served: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that changes settings of the server for one test."""

    def change(**settings: Any) -> None:
        for name, value in settings.items():
            monkeypatch.setattr(served.server.config, name, value)

    return change


def picture(client: Client, image_format: str | None = None) -> Image.Image:
    """A screenshot; it must have the format that its URL names, and the given one."""
    head, _, data = client.post("/screenshot", json={}).json()["image"].partition(",")
    found = Image.open(io.BytesIO(base64.b64decode(data)))
    assert found.format is not None
    assert head == f"data:image/{found.format.lower()};base64"
    assert image_format in (None, found.format.lower())
    return found.convert("RGB")


def episode_of(served: LiveServer, client: Client) -> Any:
    """The episode of a client's session."""
    cookie = client.cookies.get_dict()[served.server.get_session_middleware_key()]
    assert cookie is not None
    return served.server._sessions.find(cookie.strip('"')).state


def seeded(served: LiveServer, row: Row) -> Client:
    """A client with a session whose desktop runs."""
    client = served.client()
    client.seed(row)
    assert client.tool("get_screen_size") == "The screen is 1024 x 768 pixels."
    return client


def wait_until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_of(text: str) -> list[int]:
    """The processes that have a text in their command line or environment."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if any(text.encode() in (path / name).read_bytes() for name in ("cmdline", "environ")):
                    found.append(int(path.name))
            except OSError:
                continue
    return found


def check_nothing_left(display: xserver.Display) -> None:
    """No process, folder, socket or lock file of a display is left over."""
    check_nothing_left_of(display.folder, display.name)


def check_nothing_left_of(folder: Path, display: str) -> None:
    wait_until(lambda: not folder.exists() and not processes_of(str(folder)))
    assert not os.path.exists(f"/tmp/.X11-unix/X{display[1:]}")
    assert not os.path.exists(f"/tmp/.X{display[1:]}-lock")


# --------------------------------------------------------------------------------------------------------- bad calls


def test_a_point_off_the_screen_is_text(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    for x, y in (("1024", "5"), ("5", "768"), ("-1", "5"), (str(10**30), "5")):
        point = f'"x": {x}, "y": {y}'
        for tool in ("left_click", "right_click", "middle_click", "double_click", "triple_click", "mouse_move"):
            assert "not on the screen" in client.post(f"/{tool}", data=f"{{{point}}}").json()["output"]
        scroll = client.post("/scroll", data=f'{{{point}, "direction": "up", "amount": 1}}')
        drag = client.post("/left_click_drag", data=f'{{"start_x": 1, "start_y": 1, "end_x": {x}, "end_y": {y}}}')
        assert "not on the screen" in scroll.json()["output"]
        assert "not on the screen" in drag.json()["output"]
    for x in ("NaN", "Infinity", "1e400", "5.5", '"left"', "null", "[1]"):
        answer = client.post("/left_click", data=f'{{"x": {x}, "y": 5}}')
        assert answer.status_code == 422
        assert answer.json()["output"].startswith("Error: left_click was called wrongly. x: ")
    assert client.verdict(rows[0])["mask_sample"] is False


def test_an_unknown_key_is_text(shared: Client) -> None:
    for keys in ("NoSuchKey", "ctrl+", "+s", "ctrl+NoSuchKey", "a+b+c+d+e+f", "hyper drive", "\x07", ""):
        assert shared.tool("key", keys=keys).startswith("Error: "), keys
        assert shared.tool("hold_key", keys=keys, seconds=0.1).startswith("Error: "), keys
    for seconds in (0, -1, 11, 1e9):
        assert shared.tool("hold_key", keys="a", seconds=seconds).startswith("Error: ")
        assert shared.tool("wait", seconds=seconds * 4).startswith("Error: ")


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ("Return", ["Return"]),
        ("enter", ["Return"]),
        ("ctrl+s", ["Control_L", "s"]),
        ("CTRL+SHIFT+Home", ["Control_L", "Shift_L", "Home"]),
        ("Page_Down", ["Page_Down"]),
        ("pagedown", ["Page_Down"]),
        ("alt+F4", ["Alt_L", "F4"]),
        ("super", ["Super_L"]),
        ("ctrl++", ["Control_L", "plus"]),
        ("+", ["plus"]),
        (" ", ["space"]),
        ("?", ["question"]),
        ("ß", ["U00DF"]),
        ("ArrowUp", ["Up"]),
    ],
)
def test_keys_have_the_names_that_models_know(keys: str, names: list[str]) -> None:
    assert parse_keys(keys) == names
    assert all(keysym_of(name) > 0 for name in names)


def test_a_key_name_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownKey, match=r"no key 'Foo'.*Page_Down"):
        parse_keys("Foo")


def test_too_much_text_is_refused_at_once_and_much_text_is_typed_soon(shared: Client) -> None:
    started = time.monotonic()
    assert "100,000 characters; 5,000 is the most" in shared.tool("type", text="a" * 100_000)
    assert time.monotonic() - started < 5
    shared.tool("key", keys="Tab")
    assert shared.tool("type", text="a" * 5_000) == "Typed 5,000 characters."
    assert time.monotonic() - started < 60


def test_characters_that_cannot_be_typed_are_text(shared: Client) -> None:
    for text in ("\x1b[2J", "\x00", "a\u2028b", "\u200b"):
        assert "cannot be typed" in shared.tool("type", text=text), repr(text)


def test_a_wrong_end_is_text_and_the_episode_goes_on(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    assert "status" in client.tool("terminate", status="perhaps", answer="")
    assert client.tool("get_screen_size").startswith("The screen is")
    assert client.post("/terminate", json={"status": "failure"}).json() == {
        "output": "The episode is over.",
        "done": True,
    }
    assert "the episode is over" in client.tool("terminate", status="success", answer="")
    assert "the episode is over" in client.tool("screenshot")
    assert client.verdict(rows[0])["reward"] == 0.0


def test_to_say_success_alone_earns_nothing(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    client.tool("screenshot")
    client.tool("terminate", status="success", answer="done")
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, False)


def test_a_task_without_a_state_needs_a_setting(client: Client, rows: list[Row], config: Callable[..., None]) -> None:
    row = {**rows[0], "ground_truth": [{"expected_output": {}}]}
    refused = client.post("/seed_session", json=row)
    assert refused.status_code == 422
    assert "nothing to check" in refused.json()["output"]
    config(trust_terminate=True)
    client.seed(row)
    client.tool("terminate", status="success", answer="")
    assert client.verdict(row)["reward"] == 1.0


# ---------------------------------------------------------------------------------------------------------- commands


def test_a_command_that_never_ends_is_ended(shared: Client, config: Callable[..., None]) -> None:
    config(command_seconds=1)
    started = time.monotonic()
    output = shared.tool("run_command", command="echo first; sleep 1000 & sleep 1000")
    assert time.monotonic() - started < 10
    assert output == "first\n\nThe command was ended: it ran longer than 1 seconds."
    assert not processes_of("sleep\0001000")
    assert shared.tool("run_command", command="echo again; exit 3") == "again\n\nExit code 3."


def test_a_command_whose_caller_goes_is_ended_and_the_desktop_lives_on(shared: Client) -> None:
    cookies = "; ".join(f"{name}={value}" for name, value in shared.cookies.items())
    caller = HTTPConnection(shared.base_url.removeprefix("http://"))
    caller.request("POST", "/run_command", json.dumps({"command": "sleep 4321"}), {"Cookie": cookies})
    wait_until(lambda: processes_of("sleep\0004321"))
    caller.close()
    wait_until(lambda: not processes_of("sleep\0004321"))
    assert shared.tool("run_command", command="echo alive") == "alive\n\nExit code 0."


def test_a_command_that_prints_for_ever_is_cut(shared: Client, config: Callable[..., None]) -> None:
    config(command_seconds=2)
    output = shared.tool("run_command", command="yes")
    assert "left out" in output
    assert len(output) < 110_000


def test_a_command_sees_nothing_of_the_server(client: Client, rows: list[Row], config: Callable[..., None]) -> None:
    config(unconfined_commands=False)
    client.seed(rows[0])
    output = client.tool("run_command", command=f"ls {project.ROOT} /tmp; cat /proc/*/environ; cat ~/../*/state.json")
    if commands.obstacle():
        assert "Commands cannot be run on this machine: bubblewrap" in output
        return
    assert "server.py" not in output
    assert "desktop-" not in output
    assert '"contacts"' not in output
    client.tool("run_command", command="kill -9 -1")
    assert client.verdict(rows[0])["mask_sample"] is False


def test_run_command_can_be_left_out(serve: Any) -> None:
    names = [tool["name"] for tool in serve(run_command=False).client().get("/tools").json()]
    assert "run_command" not in names
    assert len(names) == 18


def test_only_run_command_asks_for_a_key_beyond_loopback(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENV_API_KEY", raising=False)
    serve(host="0.0.0.0", run_command=False)
    with pytest.raises(CannotServe, match="ENV_API_KEY"):
        serve(host="0.0.0.0")


# ---------------------------------------------------------------------------------------------------------- pictures


def test_pictures_come_when_the_row_asks_for_them(client: Client, rows: list[Row]) -> None:
    for asks in (True, False):
        client.seed({**rows[0], "screenshot_after_action": asks})
        assert ("image" in client.post("/mouse_move", json={"x": 9, "y": 9}).json()) is asks
        assert "image" in client.post("/screenshot", json={}).json()


@pytest.mark.parametrize(("image_format", "scale"), [("jpeg", 1.0), ("png", 1.0), ("png", 0.5), ("jpeg", 0.37)])
def test_pictures_have_the_format_and_the_scale_of_the_settings(
    shared: Client, config: Callable[..., None], image_format: str, scale: float
) -> None:
    # The limit of texts does not cut pictures.
    config(image_format=image_format, image_scale=scale, max_output_characters=100)
    assert picture(shared, image_format).size == (round(1024 * scale), round(768 * scale))


def test_the_player_clicks_where_things_are_in_pictures_of_another_size(
    client: Client, rows: list[Row], config: Callable[..., None]
) -> None:
    config(image_scale=0.37)
    assert played(client, rows[0])["reward"] == 1.0


def test_a_session_changes_no_pixel_of_another(
    served: LiveServer, rows: list[Row], config: Callable[..., None]
) -> None:
    config(image_format="png")
    with ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: seeded(served, rows[0]), range(8)))
        before = list(pool.map(picture, clients))
        clients[0].tool("left_click", x=724, y=194)  # the field Name
        clients[0].tool("type", text="only here")
        after = list(pool.map(picture, clients))
        displays = {episode_of(served, client).desktop.display.name for client in clients}
        list(pool.map(lambda client: client.post("/close_session"), clients))
    assert ImageChops.difference(before[0], after[0]).getbbox() is not None
    for one, other in zip(before[1:], after[1:], strict=True):
        assert ImageChops.difference(one, other).getbbox() is None
    assert len(displays) == 8


def test_a_display_opens_to_its_own_cookie_only(served: LiveServer, shared: Client) -> None:
    display = episode_of(served, shared).desktop.display
    Screen(display.name, display.cookie).close()
    with pytest.raises(DisplayGone):
        Screen(display.name, b"0" * 32)


def test_letters_of_all_scripts_are_typed(served: LiveServer, shared: Client) -> None:
    text = "Zoë Ελληνικά Привет 北京 日本語 العربية ñ€ß «…» " + "".join(map(chr, range(0x4E00, 0x4E00 + 150)))
    episode = episode_of(served, shared)
    state = json.loads(_saved(episode))
    shared.tool("left_click", x=454, y=92)  # the tab Note
    shared.tool("left_click", x=512, y=381)
    shared.tool("key", keys="ctrl+a")
    shared.tool("type", text=text)
    shared.tool("key", keys="ctrl+s")
    assert json.loads(_saved(episode)) == {**state, "note": text}


def _saved(episode: Any) -> bytes:
    return (episode.desktop.display.folder / "app" / "state.json").read_bytes()


# ------------------------------------------------------------------------------------------------- things that break


def test_a_closed_application_is_opened_again(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    before = picture(client)
    output = client.tool("key", keys="alt+F4")
    assert output.endswith("The application was closed. It has been opened again, with what had been saved.")
    after = picture(client)
    extrema: Any = ImageChops.difference(before, after).getextrema()
    assert all(low == 0 and high < 60 for low, high in extrema)
    assert client.verdict(rows[0], play_row(client, rows[0]))["reward"] == 1.0


@pytest.mark.parametrize("victim", ["X server", "application", "keeper"])
def test_what_is_killed_is_text_and_masks_the_sample(served: LiveServer, rows: list[Row], victim: str) -> None:
    client = seeded(served, rows[0])
    mine = episode_of(served, client).desktop
    display = mine.display
    pids = {"X server": display.server.pid, "application": mine.app.pid, "keeper": display.keeper.pid}
    os.kill(pids[victim], signal.SIGKILL)
    wait_until(lambda: mine.app.ended.done())
    for _ in range(2):
        answer = client.post("/left_click", json={"x": 5, "y": 5})
        assert answer.status_code == 200
        assert answer.json()["output"].startswith("Error: there is no desktop for this episode any more.")
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (0.0, True, "provider_unavailable")
    check_nothing_left(display)
    # The server lives on.
    assert served.client().seed(rows[0])


def test_a_display_that_hangs_is_text(served: LiveServer, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    client = seeded(served, rows[0])
    monkeypatch.setattr(xserver, "CALL_SECONDS", 0.5)
    display = episode_of(served, client).desktop.display
    os.kill(display.server.pid, signal.SIGSTOP)
    assert "did not answer for 0.5 seconds" in client.tool("mouse_move", x=5, y=5)
    assert client.verdict(rows[0])["failure_kind"] == "provider_unavailable"
    check_nothing_left(display)


# --------------------------------------------------------------------------------------------------- nothing is left


@pytest.mark.parametrize("way", ["close", "verify", "seed"])
def test_the_end_of_a_session_leaves_nothing(served: LiveServer, rows: list[Row], way: str) -> None:
    client = seeded(served, rows[0])
    display = episode_of(served, client).desktop.display
    if way == "close":
        client.post("/close_session")
    elif way == "verify":
        client.verdict(rows[0])
    else:
        client.seed(rows[1])
    check_nothing_left(display)


def test_a_session_that_ends_while_its_desktop_starts_leaves_nothing(
    served: LiveServer, client: Client, rows: list[Row], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client.seed(rows[0])
    cookies = client.cookies
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lambda: served.client().post("/screenshot", json={}, cookies=cookies))
        wait_until(lambda: list(tmp_path.glob("desktop-*")))
        client.post("/close_session")
        assert call.result().status_code < 500
    wait_until(lambda: not list(tmp_path.iterdir()) and not processes_of(str(tmp_path)))


def test_a_killed_server_leaves_nothing(rows: list[Row], tmp_path: Path) -> None:
    """Not even with SIGKILL: each display has a keeper, which notices."""
    with (tmp_path / "log").open("w") as log:
        environ = os.environ | {"PORT": str(free_port()), "TMPDIR": str(tmp_path)}
        server = subprocess.Popen([sys.executable, "server.py"], cwd=project.ROOT, env=environ, stdout=log, stderr=log)
    client = Client(f"http://127.0.0.1:{environ['PORT']}")
    try:
        wait_until(lambda: server.poll() is None and answers(client), 60)
        client.seed(rows[0])
        assert client.tool("get_screen_size").startswith("The screen is")
        (folder,) = tmp_path.glob("desktop-*")
        display = next(line for line in (folder / "output-1").read_text().splitlines() if line.isdigit())
        assert processes_of(str(folder))
    finally:
        server.kill()
        server.wait()
    check_nothing_left_of(folder, f":{display}")


def answers(client: Client) -> bool:
    try:
        return client.get("/health").ok
    except requests.ConnectionError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ------------------------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize("program", list(backend.PROGRAMS))
def test_a_missing_program_is_one_line_that_names_the_package(
    served: LiveServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    for other in backend.PROGRAMS:
        if other != program:
            (tmp_path / other).symlink_to(str(shutil.which(other)))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotServe) as refused:
        type(served.server).run_webserver()
    package = backend.PROGRAMS[program]
    assert str(refused.value) == f"{program} is not installed: install Debian's package {package}."


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("libtk8.6.so: cannot open shared object file: No such file or directory", "Debian's package libtk8.6"),
        ("No module named '_tkinter'", "built without tkinter.*python3-tk"),
    ],
)
def test_a_missing_tk_is_named(monkeypatch: pytest.MonkeyPatch, error: str, says: str) -> None:
    def fail(name: str) -> None:
        if name == "tkinter":
            raise ImportError(error)

    monkeypatch.setattr(backend.importlib, "import_module", fail)
    with pytest.raises(DesktopLost) as caught:
        backend.check()
    assert re.search(says, str(caught.value))
