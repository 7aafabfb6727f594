# Part of the template: changes belong there (`copier update` merges this file).
"""The desktop and its tools, for real: bad calls, things that break, and what is left over."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import Client, LiveServer, Row, play_row
from PIL import Image, ImageChops

import desktop
from display import commands
from gymkit import project
from gymkit.server import CannotServe
from keyboard import UnknownKey, keysym_of, parse_keys


def picture(client: Client, tool: str = "screenshot", **arguments: Any) -> Image.Image:
    """The picture in a tool's answer."""
    url = client.post(f"/{tool}", json=arguments).json()["image"]
    head, _, data = url.partition(",")
    found = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{found.format.lower()};base64"
    return found.convert("RGB")


def only_session(live: LiveServer) -> Any:
    """The episode of the one session that is open."""
    (session,) = live.server._sessions._open.values()
    return session.state


def seeded(live: LiveServer, row: Row) -> Client:
    """A client with a session whose desktop runs."""
    client = live.client()
    client.seed(row)
    assert client.tool("get_screen_size") == "The screen is 1024 x 768 pixels."
    return client


def wait_until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_of(folder: str) -> list[int]:
    """The processes that name a folder in their command line or environment."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if any(folder.encode() in (path / name).read_bytes() for name in ("cmdline", "environ")):
                    found.append(int(path.name))
            except OSError:
                continue
    return found


def check_nothing_left(folder: Path, display: str) -> None:
    """No process, folder, socket or lock file of a desktop is left over."""
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


def test_an_unknown_key_is_text(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    for keys in ("NoSuchKey", "ctrl+", "+s", "ctrl+NoSuchKey", "a+b+c+d+e+f", "hyper drive", "\x07", ""):
        assert client.tool("key", keys=keys).startswith("Error: "), keys
        assert client.tool("hold_key", keys=keys, seconds=0.1).startswith("Error: "), keys
    for seconds in (0, -1, 11, 1e9):
        assert client.tool("hold_key", keys="a", seconds=seconds).startswith("Error: ")
        assert client.tool("wait", seconds=seconds * 4).startswith("Error: ")


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


def test_too_much_text_is_refused_at_once_and_much_text_is_typed_soon(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    started = time.monotonic()
    assert "100,000 characters; 5,000 is the most" in client.tool("type", text="a" * 100_000)
    assert time.monotonic() - started < 5
    client.tool("key", keys="Tab")
    assert client.tool("type", text="a" * 5_000) == "Typed 5,000 characters."
    assert time.monotonic() - started < 60


def test_characters_that_cannot_be_typed_are_text(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    for text in ("\x1b[2J", "\x00", "a\u2028b", "\u200b"):
        assert "cannot be typed" in client.tool("type", text=text), repr(text)


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
    for row in rows:
        client.seed(row)
        client.tool("screenshot")
        client.tool("terminate", status="success", answer="done")
        verdict = client.verdict(row)
        assert (verdict["reward"], verdict["mask_sample"]) == (0.0, False)


def test_a_task_without_a_state_needs_a_setting(serve: Any, rows: list[Row]) -> None:
    row = {**rows[0], "ground_truth": [{"expected_output": {}}]}
    refused = serve().client().post("/seed_session", json=row)
    assert refused.status_code == 422
    assert "nothing to check" in refused.json()["output"]
    client = serve(trust_terminate=True).client()
    client.seed(row)
    client.tool("terminate", status="success", answer="")
    assert client.verdict(row)["reward"] == 1.0


# ---------------------------------------------------------------------------------------------------------- commands


def test_a_command_that_never_ends_is_ended(serve: Any, rows: list[Row]) -> None:
    live = serve(command_seconds=1, unconfined_commands=True)
    client = seeded(live, rows[0])
    started = time.monotonic()
    output = client.tool("run_command", command="echo first; sleep 1000 & sleep 1000")
    assert time.monotonic() - started < 10
    assert output == "first\n\nThe command was ended: it ran longer than 1 seconds."
    assert client.tool("run_command", command="echo again; exit 3") == "again\n\nExit code 3."


def test_a_command_whose_caller_goes_is_ended_and_the_desktop_lives_on(live: LiveServer, rows: list[Row]) -> None:
    live.server.config.unconfined_commands = True
    client = seeded(live, rows[0])
    with pytest.raises(requests.Timeout):
        client.post("/run_command", json={"command": "sleep 4321"}, timeout=1)
    wait_until(lambda: not processes_of("sleep 4321"))
    assert client.tool("run_command", command="echo alive") == "alive\n\nExit code 0."


def test_a_command_that_prints_for_ever_is_cut(serve: Any, rows: list[Row]) -> None:
    client = seeded(serve(command_seconds=2, unconfined_commands=True), rows[0])
    output = client.tool("run_command", command="yes")
    assert "left out" in output
    assert len(output) < 110_000


def test_a_command_sees_nothing_of_the_server(live: LiveServer, rows: list[Row]) -> None:
    client = seeded(live, rows[0])
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


def test_pictures_come_when_the_row_asks_for_them(live: LiveServer, rows: list[Row]) -> None:
    for asks in (True, False):
        client = live.client()
        client.seed({**rows[0], "screenshot_after_action": asks})
        assert ("image" in client.post("/mouse_move", json={"x": 9, "y": 9}).json()) is asks
        assert "image" in client.post("/screenshot", json={}).json()


@pytest.mark.parametrize(("image_format", "scale"), [("jpeg", 1.0), ("png", 1.0), ("png", 0.5), ("jpeg", 0.37)])
def test_pictures_have_the_format_and_the_scale_of_the_settings(
    serve: Any, rows: list[Row], image_format: str, scale: float
) -> None:
    live = serve(image_format=image_format, image_scale=scale, max_output_characters=100)
    client = live.client()
    client.seed(rows[0])
    assert picture(client).size == (round(1024 * scale), round(768 * scale))
    # The player asks for the size, and clicks where things are in pictures of that size.
    assert client.verdict(rows[0], play_row(client, rows[0]))["reward"] == 1.0


def test_a_session_changes_no_pixel_of_another(serve: Any, rows: list[Row]) -> None:
    live = serve(image_format="png")
    clients = [seeded(live, rows[0]) for _ in range(8)]
    before = [picture(client) for client in clients]
    clients[0].tool("left_click", x=76, y=212)
    clients[0].tool("type", text="only here")
    assert ImageChops.difference(before[0], picture(clients[0])).getbbox() is not None
    for client, image in zip(clients[1:], before[1:], strict=True):
        assert ImageChops.difference(image, picture(client)).getbbox() is None
    displays = {session.state.desktop._display for session in live.server._sessions._open.values()}
    assert len(displays) == 8


def test_a_display_opens_to_its_own_cookie_only(live: LiveServer, rows: list[Row]) -> None:
    from display.x11 import DisplayGone, Screen

    seeded(live, rows[0])
    display, cookie = only_session(live).desktop._display, only_session(live).desktop._cookie
    Screen(display, cookie).close()
    with pytest.raises(DisplayGone):
        Screen(display, b"0" * 32)


def test_letters_of_all_scripts_are_typed(live: LiveServer, rows: list[Row]) -> None:
    client = seeded(live, rows[0])
    text = "Zoë Ελληνικά Привет 北京 日本語 العربية ñ€ß «…» " + "".join(map(chr, range(0x4E00, 0x4E00 + 150)))
    state = json.loads(_saved(only_session(live)))
    client.tool("left_click", x=454, y=92)  # the tab Note
    client.tool("left_click", x=512, y=381)
    client.tool("key", keys="ctrl+a")
    client.tool("type", text=text)
    client.tool("key", keys="ctrl+s")
    assert json.loads(_saved(only_session(live))) == {**state, "note": text}


def _saved(episode: Any) -> bytes:
    return (episode.desktop._folder / "app" / "state.json").read_bytes()


# ------------------------------------------------------------------------------------------------- things that break


def test_a_closed_application_is_opened_again(live: LiveServer, rows: list[Row]) -> None:
    client = seeded(live, rows[0])
    before = picture(client)
    output = client.tool("key", keys="alt+F4")
    assert output.endswith("The application was closed. It has been opened again, with what had been saved.")
    after = picture(client)
    assert all(low == 0 and high < 60 for low, high in ImageChops.difference(before, after).getextrema())
    assert client.verdict(rows[0], play_row(client, rows[0]))["reward"] == 1.0


@pytest.mark.parametrize("victim", ["_server", "_app", "_keeper"])
def test_what_is_killed_is_text_and_masks_the_sample(live: LiveServer, rows: list[Row], victim: str) -> None:
    client = seeded(live, rows[0])
    mine = only_session(live).desktop
    process = getattr(mine, victim)
    os.kill(process._process.pid if victim == "_keeper" else process.pid, signal.SIGKILL)
    time.sleep(0.2)
    for _ in range(2):
        answer = client.post("/left_click", json={"x": 5, "y": 5})
        assert answer.status_code == 200
        assert answer.json()["output"].startswith("Error: there is no desktop for this episode any more.")
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (0.0, True, "provider_unavailable")
    check_nothing_left(mine._folder, mine._display)
    # The server lives on.
    assert live.client().seed(rows[0])


def test_a_display_that_hangs_is_text(live: LiveServer, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    client = seeded(live, rows[0])
    monkeypatch.setattr(desktop, "CALL_SECONDS", 1)
    mine = only_session(live).desktop
    os.kill(mine._server.pid, signal.SIGSTOP)
    assert "did not answer for 1 seconds" in client.tool("mouse_move", x=5, y=5)
    assert client.verdict(rows[0])["failure_kind"] == "provider_unavailable"
    check_nothing_left(mine._folder, mine._display)


# --------------------------------------------------------------------------------------------------- nothing is left


@pytest.mark.parametrize("way", ["close", "verify", "seed"])
def test_the_end_of_a_session_leaves_nothing(live: LiveServer, rows: list[Row], way: str) -> None:
    client = seeded(live, rows[0])
    mine = only_session(live).desktop
    if way == "close":
        client.post("/close_session")
    elif way == "verify":
        client.verdict(rows[0])
    else:
        client.seed(rows[1])
    check_nothing_left(mine._folder, mine._display)


def test_a_session_that_ends_while_its_desktop_starts_leaves_nothing(live: LiveServer, rows: list[Row]) -> None:
    before = set(Path("/tmp").glob("desktop-*"))
    client = live.client()
    client.seed(rows[0])
    cookies = client.cookies.get_dict()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lambda: live.client().post("/screenshot", json={}, cookies=cookies))
        time.sleep(0.2)
        client.post("/close_session")
        assert call.result().status_code < 500
    wait_until(lambda: not set(Path("/tmp").glob("desktop-*")) - before)


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
    check_nothing_left(folder, f":{display}")


def answers(client: Client) -> bool:
    try:
        return client.get("/health").ok
    except requests.ConnectionError:
        return False


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ------------------------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize("program", list(desktop.PROGRAMS))
def test_a_missing_program_is_one_line_that_names_the_package(program: str, tmp_path: Path) -> None:
    for other in [*desktop.PROGRAMS, "sh"]:
        if other != program:
            (tmp_path / other).symlink_to(str(shutil.which(other)))
    environ = os.environ | {"PATH": str(tmp_path), "PORT": str(free_port())}
    command = [sys.executable, "server.py"]
    done = subprocess.run(
        command, cwd=project.ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    package = desktop.PROGRAMS[program]
    assert f"{program} is not installed: install Debian's package {package}." in done.stderr
    assert "Traceback" not in done.stderr


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

    monkeypatch.setattr(desktop.importlib, "import_module", fail)
    with pytest.raises(desktop.DesktopLost) as caught:
        desktop.check()
    assert re.search(says, str(caught.value))
