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
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
import xcffib
import xcffib.xproto
from harness import Client, LiveServer, play_row, played
from PIL import Image, ImageChops

from desktop import DesktopLost, backend
from desktop.display import commands, x11, xserver
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


@pytest.mark.parametrize("victim", ["X server", "keeper"])
@pytest.mark.parametrize("played", [True, False])
def test_what_is_killed_voids_nothing(served: LiveServer, rows: list[Row], victim: str, played: bool) -> None:
    """An agent may have brought it about: what has been saved is graded."""
    client = seeded(served, rows[0])
    mine = episode_of(served, client).desktop
    display = mine.display
    if played:
        play_row(client, {**rows[0], "oracle": rows[0]["oracle"][:-1]})  # without terminate
    os.kill({"X server": display.server.pid, "keeper": display.keeper.pid}[victim], signal.SIGKILL)
    wait_until(lambda: mine.app.ended.done())
    for _ in range(2):
        answer = client.post("/left_click", json={"x": 5, "y": 5})
        assert answer.status_code == 200
        assert answer.json()["output"].startswith("Error: the desktop does not work any more.")
    client.tool("terminate", status="success", answer="")
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (float(played), False)
    check_nothing_left(display)
    # The server lives on.
    assert served.client().seed(rows[0])


def test_a_killed_application_is_opened_again(served: LiveServer, rows: list[Row]) -> None:
    client = seeded(served, rows[0])
    mine = episode_of(served, client).desktop
    os.kill(mine.app.pid, signal.SIGKILL)
    wait_until(lambda: mine.app.ended.done())
    assert "It has been opened again" in client.tool("mouse_move", x=5, y=5)
    assert client.verdict(rows[0], play_row(client, rows[0]))["reward"] == 1.0


def test_a_display_that_hangs_is_text(served: LiveServer, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    client = seeded(served, rows[0])
    monkeypatch.setattr(xserver, "CALL_SECONDS", 0.5)
    display = episode_of(served, client).desktop.display
    os.kill(display.server.pid, signal.SIGSTOP)
    for _ in range(2):
        assert "did not answer for 0.5 seconds" in client.tool("mouse_move", x=5, y=5)
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, False)
    check_nothing_left(display)


def test_thousands_of_rare_letters_take_as_long_as_they_take(
    client: Client, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all together within the time limit of one call of the X server. Hundreds here, more slowly."""
    monkeypatch.setattr(xserver, "CALL_SECONDS", 3)
    monkeypatch.setattr(x11, "CHUNK_SECONDS", 0.12)
    monkeypatch.setattr(backend, "TYPED_AT_ONCE", 50)
    client.seed(rows[0])
    client.tool("left_click", x=454, y=92)  # the tab Note
    client.tool("left_click", x=512, y=381)
    assert client.tool("type", text="".join(map(chr, range(0x4E00, 0x4E00 + 600)))) == "Typed 600 characters."
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, False)


@pytest.mark.parametrize(
    "command",
    [
        "rm $app/state.json",
        "mkfifo $app/pipe; mv $app/pipe $app/state.json",
        "echo no >$app/state.json; kill -9 $pid",
        "rm -r $app; kill -9 $pid",
    ],
)
def test_what_an_unconfined_command_does_to_the_application_voids_nothing(
    served: LiveServer, rows: list[Row], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(commands, "obstacle", lambda: "as the test wants")
    client = seeded(served, rows[0])
    mine = episode_of(served, client).desktop
    variables = f"app={mine.display.folder}/app; pid={mine.app.pid}; "
    output = client.tool("run_command", command=variables + command)
    assert ("cannot be opened again" in output) == ("kill" in command)
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == (0.0, False)


def test_an_answer_is_not_enough_where_the_state_is_gone(
    served: LiveServer, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "obstacle", lambda: "as the test wants")
    row = {**rows[0], "ground_truth": [{"expected_output": {"answer": "yes"}}]}
    for command, reward in (("true", 1.0), ("rm ../app/state.json", 0.0)):
        client = seeded(served, row)
        client.tool("run_command", command=command)
        client.tool("terminate", status="success", answer="yes")
        verdict = client.verdict(row)
        assert (verdict["reward"], verdict["mask_sample"]) == (reward, False)


@pytest.mark.parametrize("what", ["desktop", "application"])
def test_a_desktop_that_cannot_be_had_masks_the_sample(
    served: LiveServer, rows: list[Row], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "desktop":
        monkeypatch.setattr(xserver, "OPENBOX_CONFIG", Path("/nowhere"))
        monkeypatch.setattr(xserver, "START_SECONDS", 1)
    else:
        monkeypatch.setattr(sys.modules[type(served.server).__module__], "COMMAND", ["/nowhere"])
    client = served.client()
    client.seed(rows[0])
    for _ in range(2):
        assert client.tool("mouse_move", x=5, y=5).startswith("Error: the environment has failed. The ")
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (0.0, True, "provider_unavailable")


# ------------------------------------------------------------------------- what programs on a display can do to others


def atom(screen: Screen, name: str) -> int:
    return screen._core.InternAtom(False, len(name), name).reply().atom


@pytest.fixture(scope="module")
def display(served: LiveServer, shared: Client) -> xserver.Display:
    """A display with the application on it."""
    return episode_of(served, shared).desktop.display


@pytest.fixture
def trusted(display: xserver.Display) -> Iterator[Screen]:
    """What comes with the session's own cookie, as the application does."""
    screen = Screen(display.name, display.cookie)
    yield screen
    screen.close()


@pytest.fixture
def untrusted(display: xserver.Display) -> Iterator[Callable[[Callable[[Any, int], Any]], str]]:
    """A function that makes requests with the cookie that commands get; what is wrong with them."""
    assert display.access_of_commands is not None
    cookie = display.access_of_commands.authority.read_bytes()[-16:]
    connections = []

    def request(make: Callable[[Any, int], Any]) -> str:
        connection = x11._connect(display.name, cookie)
        connections.append(connection)
        core: Any = connection.core
        try:
            setup: Any = connection.get_setup()
            answer = make(core, setup.roots[0].root)
            core.GetInputFocus().reply()
            return "" if answer is None else str(answer)
        except xcffib.Error as error:
            return type(error).__name__

    yield request
    for connection in connections:
        connection.disconnect()


SEND = """
import sys, tkinter
root = tkinter.Tk(className="Sender")
for name in (*root.winfo_interps(), "office", "Office"):
    if name != root.tk.call("tk", "appname"):
        try:
            root.tk.call("send", name, "exec touch " + sys.argv[1])
            print("sent to", name)
        except tkinter.TclError as error:
            print(error)
"""


def test_no_program_sends_code_to_the_application(
    display: xserver.Display, shared: Client, trusted: Screen, tmp_path: Path
) -> None:
    """Tk's `send`: not with the session's own cookie, and not from a command."""
    registry = trusted._core.GetProperty(False, trusted._root, atom(trusted, "InterpRegistry"), 0, 0, 64).reply()
    assert registry.value.to_string() == ""
    variables = os.environ | {"DISPLAY": display.name, "XAUTHORITY": str(display.folder / "Xauthority")}
    marker = tmp_path / "marker"
    done = subprocess.run(
        [sys.executable, "-c", SEND, str(marker)], env=variables, capture_output=True, text=True, check=True, timeout=30
    )
    assert "sent" not in done.stdout
    # By hand, to the window through which Tk receives them, without any registration.
    core = trusted._core
    orders = b"\0c\0-n office\0-s exec touch " + str(marker).encode() + b"\0"
    for window in core.QueryTree(trusted._root).reply().children:
        core.ChangePropertyChecked(
            xcffib.xproto.PropMode.Append, window, atom(trusted, "Comm"), 31, 8, len(orders), orders
        ).check()
    # From a command, if there is a program for it.
    script = f"catch {{send office {{exec touch {marker}}}}} said; puts $said; exit"
    output = shared.tool("run_command", command=f"printf %s '{script}' | wish")
    assert "no application named" in output or "not found" in output or "refused" in output, output
    time.sleep(0.3)
    assert not marker.exists()


def test_a_command_gets_a_cookie_that_is_not_trusted(display: xserver.Display, shared: Client) -> None:
    assert display.access_of_commands is not None
    output = shared.tool("run_command", command="base64 -w0 $XAUTHORITY; echo; echo $DISPLAY; cat /proc/self/environ")
    cookie = base64.b64encode(display.access_of_commands.authority.read_bytes()).decode()
    assert output.splitlines()[:2] == [cookie, display.name]
    assert display.cookie.decode() not in base64.b64decode(cookie).decode(errors="replace")


def test_where_no_such_cookie_can_be_had_a_command_has_no_display(
    client: Client, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Screen, "untrusted_cookie", lambda screen: None)
    client.seed(rows[0])
    output = client.tool("run_command", command="echo alive $DISPLAY $XAUTHORITY")
    assert output == "alive\n\nExit code 0."


REFUSED: dict[str, Callable[[Any, int, int, Callable[[str], int]], Any]] = {
    "a picture of the screen": lambda core, root, app, atom: core.GetImage(2, root, 0, 0, 9, 9, 0xFFFFFFFF).reply(),
    "a picture of the application": lambda core, root, app, atom: core.GetImage(2, app, 0, 0, 9, 9, 0xFFFFFFFF).reply(),
    # Tk takes the options of its widgets from there, commands among them.
    "options": lambda core, root, app, atom: core.ChangePropertyChecked(
        0, root, atom("RESOURCE_MANAGER"), 31, 8, 25, b"*Entry.validateCommand: x"
    ).check(),
    "a window manager's configuration": lambda core, root, app, atom: core.ChangePropertyChecked(
        0, root, atom("_OB_CONFIG_FILE"), atom("UTF8_STRING"), 8, 2, b"/x"
    ).check(),
    "a property of the application": lambda core, root, app, atom: core.ChangePropertyChecked(
        0, app, atom("Comm"), 31, 8, 1, b"x"
    ).check(),
    "the end of the application": lambda core, root, app, atom: core.KillClientChecked(app).check(),
    "the end of its window": lambda core, root, app, atom: core.DestroyWindowChecked(app).check(),
    "another place of its window": lambda core, root, app, atom: core.ConfigureWindowChecked(app, 1, [5]).check(),
    "a window in it": lambda core, root, app, atom: core.CreateWindowChecked(
        0, core.conn.generate_id(), app, 0, 0, 9, 9, 0, 0, 0, 0, []
    ).check(),
    "a message to it": lambda core, root, app, atom: core.SendEventChecked(
        False, app, 0, struct.pack("=BBHII5I", 33, 32, 0, app, atom("WM_PROTOCOLS"), atom("WM_TAKE_FOCUS"), 0, 0, 0, 0)
    ).check(),
    "a key to it": lambda core, root, app, atom: core.SendEventChecked(
        False, app, 1, struct.pack("=BBHIIIIhhhhHBx", 2, 38, 0, 0, root, app, 0, 1, 1, 1, 1, 0, 1)
    ).check(),
    "the focus": lambda core, root, app, atom: core.SetInputFocusChecked(0, app, 0).check(),
    "the keyboard": lambda core, root, app, atom: core.GrabKeyboard(True, root, 0, 1, 1).reply(),
    "the pointer": lambda core, root, app, atom: core.GrabPointer(True, root, 0, 1, 1, 0, 0, 0).reply(),
    "a key everywhere": lambda core, root, app, atom: core.GrabKeyChecked(True, root, 0x8000, 38, 1, 1).check(),
    "the meaning of keys": lambda core, root, app, atom: core.ChangeKeyboardMappingChecked(1, 8, 1, [97]).check(),
    "a folder of fonts": lambda core, root, app, atom: core.SetFontPathChecked(0, []).check(),
    "a display for everybody": lambda core, root, app, atom: core.SetAccessControlChecked(0).check(),
    "the window manager's place": lambda core, root, app, atom: core.ChangeWindowAttributesChecked(
        root, 2048, [1 << 20]
    ).check(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_command_cannot_touch_what_others_show(untrusted: Any, trusted: Screen, what: str) -> None:
    (app, *_) = trusted._property(trusted._root, "_NET_CLIENT_LIST")
    refused = untrusted(lambda core, root: REFUSED[what](core, root, app, lambda name: atom(trusted, name)))
    assert refused in ("AccessError", "WindowError"), refused


@pytest.mark.parametrize("name", ["XTEST", "RECORD", "XInputExtension", "XKEYBOARD", "SECURITY", "MIT-SHM"])
def test_a_command_has_no_extension_of_the_display(untrusted: Any, name: str) -> None:
    assert untrusted(lambda core, root: core.QueryExtension(len(name), name).reply().present) == "0"


def test_the_window_manager_does_nothing_for_a_command(
    served: LiveServer, shared: Client, untrusted: Any, trusted: Screen
) -> None:
    """No order to end or restart it, none to close another's window."""
    (app, *_) = trusted._property(trusted._root, "_NET_CLIENT_LIST")
    for name, window, data in (
        ("_OB_CONTROL", None, [1, 0, 0, 0, 0]),
        ("_OB_CONTROL", None, [2, 0, 0, 0, 0]),
        ("_OB_CONTROL", None, [3, 0, 0, 0, 0]),
        ("_NET_CLOSE_WINDOW", app, [0, 2, 0, 0, 0]),
    ):
        message = struct.pack("=BBHII5I", 33, 32, 0, window or trusted._root, atom(trusted, name), *data)
        untrusted(lambda core, root, message=message: core.SendEventChecked(False, root, 3 << 19, message).check())
    time.sleep(0.5)
    desktop = episode_of(served, shared).desktop
    assert not any(program.ended.done() for program in list(desktop.display.keeper._programs.values())[:2])
    assert not desktop.app.ended.done()


def test_the_window_manager_cannot_end_processes_of_the_machine(display: xserver.Display) -> None:
    """It ends those that a window names as its own, where one closes it and it does not answer."""
    if commands.obstacle():
        warnings.warn(f"The window manager's confinement is NOT tested here: {commands.obstacle()}", stacklevel=1)
        return
    assert display.keeper is not None
    mine = processes_of(f"DISPLAY={display.name}\0")
    managers = [pid for pid in mine if Path(f"/proc/{pid}/comm").read_text() == "openbox\n"]
    assert managers
    assert all(os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid") for pid in managers)


# --------------------------------------------------------------------------------------------------- nothing is left


@pytest.mark.parametrize("way", ["close", "verify"])
def test_the_end_of_a_session_leaves_nothing(served: LiveServer, rows: list[Row], way: str) -> None:
    client = seeded(served, rows[0])
    display = episode_of(served, client).desktop.display
    if way == "close":
        client.post("/close_session")
    else:
        client.verdict(rows[0])
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
        forks = [pid for pid in processes_of("fork_server.py") if parent_of(pid) == server.pid]
        assert len(forks) == int(sys.platform == "linux")
    finally:
        server.kill()
        server.wait()
    check_nothing_left_of(folder, f":{display}")
    wait_until(lambda: not set(forks) & set(processes_of("fork_server.py")))


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


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
