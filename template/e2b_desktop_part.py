"""The E2B part of desktop.py. What stands between the markers is desktop.py's own; the rest goes into its E2B block."""

import asyncio
import contextlib
import importlib
import io
import logging
import os
import shlex
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, Protocol

from PIL import Image
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from e2b_desktop import CommandResult, Sandbox


# --- desktop.py's own: begin ---
class DesktopLost(Exception):
    """The desktop cannot be had, or is gone; the message says why, without secrets."""


class Desktop(Protocol):
    """One desktop. Coordinates are pixels, (0, 0) is the upper left corner. Any method may raise `DesktopLost`."""

    width: int
    height: int

    async def start(self) -> None: ...
    async def screenshot(self) -> Image.Image: ...
    async def cursor(self) -> tuple[int, int]: ...
    async def move(self, x: int, y: int) -> None: ...
    async def button(self, button: Literal["left", "middle", "right"], down: bool) -> None: ...
    async def scroll(self, dx: int, dy: int) -> None: ...
    async def type_text(self, text: str) -> None: ...
    async def keys(self, names: list[str], down: bool) -> None: ...
    async def run_command(self, command: str, *, seconds: float) -> tuple[int | None, str]: ...
    async def open_app(self, argv: list[str], files: dict[str, bytes]) -> None: ...
    async def read_file(self, name: str) -> bytes: ...
    async def app_alive(self) -> bool: ...
    async def close(self) -> None: ...


# --- desktop.py's own: end ---
# ------------------------------------------------------------------------------------------------ a desktop at E2B

log = logging.getLogger("gymkit")

RUNS_CODE_HERE = False
"""Whether `run_command` runs on the server's machine."""

HOME = "/home/user"
APP = f"{HOME}/app"
"""The application's folder."""

THREADS = 4
"""A call that nobody waits for any more holds its thread until it returns: the next one must not wait for it."""
CALL_SECONDS = 20
WINDOW_SECONDS = 60
INSTALL_SECONDS = 180
POLL_SECONDS = 0.2
TYPED_AT_ONCE = 200
TYPING_DELAY_MS = 12
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
# How the application ended is told by a file that is not in its folder.
OPEN_APP = "rm -f ~/.app-exit; {command} >~/.app-log 2>&1; echo $? >~/.app-exit"
WANT_TKINTER = """\
python3 -c 'import tkinter' 2>/dev/null && exit
export DEBIAN_FRONTEND=noninteractive
sudo -n apt-get update -q && sudo -n -E apt-get install -y -q --no-install-recommends python3-tk"""
WINDOWS = "xprop -root _NET_CLIENT_LIST"


class DesktopSettings(BaseModel):
    """Settings of the desktops at E2B."""

    screen_width: int = Field(default=1024, ge=320, le=4096, description="Width of the screen in pixels.")
    screen_height: int = Field(default=768, ge=240, le=4096, description="Height of the screen in pixels.")
    e2b_template: str = Field(default="", description="The template of a desktop; empty: E2B's own desktop.")
    internet: bool = Field(default=True, description="Whether a desktop can reach the internet.")
    lifetime_seconds: int = Field(
        default=300, ge=30, description="E2B ends a desktop that this server has not renewed for so long."
    )


def check(settings: DesktopSettings | None = None) -> None:
    """Say so when there can be no desktop. The server starts all the same."""
    if not os.environ.get("E2B_API_KEY"):
        log.warning("E2B_API_KEY is not set: no desktop can be had. Set it, and start the server again.")


def make_desktop(settings: DesktopSettings) -> Desktop:
    """A desktop that is not yet started."""
    return E2BDesktop(settings)


class E2BDesktop:
    """A desktop at E2B: a machine of its own in the cloud, with XFCE. It needs E2B_API_KEY.

    It is renewed for as long as this object is not closed, and ends by itself `lifetime_seconds` after a server that
    was killed. E2B's client is synchronous, so it is called in threads.
    """

    def __init__(self, settings: DesktopSettings) -> None:
        self.settings = settings
        self.width = settings.screen_width
        self.height = settings.screen_height
        self._creation: asyncio.Future[Sandbox] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._remote: Sandbox | None = None
        self._closing: asyncio.Task[None] | None = None
        self._opened = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="desktop")

    # ------------------------------------------------------------------------------------------- beginning and end

    async def start(self) -> None:
        if not os.environ.get("E2B_API_KEY"):
            raise DesktopLost("The server has no E2B_API_KEY.")
        self._creation = asyncio.get_running_loop().run_in_executor(self._threads, self._create)
        try:
            # Whoever waits may give up: what is being created is not lost sight of, and ended by `close`.
            self._remote = await asyncio.shield(self._creation)
        except Exception as error:
            await self.close()
            raise DesktopLost(f"No desktop can be had at E2B: {_reason(error)}") from None
        except BaseException:
            await self.close()
            raise
        self._renewal = asyncio.create_task(self._renew(self._remote))

    def _create(self) -> "Sandbox":
        # It takes a second or more to import, which the server's start should not take.
        e2b = importlib.import_module("e2b_desktop")
        return e2b.Sandbox.create(
            template=self.settings.e2b_template or None,
            resolution=(self.width, self.height),
            timeout=self.settings.lifetime_seconds,
            allow_internet_access=self.settings.internet,
        )

    async def _renew(self, remote: "Sandbox") -> None:
        from e2b_desktop import NotFoundException

        while True:
            await asyncio.sleep(self.settings.lifetime_seconds / 3)
            try:
                await asyncio.to_thread(remote.set_timeout, self.settings.lifetime_seconds)
            except NotFoundException:
                return  # The next call says so.
            except Exception as error:
                log.warning("A desktop at E2B could not be renewed: %s", _reason(error))

    async def close(self) -> None:
        # Carried out even if whoever asked for it gives up.
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        if self._creation is not None:
            with contextlib.suppress(Exception):
                remote = await self._creation
                try:
                    await asyncio.get_running_loop().run_in_executor(None, remote.kill)
                except Exception as error:
                    log.warning("A desktop at E2B was left to its time limit: %s", _reason(error))
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------------------------------ inside

    @property
    def _live(self) -> "Sandbox":
        if self._closing is not None:
            raise DesktopLost("The desktop was closed.")
        if self._remote is None:
            raise DesktopLost("The desktop was not started.")
        return self._remote

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that waits for E2B, in a thread."""
        from e2b_desktop import CommandExitException, FileNotFoundException

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except DesktopLost:
            raise
        except FileNotFoundException as error:
            raise FileNotFoundError(_reason(error)) from None
        except CommandExitException as error:
            raise DesktopLost(f"The display is gone: {' '.join(error.stderr.split())[:300]}") from None
        except Exception as error:
            raise DesktopLost(f"No desktop can be had at E2B: {_reason(error)}") from None

    def _shell(self, command: str, seconds: float = CALL_SECONDS) -> "CommandResult":
        """Run a command of ours, whatever its exit code."""
        from e2b_desktop import CommandExitException

        try:
            return self._live.commands.run(command, cwd=HOME, timeout=seconds)
        except CommandExitException as failed:
            return failed  # It has the same fields.

    # ------------------------------------------------------------------------------------- screen, mouse, keyboard

    async def screenshot(self) -> Image.Image:
        png = await self._call(self._live.screenshot)
        return await self._call(lambda: Image.open(io.BytesIO(png)).convert("RGB"))

    async def cursor(self) -> tuple[int, int]:
        return await self._call(self._live.get_cursor_position)

    async def move(self, x: int, y: int) -> None:
        await self._call(self._live.move_mouse, x, y)

    async def button(self, button: Literal["left", "middle", "right"], down: bool) -> None:
        await self._call(self._live.mouse_press if down else self._live.mouse_release, button)

    async def scroll(self, dx: int, dy: int) -> None:
        for notches, forward, backward in ((dy, 5, 4), (dx, 7, 6)):
            if notches:
                button = forward if notches > 0 else backward
                await self._call(self._live.commands.run, f"xdotool click --repeat {abs(notches)} --delay 20 {button}")

    async def type_text(self, text: str) -> None:
        stop = Event()
        try:
            await self._call(self._type, text, stop)
        finally:
            # Given up, or out of time: the thread must not go on.
            stop.set()

    def _type(self, text: str, stop: Event) -> None:
        for begin in range(0, len(text), TYPED_AT_ONCE):
            if stop.is_set():
                return
            part = text[begin : begin + TYPED_AT_ONCE]
            self._live.write(part, chunk_size=TYPED_AT_ONCE, delay_in_ms=TYPING_DELAY_MS)

    async def keys(self, names: list[str], down: bool) -> None:
        quoted = " ".join(map(shlex.quote, names))
        await self._call(self._live.commands.run, f"xdotool {'keydown' if down else 'keyup'} {quoted}")

    # ------------------------------------------------------------------------------------ commands and application

    async def run_command(self, command: str, *, seconds: float) -> tuple[int | None, str]:
        if "\0" in command:
            return 2, "A command cannot hold a null byte."
        script = COMMAND.format(seconds=seconds, command=shlex.quote(command), half=MAX_COMMAND_OUTPUT // 2)
        started = time.monotonic()
        done = await self._call(self._shell, script, seconds + CALL_SECONDS)
        ended_by_us = done.exit_code == 137 and time.monotonic() - started >= seconds
        return None if ended_by_us else done.exit_code, done.stdout

    async def open_app(self, argv: list[str], files: dict[str, bytes]) -> None:
        for name, data in files.items():
            await self._call(self._live.files.write, f"{APP}/{name}", data)
        if argv[0] == "python3":
            await self._call(self._want_tkinter)
        before = await self._call(self._windows)
        command = OPEN_APP.format(command=shlex.join(argv))
        await self._call(lambda: self._live.commands.run(command, background=True, cwd=APP, timeout=0).disconnect())
        self._opened = True
        end = time.monotonic() + WINDOW_SECONDS
        while not await self._call(self._windows) - before:
            if await self._app_exit() is not None:
                log.error("The application did not start:\n%s", await self._app_log())
                raise DesktopLost("The application did not start; the server's log says why.")
            if time.monotonic() > end:
                raise DesktopLost(f"The application opened no window within {WINDOW_SECONDS} seconds.")
            await asyncio.sleep(POLL_SECONDS)

    def _want_tkinter(self) -> None:
        done = self._shell(WANT_TKINTER, INSTALL_SECONDS)
        if done.exit_code != 0:
            log.error("python3-tk could not be installed at E2B:\n%s", done.stdout + done.stderr)
            raise DesktopLost("The desktop has no tkinter, and it cannot be installed: use a template with python3-tk.")

    def _windows(self) -> set[str]:
        """The windows that the window manager has."""
        listed = self._live.commands.run(WINDOWS).stdout.partition("#")[2]
        return {each.strip() for each in listed.split(",") if each.strip()}

    async def _app_exit(self) -> int | None:
        """The application's exit code, None while it runs."""
        text = (await self._call(self._shell, "cat ~/.app-exit 2>/dev/null")).stdout.strip()
        return int(text) if text else None

    async def _app_log(self) -> str:
        return (await self._call(self._shell, "tail -c 5000 ~/.app-log")).stdout

    async def read_file(self, name: str) -> bytes:
        return bytes(await self._call(self._read, f"{APP}/{name}"))

    def _read(self, path: str) -> bytes:
        with self._live.files.read(path, format="stream") as stream:
            data = b""
            for part in stream:
                data += part
                if len(data) > MAX_FILE_BYTES:
                    break
        return data[:MAX_FILE_BYTES]

    async def app_alive(self) -> bool:
        code = await self._app_exit()
        if code is None or not self._opened:
            return self._opened
        if code != 0:
            raise DesktopLost(f"The application has ended by itself (exit code {code}).")
        return False


def _reason(error: BaseException) -> str:
    """One line for an error of the client, without the key, which an answer may repeat."""
    text = " ".join(str(error).split()) or type(error).__name__
    key = os.environ.get("E2B_API_KEY")
    return (text.replace(key, "***") if key else text)[:300]
