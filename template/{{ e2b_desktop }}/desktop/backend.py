# Part of the template: changes belong there (`copier update` merges this file).
"""Desktops at E2B: each is a machine of its own in the cloud, with XFCE."""

import asyncio
import io
import logging
import os
import re
import shlex
import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

from PIL.Image import Image
from PIL.Image import open as open_image
from pydantic import BaseModel, Field

from desktop import Button, Desktop, DesktopLost, when_still_by_pictures
from desktop.machine import Machine

if TYPE_CHECKING:
    from e2b_desktop import CommandResult, Sandbox

log = logging.getLogger("gymkit")

RUNS_CODE_HERE = False
"""Whether `run_command` runs on the server's machine."""
APP_OPTIONS = ["--own-frames"]
"""What the application's command line needs on this kind of desktop: XFCE's title bars have other sizes than those of
the window manager for which the coordinates in the data were made."""

HOME = "/home/user"
APP = f"{HOME}/app"
"""The application's folder."""

CALL_SECONDS = 20
WINDOW_SECONDS = 60
INSTALL_SECONDS = 180
POLL_SECONDS = 0.2
TYPED_AT_ONCE = 100
TYPING_DELAY_MS = 12
REUSE_SECONDS = 0.5
"""Before a key gets another letter, programs have so long to read what was typed with the one that it has."""
MAX_COMMAND_OUTPUT = 100_000
MAX_FILE_BYTES = 50_000_000

# The command's output goes to a file, of which the head and the tail are sent; what it leaves running ends with it.
COMMAND = """\
out=$(mktemp); ulimit -f 262144
setsid timeout --signal=KILL {seconds} sh -c {command} >"$out" 2>&1 </dev/null & wait $!; code=$?
pkill -KILL -s $! 2>/dev/null
size=$(stat -c %s "$out"); head -c {half} "$out"
if [ "$size" -gt $((2 * {half})) ]; then
    printf '\\n[... %s bytes left out ...]\\n' $((size - 2 * {half})); tail -c {half} "$out"
elif [ "$size" -gt {half} ]; then tail -c $((size - {half})) "$out"; fi
rm -f "$out"; exit $code"""
# The application's exit code is written to a file that is not in its folder.
OPEN_APP = "rm -f ~/.app-exit; {command} >~/.app-log 2>&1; echo $? >~/.app-exit"
WANT_TKINTER = """\
python3 -c 'import tkinter' 2>/dev/null && exit
export DEBIAN_FRONTEND=noninteractive
sudo -n apt-get update -q && sudo -n -E apt-get install -y -q --no-install-recommends python3-tk"""
WINDOWS = "xprop -root _NET_CLIENT_LIST"


class DesktopSettings(BaseModel):
    """Settings of the desktops."""

    screen_width: int = Field(default=1024, ge=320, le=4096, description="Width of the screen in pixels.")
    screen_height: int = Field(default=768, ge=240, le=4096, description="Height of the screen in pixels.")
    e2b_template: str = Field(default="", description="The template of a desktop; empty: E2B's own desktop.")
    unconfined_commands: bool = Field(
        default=False, description="Run commands: nothing keeps them from what the application has saved."
    )
    internet: bool = Field(default=True, description="Whether a desktop can reach the internet.")
    lifetime_seconds: int = Field(
        default=300, ge=30, description="E2B ends a desktop that this server has not renewed for so long."
    )


def check(settings: DesktopSettings | None = None) -> None:
    """Log a warning where no desktop can be started. The server starts all the same."""
    if not os.environ.get("E2B_API_KEY"):
        log.warning("E2B_API_KEY is not set: no desktop can be had. Set it, and start the server again.")


def get_ready(settings: DesktopSettings) -> None:
    """Nothing is started before a desktop is wanted."""


def make_desktop(settings: DesktopSettings) -> Desktop:
    """A desktop that is not yet started."""
    return E2BDesktop(settings)


class E2BDesktop:
    """A desktop on a machine at E2B."""

    def __init__(self, settings: DesktopSettings) -> None:
        self.settings = settings
        self.width = settings.screen_width
        self.height = settings.screen_height
        self._machine = Machine(self._create, settings.lifetime_seconds)
        self._opened = False
        self._spare_keys: list[str] | None = None
        self._letters: dict[str, str] = {}

    def _create(self) -> "Sandbox":
        # It takes a second or more to import, which the server's start should not take.
        from e2b_desktop import Sandbox

        return Sandbox.create(
            template=self.settings.e2b_template or None,
            resolution=(self.width, self.height),
            timeout=self.settings.lifetime_seconds,
            allow_internet_access=self.settings.internet,
        )

    @property
    def _remote(self) -> "Sandbox":
        return self._machine.remote

    async def start(self) -> None:
        await self._machine.start()

    async def close(self) -> None:
        await self._machine.close()

    # ------------------------------------------------------------------------------------- screen, mouse, keyboard

    async def screenshot(self) -> Image:
        return await self._machine.call(self._screenshot)

    def _screenshot(self) -> Image:
        return open_image(io.BytesIO(self._remote.screenshot())).convert("RGB")

    async def when_still[Result](self, quiet: float, limit: float, look: Callable[[Image], Result]) -> Result:
        return await when_still_by_pictures(self, quiet, limit, look)

    async def cursor(self) -> tuple[int, int]:
        return await self._machine.call(self._remote.get_cursor_position)

    async def move(self, x: int, y: int) -> None:
        await self._machine.call(self._remote.move_mouse, x, y)

    async def button(self, button: Button, down: bool) -> None:
        await self._machine.call(self._remote.mouse_press if down else self._remote.mouse_release, button)

    async def click(self, x: int, y: int, button: Button, times: int) -> None:
        await self.move(x, y)
        for _ in range(times):
            await self.button(button, True)
            await self.button(button, False)

    async def scroll(self, dx: int, dy: int) -> None:
        for notches, forward, backward in ((dy, 5, 4), (dx, 7, 6)):
            if notches:
                button = forward if notches > 0 else backward
                await self._run(f"xdotool click --repeat {abs(notches)} --delay 20 {button}")

    async def keys(self, names: list[str], down: bool) -> None:
        await self._run(f"xdotool {'keydown' if down else 'keyup'} {' '.join(map(shlex.quote, names))}")

    async def type_text(self, text: str) -> None:
        stop = Event()
        try:
            await self._machine.call(self._type, text, stop)
        finally:
            # Cancelled, or out of time: the thread must not go on.
            stop.set()

    def _type(self, text: str, stop: Event) -> None:
        while text and not stop.is_set():
            part = self._with_keys(text[:TYPED_AT_ONCE])
            self._remote.write(part, chunk_size=TYPED_AT_ONCE, delay_in_ms=TYPING_DELAY_MS)
            text = text[len(part) :]

    def _with_keys(self, text: str) -> str:
        """Give the letters that the keyboard lacks keys of their own; as much of the text as there are keys for.

        xdotool alone would assign each a key for a moment only, and a slow program then reads another letter.
        """
        if self._spare_keys is None:
            listed = self._remote.commands.run("xmodmap -pke").stdout
            self._spare_keys = re.findall(r"^keycode +(\d+) =\s*$", listed, re.MULTILINE)
        if not self._spare_keys:
            return text
        wanted: list[str] = []
        for index, letter in enumerate(text):
            if not letter.isascii() and letter not in wanted:
                if len(wanted) == len(self._spare_keys):
                    text = text[:index]
                    break
                wanted.append(letter)
        if len({*self._letters, *wanted}) > len(self._spare_keys):
            time.sleep(REUSE_SECONDS)
            self._letters.clear()
        unused = [key for key in self._spare_keys if key not in self._letters.values()]
        given = dict(zip([letter for letter in wanted if letter not in self._letters], unused, strict=False))
        if given:
            letters = [(key, f"U{ord(letter):04X}") for letter, key in given.items()]
            expressions = " ".join(f"-e 'keycode {key} = {name} {name}'" for key, name in letters)
            self._remote.commands.run(f"xmodmap {expressions}")
            self._letters |= given
        return text

    # ------------------------------------------------------------------------------------ commands and application

    async def _run(self, command: str) -> str:
        """Run a command of ours, which must succeed; what it prints."""
        return (await self._machine.call(lambda: self._remote.commands.run(command))).stdout

    async def _shell(self, command: str, seconds: float = CALL_SECONDS) -> "CommandResult":
        """Run a command of ours, whatever its exit code."""
        from e2b_desktop import CommandExitException

        def run() -> "CommandResult":
            try:
                return self._remote.commands.run(command, cwd=HOME, timeout=seconds)
            except CommandExitException as failed:
                return failed  # It has the same fields.

        return await self._machine.call(run)

    async def run_command(self, command: str, *, seconds: float) -> tuple[int | None, str]:
        if not self.settings.unconfined_commands:
            return 126, "Commands cannot be run on this desktop: nothing confines them (unconfined_commands)."
        if "\0" in command:
            return 2, "A command cannot hold a null byte."
        script = COMMAND.format(seconds=seconds, command=shlex.quote(command), half=MAX_COMMAND_OUTPUT // 2)
        started = time.monotonic()
        done = await self._shell(script, seconds + CALL_SECONDS)
        ended_by_us = done.exit_code == 137 and time.monotonic() - started >= seconds
        return None if ended_by_us else done.exit_code, done.stdout

    async def open_app(self, argv: list[str], files: dict[str, bytes]) -> None:
        for name, data in files.items():
            await self._machine.call(self._write, f"{APP}/{name}", data)
        if argv[0] == "python3":
            await self._want_tkinter()
        before = await self._windows()
        command = OPEN_APP.format(command=shlex.join(argv))
        await self._machine.call(self._run_in_background, command)
        self._opened = True
        end = time.monotonic() + WINDOW_SECONDS
        while not await self._windows() - before:
            if await self._app_exit() is not None:
                log.error("The application did not start:\n%s", (await self._shell("tail -c 5000 ~/.app-log")).stdout)
                raise DesktopLost("The application did not start; the server's log says why.")
            if time.monotonic() > end:
                raise DesktopLost(f"The application opened no window within {WINDOW_SECONDS} seconds.")
            await asyncio.sleep(POLL_SECONDS)

    def _run_in_background(self, command: str) -> None:
        self._remote.commands.run(command, background=True, cwd=APP, timeout=0).disconnect()

    async def _want_tkinter(self) -> None:
        done = await self._shell(WANT_TKINTER, INSTALL_SECONDS)
        if done.exit_code != 0:
            log.error("python3-tk could not be installed at E2B:\n%s", done.stdout + done.stderr)
            raise DesktopLost("The desktop has no tkinter, and it cannot be installed: use a template with python3-tk.")

    async def _windows(self) -> set[str]:
        """The windows that the window manager has."""
        listed = (await self._run(WINDOWS)).partition("#")[2]
        return {each.strip() for each in listed.split(",") if each.strip()}

    async def _app_exit(self) -> str | None:
        """What the file for the application's exit code holds; None while the application runs."""
        return (await self._shell("cat ~/.app-exit 2>/dev/null")).stdout.strip() or None

    def _write(self, path: str, data: bytes) -> None:
        self._remote.files.write(path, data)

    async def read_file(self, name: str) -> bytes:
        return await self._machine.call(self._read, f"{APP}/{name}")

    def _read(self, path: str) -> bytes:
        with self._remote.files.read(path, format="stream") as stream:
            data = bytearray()
            for part in stream:
                data += part
                if len(data) > MAX_FILE_BYTES:
                    break
        return bytes(data[:MAX_FILE_BYTES])

    async def app_alive(self) -> bool:
        return self._opened and await self._app_exit() is None
