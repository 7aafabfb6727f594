# Part of the template: changes belong there (`copier update` merges this file).
"""The desktop at E2B: E2B's own client, against the stand-in of its service, on a real X display."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import play_row
from standins.e2b import ID_VARIABLE, SERVICE_VARIABLE, Service, marked, serve

from desktop import DesktopLost, ProviderLost
from desktop.backend import DesktopSettings, E2BDesktop, check
from gymkit.rows import Row

# Draws each click and writes down what it is told, as an application that saves does.
APP = b"""
import tkinter as tk
root = tk.Tk()
canvas = tk.Canvas(root, width=300, height=200, background="white")
canvas.pack()
entry = tk.Entry(root, width=30, insertofftime=0)
entry.pack()
entry.focus_force()
log = open("log.txt", "a", buffering=1)
def clicked(event):
    canvas.create_rectangle(event.x - 5, event.y - 5, event.x + 5, event.y + 5, fill="red", outline="red")
    log.write(f"button {event.num} {event.x_root} {event.y_root}\\n")
def typed(event):
    open("typed.txt", "w").write(entry.get())
def released(event):
    log.write(f"released {event.num}\\n")
canvas.bind("<ButtonRelease>", released)
for number in range(1, 6):
    canvas.bind(f"<Button-{number}>", clicked)
entry.bind("<KeyRelease>", typed)
root.bind("<Control-q>", lambda event: root.destroy())
root.mainloop()
"""
FILES = {"app.py": APP}
COMMAND = ["python3", "app.py"]

Work = Callable[[E2BDesktop], Awaitable[Any]]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service of this file's own, which tests watch."""
    with serve() as service, pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment().items():
            patch.setenv(name, value)
        yield service


def on_desktop(work: Work) -> Any:
    """What `work` returns, given a started desktop that is closed afterwards."""

    async def run() -> Any:
        desktop = E2BDesktop(DesktopSettings(screen_width=640, screen_height=480, unconfined_commands=True))
        await desktop.start()
        try:
            return await work(desktop)
        finally:
            await desktop.close()

    return asyncio.run(run())


async def until_it_fails(call: Callable[[], Awaitable[Any]], seconds: float = 10) -> None:
    """Make a call until it fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not await call():
            return
        await asyncio.sleep(0.05)


def command_lines(service: Service) -> list[list[str]]:
    """The command lines of what runs on the only desktop."""
    (number,) = service.running()
    lines = []
    for process in marked(ID_VARIABLE, number):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            lines.append(Path(f"/proc/{process}/cmdline").read_text().split("\0"))
    return lines


async def told(desktop: E2BDesktop, name: str, text: str, seconds: float = 5) -> str:
    """What stands in a file of the application's, once it holds a text."""
    content = ""
    end = time.monotonic() + seconds
    while text not in content and time.monotonic() < end:
        await asyncio.sleep(0.05)
        try:
            content = (await desktop.read_file(name)).decode()
        except FileNotFoundError:
            continue
    return content


def test_a_click_is_seen_on_the_screen_and_by_the_application(service: Service) -> None:
    async def work(desktop: E2BDesktop) -> None:
        assert (await desktop.screenshot()).size == (desktop.width, desktop.height) == (640, 480)
        await desktop.open_app(COMMAND, FILES)
        assert await desktop.app_alive()
        await desktop.move(320, 150)
        assert await desktop.cursor() == (320, 150)
        before = await desktop.screenshot()
        for button in ("left", "middle", "right"):
            await desktop.button(button, True)
            await desktop.button(button, False)
        await desktop.scroll(0, 2)
        await desktop.scroll(0, -1)
        lines = (await told(desktop, "log.txt", "released 4")).splitlines()
        pressed = [line for number in (1, 2, 3, 5, 5, 4) for line in (f"button {number} 320 150", f"released {number}")]
        assert lines == pressed
        await desktop.move(5, 470)
        red = (await desktop.screenshot()).getpixel((322, 152))
        assert (before.mode, red) == ("RGB", (255, 0, 0))
        assert before.getpixel((322, 152)) != red

    on_desktop(work)


def test_texts_and_keys(service: Service) -> None:
    text = 'It\'s 50% "done" -- $HOME; é, €\\n'

    async def work(desktop: E2BDesktop) -> None:
        await desktop.open_app(COMMAND, FILES)
        await desktop.move(320, 300)
        await desktop.type_text(text)
        assert await told(desktop, "typed.txt", "\\n") == text
        for names in (["Home"], ["Shift_L", "a"], ["exclam"]):
            await desktop.keys(names, True)
            await desktop.keys(names, False)
        assert await told(desktop, "typed.txt", "A!") == "A!" + text
        await desktop.keys(["Control_L", "q"], True)
        await desktop.keys(["Control_L", "q"], False)
        for _ in range(50):
            if not await desktop.app_alive():
                break
        assert not await desktop.app_alive()
        await desktop.open_app(COMMAND, {})  # again
        assert await desktop.app_alive()

    on_desktop(work)


def test_letters_of_any_script_more_than_the_keyboard_has_keys_for(service: Service) -> None:
    text = "Ελληνικά, русский язык, " + "".join(chr(0x4E00 + number) for number in range(150)) + ". Ünïcödé"

    async def work(desktop: E2BDesktop) -> None:
        await desktop.open_app(COMMAND, FILES)
        await desktop.move(320, 300)
        await desktop.type_text(text)
        assert await told(desktop, "typed.txt", "dé", seconds=30) == text

    on_desktop(work)


def test_commands(service: Service) -> None:
    async def work(desktop: E2BDesktop) -> None:
        assert await desktop.run_command("echo out; echo err >&2; exit 3", seconds=10) == (3, "out\nerr\n")
        code, output = await desktop.run_command("echo begun; sleep 987", seconds=1)
        assert (code, output) == (None, "begun\n")
        code, output = await desktop.run_command("head -c 300000 /dev/zero | tr '\\0' x", seconds=10)
        assert code == 0
        assert "200000 bytes left out" in output
        assert len(output) < 101_000
        assert await desktop.run_command("head -c 70000 /dev/zero | tr '\\0' x", seconds=10) == (0, "x" * 70000)
        assert await desktop.run_command("sleep 987 & echo $DISPLAY >/dev/null", seconds=10) == (0, "")
        assert (await desktop.run_command("echo a\0b", seconds=10))[0] == 2
        assert not [line for line in command_lines(service) if "987" in " ".join(line)]

    on_desktop(work)


def test_each_desktop_has_its_own_display(service: Service) -> None:
    async def work(desktop: E2BDesktop) -> None:
        other = E2BDesktop(DesktopSettings(screen_width=640, screen_height=480))
        await other.start()
        await asyncio.gather(desktop.open_app(COMMAND, FILES), other.open_app(COMMAND, FILES))
        await other.move(5, 470)
        before = await other.screenshot()
        await desktop.move(320, 150)
        await desktop.button("left", True)
        await desktop.button("left", False)
        assert await told(desktop, "log.txt", "button 1")
        assert (await other.screenshot()).tobytes() == before.tobytes()
        assert await other.cursor() == (5, 470)
        with pytest.raises(FileNotFoundError):
            await other.read_file("nothing.txt")
        assert (await other.read_file("log.txt")) == b""
        await other.close()

    on_desktop(work)


@pytest.mark.parametrize(("victim", "reason"), [("app.py", ""), ("-retro", "is gone")], ids=["app", "display"])
def test_what_crashes_is_noticed(service: Service, victim: str, reason: str) -> None:
    async def work(desktop: E2BDesktop) -> None:
        await desktop.open_app(COMMAND, FILES)
        (number,) = service.running()
        for process in marked(ID_VARIABLE, number):
            with contextlib.suppress(OSError):  # It has ended meanwhile.
                if victim in Path(f"/proc/{process}/cmdline").read_text().split("\0"):
                    os.kill(process, signal.SIGKILL)
        if victim == "app.py":
            await until_it_fails(desktop.app_alive)
            await desktop.open_app(COMMAND, {})  # again
            assert await desktop.app_alive()
            return
        with pytest.raises(DesktopLost, match=reason) as lost:
            await until_it_fails(desktop.screenshot)
        assert not isinstance(lost.value, ProviderLost)

    on_desktop(work)


def test_an_application_that_does_not_start_is_lost(service: Service) -> None:
    async def work(desktop: E2BDesktop) -> None:
        with pytest.raises(DesktopLost, match="did not start"):
            await desktop.open_app(COMMAND, {"app.py": b"1 / 0"})

    on_desktop(work)


@pytest.mark.parametrize("refusal", [(429, "too many sandboxes"), (500, "broken")])
def test_a_desktop_that_is_refused_is_lost(
    service: Service, monkeypatch: pytest.MonkeyPatch, refusal: tuple[int, str]
) -> None:
    monkeypatch.setattr(service, "refusal", refusal)
    with pytest.raises(DesktopLost, match=refusal[1]):
        on_desktop(E2BDesktop.screenshot)


@pytest.mark.parametrize("key", ["e2b_" + "a" * 40, None])
def test_without_the_right_key_there_is_none_and_the_key_is_not_told(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: str | None
) -> None:
    if key is None:
        monkeypatch.delenv("E2B_API_KEY")
    else:
        monkeypatch.setenv("E2B_API_KEY", key)
    check()
    assert ("is not set" in caplog.text) == (key is None)
    with pytest.raises(DesktopLost) as lost:
        on_desktop(E2BDesktop.screenshot)
    assert (key or "?") not in str(lost.value)


def test_a_desktop_that_dies_is_lost(service: Service) -> None:
    async def work(desktop: E2BDesktop) -> None:
        (number,) = service.running()
        calling = asyncio.create_task(desktop.run_command("sleep 60", seconds=60))
        while ["sleep", "60", ""] not in command_lines(service):
            await asyncio.sleep(0.02)
        await asyncio.to_thread(service.kill, number)
        for call in (calling, desktop.screenshot(), desktop.cursor(), desktop.run_command("true", seconds=5)):
            with pytest.raises(DesktopLost) as lost:
                await call
            assert not isinstance(lost.value, ProviderLost)  # It may be its own doing.

    on_desktop(work)


def test_a_service_that_has_gone_is_a_lost_provider(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(desktop: E2BDesktop) -> None:
        monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
        await asyncio.to_thread(service.kill, *service.running())
        with pytest.raises(ProviderLost):
            await desktop.screenshot()

    on_desktop(work)


def test_commands_are_refused_unless_the_settings_allow_them(service: Service) -> None:
    """They could change what the application has saved."""

    async def work(desktop: E2BDesktop) -> None:
        desktop.settings = DesktopSettings()
        code, output = await desktop.run_command("echo no >app/state.json", seconds=5)
        assert (code, "unconfined_commands" in output) == (126, True)

    on_desktop(work)


# This machine's processes are seen from the stand-in's: only those of its own folder are ended.
END_APP = "for pid in $(pgrep -f office_app.py); do [ /proc/$pid/cwd -ef ~/app ] && kill -KILL $pid; done"


@pytest.mark.parametrize(
    ("ends", "reward"),
    [("machine", 0.0), ("service", None), ("rm ~/app/state.json", 0.0), (END_APP, 1.0)],
)
def test_what_an_agent_ends_voids_nothing(
    service: Service, serve: Any, rows: list[Row], monkeypatch: pytest.MonkeyPatch, ends: str, reward: float | None
) -> None:
    """What has been saved is graded, where it can still be read. Only a provider that is lost masks the sample."""
    client = serve(unconfined_commands=True).client()
    client.seed(rows[0])
    play_row(client, {**rows[0], "oracle": rows[0]["oracle"][:-1]})  # without terminate
    if ends in ("machine", "service"):
        if ends == "service":
            monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
        service.kill(*service.running())
        assert client.tool("mouse_move", x=5, y=5).startswith("Error: the ")
    else:
        client.tool("run_command", command=ends)
    client.tool("terminate", status="success", answer="")
    verdict = client.verdict(rows[0])
    assert verdict["mask_sample"] == (reward is None)
    assert verdict["reward"] == (reward or 0.0)


def test_nothing_is_left_after_close(service: Service) -> None:
    async def work(desktop: E2BDesktop) -> str:
        await desktop.open_app(COMMAND, FILES)
        (display,) = (each.read_text() for each in service.folder.glob("*/display"))
        assert Path(f"/tmp/.X{display[1:]}-lock").exists()
        await desktop.close()
        await desktop.close()
        with pytest.raises(DesktopLost, match="was closed"):
            await desktop.screenshot()
        return display

    display = on_desktop(work)
    assert service.running() == []
    assert marked(SERVICE_VARIABLE, service.token) == set()
    assert not Path(f"/tmp/.X{display[1:]}-lock").exists()


def test_one_that_is_closed_while_it_starts_is_not_left(service: Service) -> None:
    async def run() -> None:
        desktop = E2BDesktop(DesktopSettings())
        created = service.created
        starting = asyncio.create_task(desktop.start())
        while service.created == created:
            await asyncio.sleep(0.005)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(run())
    assert service.running() == []
