# Part of the template: changes belong there (`copier update` merges this file).
"""Desktops on this machine: each is an X display of its own."""

import asyncio
import importlib
import logging
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic

from PIL.Image import Image
from pydantic import BaseModel, Field

from desktop import Button, Desktop, DesktopLost, when_still_by_pictures
from desktop.display import commands
from desktop.display.forks import fork_server
from desktop.display.processes import Program
from desktop.display.xserver import SLICE_SECONDS, Display
from desktop.keyboard import keysym_of
from gymkit.forks import ForkServer

log = logging.getLogger("gymkit")

RUNS_CODE_HERE = True
"""Whether `run_command` runs on the server's machine."""
APP_OPTIONS: list[str] = []
"""What the application's command line needs on this kind of desktop."""

PROGRAMS = {"Xvfb": "xvfb", "openbox": "openbox"}
"""The programs that a desktop needs, and Debian's packages of them."""
BUTTONS = {"left": 1, "middle": 2, "right": 3}
WINDOW_SECONDS = 60
WATCH_SECONDS = 5
WATCH_QUIETS = 3
"""A program that draws may draw the same over and over: after so many times the quiet time, pictures are compared."""
TYPED_AT_ONCE = 200
MAX_COMMAND_OUTPUT = 100_000
MAX_FILE_BYTES = 50_000_000


class DesktopSettings(BaseModel):
    """Settings of the desktops."""

    screen_width: int = Field(default=1024, ge=320, le=4096, description="Width of the screen in pixels.")
    screen_height: int = Field(default=768, ge=240, le=4096, description="Height of the screen in pixels.")
    unconfined_commands: bool = Field(
        default=False, description="Run commands also where bubblewrap cannot confine them: in a container, say."
    )
    fork_server: bool = Field(default=True, description="Whether desktops are forks of a program that is kept ready.")
    preload: list[str] = Field(
        default=["tkinter", "tkinter.ttk", "tkinter.messagebox", "json", "pathlib"],
        description="Modules that the fork server holds in memory for all applications.",
    )


def check(settings: DesktopSettings | None = None) -> None:
    """Make sure that this machine can show a desktop.

    Raises:
        DesktopLost: something is missing; the message names the package to install.
    """
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise DesktopLost(f"{program} is not installed: install Debian's package {package}.")
    try:
        importlib.import_module("desktop.display.x11")
    except ModuleNotFoundError as error:
        raise DesktopLost(f"{error.name} is not installed: run `uv sync`.") from None
    except OSError as error:
        raise DesktopLost(f"libxcb is missing: install Debian's package libxcb1 ({error}).") from None
    try:
        importlib.import_module("tkinter")
    except ImportError as error:
        what = "libtk is missing: install Debian's package libtk8.6"
        if "libtk" not in str(error) and "libtcl" not in str(error):
            what = "this Python was built without tkinter: use another one, or Debian's with its package python3-tk"
        raise DesktopLost(f"{what} ({error}; Python is {sys.executable}).") from None


def make_desktop(settings: DesktopSettings) -> Desktop:
    """A desktop that is not yet started."""
    return LocalDesktop(settings)


def get_ready(settings: DesktopSettings) -> None:
    """Start what desktops are forked from, in the background, for the first one not to wait for it."""
    if forks := forks_of(settings):
        forks.start()


def forks_of(settings: DesktopSettings) -> ForkServer | None:
    return fork_server(tuple(settings.preload)) if settings.fork_server else None


class LocalDesktop:
    """An X display of its own, with an application on it.

    Attributes:
        display: The display.
        app: The application; None until `open_app`.
    """

    def __init__(self, settings: DesktopSettings) -> None:
        self.width = settings.screen_width
        self.height = settings.screen_height
        self.display = Display(self.width, self.height, forks_of(settings))
        self.app: Program | None = None
        self._unconfined = settings.unconfined_commands

    async def start(self) -> None:
        await asyncio.to_thread(check)
        await self.display.start()

    async def close(self) -> None:
        await self.display.close()

    # ------------------------------------------------------------------------------------- screen, mouse, keyboard

    async def screenshot(self) -> Image:
        return await self.display.call(self.display.screen.capture)

    async def when_still[Result](self, quiet: float, limit: float, look: Callable[[Image], Result]) -> Result:
        end = monotonic() + limit
        watched = min(limit, WATCH_QUIETS * quiet, WATCH_SECONDS)
        made = await self.display.call(self.display.screen.when_still, quiet, watched, look)
        return made[0] if made else await when_still_by_pictures(self, quiet, end - monotonic(), look)

    async def cursor(self) -> tuple[int, int]:
        return await self.display.call(self.display.screen.pointer)

    async def move(self, x: int, y: int) -> None:
        await self.display.call(self.display.screen.move, x, y)

    async def button(self, button: Button, down: bool) -> None:
        await self.display.call(self.display.screen.button, BUTTONS[button], down)

    async def click(self, x: int, y: int, button: Button, times: int) -> None:
        await self.display.call(self.display.screen.click, x, y, BUTTONS[button], times)

    async def scroll(self, dx: int, dy: int) -> None:
        for notches, forward, backward in ((dy, 5, 4), (dx, 7, 6)):
            for _ in range(abs(notches)):
                for down in (True, False):
                    await self.display.call(self.display.screen.button, forward if notches > 0 else backward, down)

    async def type_text(self, text: str) -> None:
        stop = Event()
        try:
            # In parts: a call has a time limit, and letters that the keyboard lacks take a while.
            for start in range(0, len(text), TYPED_AT_ONCE):
                await self.display.call(self.display.screen.type_text, text[start : start + TYPED_AT_ONCE], stop)
        finally:
            # Cancelled, or out of time: the thread must not go on.
            stop.set()

    async def keys(self, names: list[str], down: bool) -> None:
        await self.display.call(self.display.screen.keys, [keysym_of(name) for name in names], down)

    # ------------------------------------------------------------------------------------ commands and application

    async def run_command(self, command: str, *, seconds: float) -> tuple[int | None, str]:
        display = self.display
        display.check()
        obstacle = await asyncio.to_thread(commands.obstacle)
        if obstacle and not self._unconfined:
            return 126, f"Commands cannot be run on this machine: {obstacle}."
        home, access = display.folder / "home", display.access_of_commands
        argv = ["/bin/sh", "-c", command]
        if not obstacle:
            argv = commands.confined(argv, access, home)
        variables = commands.environment(access, home, confined=not obstacle)
        program, output = await display.run(argv, environment=variables, folder=home, limits=commands.LIMITS)
        try:
            done, _ = await asyncio.wait({program.ended}, timeout=seconds)
        finally:
            display.kill(program)
        code = program.ended.result() if done else None
        await asyncio.wait({program.ended})
        await display.call(display.screen.touch)
        return code, await asyncio.to_thread(take_output, output)

    async def open_app(self, argv: list[str], files: dict[str, bytes]) -> None:
        display = self.display
        display.check()
        folder = display.folder / "app"
        try:
            await asyncio.to_thread(write_files, folder, files)
        except OSError as error:
            raise DesktopLost(f"The application's files cannot be written: {error.strerror}.") from None
        command = [sys.executable if part == "python3" else part for part in argv]
        self.app, output = await display.run(command, folder=folder)
        try:
            async with asyncio.timeout(WINDOW_SECONDS):
                while not await display.call(display.screen.await_windows, SLICE_SECONDS):
                    if self.app.ended.done():
                        said = await asyncio.to_thread(head_and_tail, output)
                        log.error("The application did not start (exit code %s):\n%s", self.app.ended.result(), said)
                        raise DesktopLost("The application did not start; the server's log says why.")
        except TimeoutError:
            raise DesktopLost(f"The application opened no window within {WINDOW_SECONDS} seconds.") from None

    async def read_file(self, name: str) -> bytes:
        return await asyncio.to_thread(read_beginning, self.display.folder / "app" / name)

    async def app_alive(self) -> bool:
        self.display.check()
        return self.app is not None and not self.app.ended.done()


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder."""
    for name, data in files.items():
        (folder / name).write_bytes(data)


def read_beginning(path: Path) -> bytes:
    """The content of a regular file, up to `MAX_FILE_BYTES`: no pipe, which would be waited for, and no link.

    Raises:
        FileNotFoundError: there is none that can be read.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise FileNotFoundError(f"{path.name} cannot be read: {error.strerror}") from None
    raise FileNotFoundError(f"{path.name} is no regular file")


def take_output(path: Path) -> str:
    """What a command printed; the file is removed."""
    text = head_and_tail(path)
    path.unlink(missing_ok=True)
    return text


def head_and_tail(path: Path) -> str:
    """The text in a file; of a long one, its beginning and its end."""
    half = MAX_COMMAND_OUTPUT // 2
    with path.open("rb") as file:
        head = file.read(half)
        size = os.fstat(file.fileno()).st_size
        left_out = max(0, size - 2 * half)
        file.seek(max(len(head), size - half))
        tail = file.read(half)
    cut = f"\n[... {left_out:,} bytes left out ...]\n".encode() if left_out else b""
    return (head + cut + tail).decode(errors="replace")
