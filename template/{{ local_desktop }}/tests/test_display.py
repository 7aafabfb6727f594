# Part of the template: changes belong there (`copier update` merges this file).
"""What a picture waits for, and what the programs of a display are forked from."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from desktop import DesktopLost
from desktop.backend import DesktopSettings, LocalDesktop
from desktop.display.forks import fork_server, server_of
from desktop.display.x11 import Screen
from gymkit import forks
from gymkit.forks import ForkServer, NoFork

QUIET, LIMIT = 0.1, 2.0
"""`settle_seconds` and `max_settle_seconds` of the server."""


def run[Result](work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(work, 60))


@asynccontextmanager
async def desktop_with(script: str, forked: ForkServer | None = None) -> AsyncIterator[LocalDesktop]:
    """A desktop on which a script of Python runs."""
    desktop = LocalDesktop(DesktopSettings(fork_server=False))
    desktop.display._forks = forked
    try:
        await desktop.start()
        await desktop.open_app(["python3", "app.py"], {"app.py": script.encode()})
        yield desktop
    finally:
        await desktop.close()


# ------------------------------------------------------------------------------------------- what a picture waits for

WAYS = {
    "at once": "show('green')",
    "when its work of 60 ms is done": "time.sleep(0.06); show('green')",
    "when its work of half a second is done": "time.sleep(0.5); show('green')",
    "60 ms after its work of 150 ms": "time.sleep(0.15); root.after(60, show, 'green')",
    "60 ms later": "root.after(60, show, 'green')",
    "at once, and more of it 60 ms later": "show('yellow'); root.after(60, show, 'green')",
    "in ten steps, 50 ms each": "step(10)",
}
APP = """
import time, tkinter

root = tkinter.Tk()
root.geometry("1024x700")
canvas = tkinter.Canvas(root, width=300, height=300)
canvas.place(x=700, y=0)
box = canvas.create_rectangle(0, 0, 50, 50, fill="blue")

def show(colour):
    root.configure(background=colour)

def step(left):
    show(f"#{left:02x}0000" if left else "green")
    if left:
        root.after(50, step, left - 1)

def draw_for_ever():
    canvas.move(box, 0, 0)
    root.after(20, draw_for_ever)

for number, code in enumerate(WAYS):
    frame = tkinter.Frame(root, background="white", width=80, height=80)
    frame.place(x=100 * number, y=0)
    frame.bind("<Button-1>", lambda event, code=code: exec(code))
show("red")
root.mainloop()
"""


def app_of(*ways: str) -> str:
    return f"WAYS = {ways!r}\n{APP}"


async def after_click(desktop: LocalDesktop, number: int, quiet: float = QUIET) -> tuple[int, ...]:
    """The colour of the window in the picture after a click into a field."""
    await desktop.click(100 * number + 40, 60, "left", 1)
    return colour_of(await desktop.when_still(quiet, LIMIT, copied))


def copied(picture: Any) -> Any:
    return picture.copy()


def colour_of(picture: Any) -> tuple[int, ...]:
    return picture.getpixel((500, 500))


RED, GREEN = (255, 0, 0), (0, 128, 0)


@pytest.mark.parametrize("damage", [True, False], ids=["DAMAGE", "pictures"])
def test_a_picture_shows_what_a_click_brings_about(damage: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not damage:
        monkeypatch.setattr(Screen, "_watch_drawing", lambda screen: None)

    async def clicks() -> None:
        async with desktop_with(app_of("show('red')", *WAYS.values())) as desktop:
            assert (desktop.display.screen._damage is not None) == damage
            for number, way in enumerate(WAYS, 1):
                assert await after_click(desktop, 0) == RED
                assert await after_click(desktop, number) == GREEN, way

    run(clicks())


def test_a_picture_waits_for_a_program_that_had_no_processor() -> None:
    """What is due in the quiet time is done and drawn by the second answer of its window."""

    async def click() -> tuple[int, ...]:
        async with desktop_with(app_of(WAYS["60 ms later"])) as desktop:
            assert desktop.app is not None and desktop.app.pid is not None
            await after_click(desktop, 1)
            await desktop.click(40, 60, "left", 1)
            picture = asyncio.create_task(desktop.when_still(QUIET, LIMIT, copied))
            await asyncio.sleep(0.03)  # It has had the click by then, and is waiting for its time.
            os.kill(desktop.app.pid, signal.SIGSTOP)
            await asyncio.sleep(0.3)
            os.kill(desktop.app.pid, signal.SIGCONT)
            return colour_of(await picture)

    assert run(click()) == GREEN


def test_a_program_that_draws_the_same_for_ever_is_not_waited_for() -> None:
    async def clicks() -> float:
        async with desktop_with(app_of("draw_for_ever()")) as desktop:
            await after_click(desktop, 0)
            started = time.monotonic()
            # It does draw: half a second without that is not had within one.
            assert not await desktop.display.call(desktop.display.screen._await_quiet, 0.5, started + 1)
            assert colour_of(await desktop.when_still(QUIET, 30, copied)) == RED
            return time.monotonic() - started

    assert run(clicks()) < 10


def test_a_screen_on_which_nothing_was_done_is_not_waited_for_again() -> None:
    async def pictures() -> list[float]:
        async with desktop_with(app_of()) as desktop:
            seconds = []
            for _ in range(2):
                started = time.monotonic()
                await desktop.when_still(2.0, 10.0, copied)
                seconds.append(time.monotonic() - started)
            await desktop.move(5, 5)
            started = time.monotonic()
            await desktop.when_still(2.0, 10.0, copied)
            return [*seconds, time.monotonic() - started]

    first, second, after_input = run(pictures())
    assert first > 1.3
    assert second < 0.7
    assert after_input > 1.3


# ------------------------------------------------------------------------------------------------------------- forks

TELLS = """
import json, os, random, sys, tempfile, tkinter, uuid

paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
descriptors = [os.readlink(path) for path in paths if os.path.exists(path)]
root = tkinter.Tk()
told = {
    "argv": sys.argv, "path": sys.path[0], "environ": dict(os.environ), "cwd": os.getcwd(), "name": __name__,
    "descriptors": descriptors,
    "shown": [open(f"/proc/self/{name}").read() for name in ("cmdline", "environ")], "parent": os.getppid(),
    "drawn": [random.random(), next(tempfile._get_candidate_names()), uuid.uuid1().hex, os.urandom(8).hex()],
    "modules": sorted({"keeper", "fork_server", "forks", "gymkit", "gymkit.renew"} & set(sys.modules)),
    "loaded": "tkinter.ttk" in sys.modules,
}
with open("told.json", "w") as file:
    json.dump(told, file)
root.mainloop()
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """A fork server of a process that has a secret and an open file."""
    monkeypatch.setenv("SECRET", "of the server")
    server = server_of(("tkinter.ttk", "random", "tempfile", "uuid"))
    with open(__file__) as file:
        os.set_inheritable(file.fileno(), True)
        server.start()
        yield server
    server.close()


async def told_on(desktop: LocalDesktop) -> dict[str, Any]:
    for _ in range(200):
        try:
            return json.loads(await desktop.read_file("told.json"))
        except (FileNotFoundError, ValueError):
            await asyncio.sleep(0.02)
    raise AssertionError("nothing was told")


def test_an_application_that_is_forked_is_as_one_that_is_started(server: ForkServer) -> None:
    async def tell(forked: ForkServer | None) -> tuple[dict[str, Any], LocalDesktop]:
        async with desktop_with(TELLS, forked) as desktop:
            told = await told_on(desktop)
            assert desktop.display.keeper is not None
            assert told.pop("parent") == desktop.display.keeper.pid
            parents = Path(f"/proc/{desktop.display.keeper.pid}/status").read_text()
            assert (f"PPid:\t{server.pid}\n" in parents) == (forked is not None)
            return told, desktop

    started, of_started = run(tell(None))
    one, of_one = run(tell(server))
    other, _ = run(tell(server))
    drawn = [*started.pop("drawn"), *one.pop("drawn"), *other.pop("drawn")]
    assert len(set(drawn)) == len(drawn)
    assert (started.pop("loaded"), one.pop("loaded"), one.pop("modules")) == (False, True, [])
    shown, _ = one.pop("shown"), started.pop("shown")
    assert shown[0].rstrip("\0").split("\0") == [sys.executable, "app.py"]
    assert "SECRET" not in shown[1] and "PADDING" not in shown[1]
    # All the rest is alike, but for where it is.
    for told, desktop in ((started, of_started), (one, of_one)):
        for name, value in told.items():
            text = json.dumps(value).replace(str(desktop.display.folder), "FOLDER")
            told[name] = text.replace(f'"{desktop.display.name}"', "DISPLAY")
    del started["modules"]
    assert one == started


def test_an_application_that_fails_says_why(server: ForkServer, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        async with desktop_with("import sys\nraise ValueError(sys.argv)", server):
            pass

    with pytest.raises(DesktopLost, match="did not start; the server's log says why"):
        run(fail())
    assert "ValueError: ['app.py']" in caplog.text


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP])
def test_desktops_do_without_a_fork_server_that_is_not_well(
    server: ForkServer, harm: signal.Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forks, "FORK_SECONDS", 1)

    async def play() -> None:
        async with desktop_with(app_of("show('green')"), server) as living:
            pid = server.pid
            assert pid is not None
            os.kill(pid, harm)
            async with desktop_with(app_of("show('green')"), server) as started:
                for desktop in (living, started):
                    assert await after_click(desktop, 0) == GREEN
                assert server.pid is None
                assert not os.path.exists(f"/proc/{pid}")

    with caplog.at_level(logging.WARNING, "gymkit"):
        run(play())
    assert "Desktops start slowly for now: no fork server" in caplog.text


def test_what_has_threads_is_not_forked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()"
    )
    server = server_of(("threads",), PYTHONPATH=str(tmp_path))
    reading, writing = os.pipe()
    with pytest.raises(NoFork, match="there is no fork server"):
        asyncio.run(server.forked([reading, writing]))
    os.close(reading)
    os.close(writing)
    assert "it has 2 threads" in caplog.text


def test_there_is_one_fork_server_for_all_and_none_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fork_server(("json",)) is fork_server(("json",))
    fork_server.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert fork_server(("json",)) is None
    fork_server.cache_clear()


def test_a_fork_that_gets_no_folder_ends_without_a_word(server: ForkServer) -> None:
    """It has been given up, and its display may have another keeper by then."""
    orders, ordering = os.pipe()
    said, saying = os.pipe()
    asyncio.run(server.forked([orders, saying]))
    for end in (orders, saying, ordering):
        os.close(end)
    with open(said, "rb") as file:
        assert file.read() == b""
