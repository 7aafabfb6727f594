# Part of the template: changes belong there (`copier update` merges this file).
"""A display: an X server that only this server's cookie opens, a window manager, and the programs that run on it."""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from desktop import DesktopLost
from desktop.display import commands
from desktop.display.commands import Access
from desktop.display.processes import Keeper, KeeperLost, Program
from gymkit.forks import ForkServer

if TYPE_CHECKING:
    from desktop.display.x11 import Screen

log = logging.getLogger("gymkit")

START_SECONDS = 60
CALL_SECONDS = 20
"""An X server that does not answer for so long is lost."""
DEATH_SECONDS = 2
"""An X server whose keeper was killed is waited for so long."""
POLL_SECONDS = 0.005
SLICE_SECONDS = 0.2
"""For what may take long, a call of the X server waits for no longer at once."""
NO_COMPOSE = {"XCOMPOSEFILE": os.devnull}
"""libX11 would read 5,000 sequences of keys for letters, for 20 ms of each program's start. None of them begins with a
key that the desktop presses: letters that the keyboard lacks get keys of their own."""
OPENBOX_CONFIG = Path(__file__).resolve().with_name("openbox.xml")


class Display:
    """Start it with `start()`; `close()` ends it and all that runs on it.

    Attributes:
        name: As `:7`; empty until it has started.
        cookie: Its MIT-MAGIC-COOKIE-1, in hexadecimal digits.
        keeper: The process that runs all others.
        server: The X server.
        access_of_commands: How commands of the agent reach it: as clients that cannot touch what others show. None
            where its X server cannot do that.
    """

    def __init__(self, width: int, height: int, forks: ForkServer | None = None) -> None:
        self.name = ""
        self.cookie = secrets.token_hex(16).encode()
        self.keeper: Keeper | None = None
        self.server: Program | None = None
        self.access_of_commands: Access | None = None
        self._hangs = False
        self._size = (width, height)
        self._forks = forks
        self._folder: Path | None = None
        self._screen: Screen | None = None
        self._outputs = 0
        # Calls to the X server block: they run in this thread, one after the other.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="display")
        self._closing: asyncio.Task[None] | None = None

    @property
    def folder(self) -> Path:
        """The display's folder, which holds `app/`, `home/`, the two files of cookies, and what programs print."""
        if self._folder is None:
            raise DesktopLost("The desktop was not started.")
        return self._folder

    @property
    def screen(self) -> "Screen":
        """Its screen, mouse and keyboard; to be used in `call`."""
        if self._screen is None:
            raise DesktopLost("The desktop was not started.")
        return self._screen

    @property
    def socket_path(self) -> Path:
        """The X server's socket."""
        return Path(f"/tmp/.X11-unix/X{self.name[1:]}")

    # ------------------------------------------------------------------------------------------- beginning and end

    async def start(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._start()
        except (KeeperLost, OSError, TimeoutError) as error:
            raise DesktopLost(f"The display did not start: {error or f'not within {START_SECONDS} seconds'}.") from None

    async def _start(self) -> None:
        from desktop.display.x11 import Screen  # needs libxcb, which `backend.check` has looked for

        self._folder = Path(tempfile.mkdtemp(prefix="desktop-"))
        for name in ("app", "home"):
            (self._folder / name).mkdir()
        (self._folder / "Xauthority").write_bytes(authority(self.cookie))
        self.keeper = await Keeper.start(self._folder, self._forks)
        # The X server chooses a free number by the abstract socket of that name: without that one (`-nolisten local`),
        # servers take each other's numbers.
        width, height = self._size
        options = ["-screen", "0", f"{width}x{height}x24", "-dpi", "96", "-nolisten", "tcp", "-noreset"]
        options += ["-extension", "GLX"]
        command = ["Xvfb", "-displayfd", "1", "-auth", str(self._folder / "Xauthority"), *options]
        self.server, output = await self.run(command)
        while not (numbers := [line for line in output.read_text().split("\n")[:-1] if line.isdigit()]):
            self.check()
            await asyncio.sleep(POLL_SECONDS)
        self.name = f":{numbers[-1]}"
        self._screen = await self.call(Screen, self.name, self.cookie)
        cookie = await self.call(self._screen.untrusted_cookie)
        if cookie is not None:
            (self._folder / "Xauthority-untrusted").write_bytes(authority(cookie))
            self.access_of_commands = Access(self.name, self.socket_path, self._folder / "Xauthority-untrusted")
        await self._run_window_manager()
        while not await self.call(self._screen.await_window_manager, SLICE_SECONDS):
            pass

    async def _run_window_manager(self) -> None:
        command = ["openbox", "--sm-disable", "--config-file", str(OPENBOX_CONFIG)]
        if await asyncio.to_thread(commands.obstacle):
            await self.run(command)
            return
        access = Access(self.name, self.socket_path, self.folder / "Xauthority")
        variables = commands.environment(access, self.folder, confined=True) | NO_COMPOSE
        await self.run(commands.confined(command, access, readable=[OPENBOX_CONFIG]), environment=variables)

    async def close(self) -> None:
        # It is carried out even if the first caller that waits for it is cancelled.
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        # Where the keeper was killed, the X server may not have ended yet, and nobody waits for it.
        patience = DEATH_SECONDS if self.server is not None and self.server.ended.done() else 0
        try:
            if self.keeper is not None:
                await self.keeper.close()
            if self._screen is not None:
                # Its server has ended: a call that still waits for it returns with an error.
                self._thread.submit(self._screen.close)
            if self.name:
                await self._remove_socket(patience)
        except Exception:
            log.exception("A desktop could not be closed")
        finally:
            self._thread.shutdown(wait=False)
            if self._folder is not None:
                await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _remove_socket(self, patience: float) -> None:
        """Remove what an X server leaves that was killed, unless another one has taken its number."""
        end = time.monotonic() + patience
        while self.socket_path.exists():
            with socket.socket(socket.AF_UNIX) as probe:
                answers = probe.connect_ex(f"\0{self.socket_path}") == 0
            if not answers:
                with contextlib.suppress(OSError):
                    self.socket_path.unlink()
            if not answers or time.monotonic() > end:
                return
            await asyncio.sleep(POLL_SECONDS)

    # ------------------------------------------------------------------------------------------------------ inside

    def check(self) -> None:
        """Raise `DesktopLost` where the display is not there, or not any more."""
        if self._closing is not None:
            raise DesktopLost("The desktop was closed.")
        if self.server is None:
            raise DesktopLost("The desktop was not started.")
        if self.server.ended.done():
            raise DesktopLost("The display is gone: its X server has ended.")
        if self._hangs:
            raise DesktopLost(f"The display did not answer for {CALL_SECONDS} seconds.")

    async def call[**Arguments, Result](
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
    ) -> Result:
        """Call a function of the screen, which blocks, in this display's thread."""
        from desktop.display.x11 import DisplayGone

        self.check()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await loop.run_in_executor(self._thread, lambda: function(*arguments, **options))
        except DisplayGone as error:
            raise DesktopLost(f"The display is gone: {error}.") from None
        except TimeoutError:
            # Later calls would wait behind this one.
            self._hangs = True
            raise DesktopLost(f"The display did not answer for {CALL_SECONDS} seconds.") from None

    async def run(
        self,
        command: list[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Program, Path]:
        """Start a program on this display.

        Args:
            command: Its command line.
            environment: All of its variables; None: the path, and what opens the display.
            folder: Where it starts; None: the display's folder.
            limits: Resource limits, by the names of the module `resource`.

        Returns:
            The program, and the file that takes what it prints.
        """
        if self.keeper is None:
            raise DesktopLost("The desktop was not started.")
        if environment is None:
            environment = {
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self.folder),
                "LANG": "C.UTF-8",
                "DISPLAY": self.name,
                "XAUTHORITY": str(self.folder / "Xauthority"),
                **NO_COMPOSE,
            }
        self._outputs += 1
        output = self.folder / f"output-{self._outputs}"
        output.touch()
        folder = folder or self.folder
        try:
            program = await self.keeper.run(
                command, environment=environment, folder=folder, output=output, limits=limits
            )
        except KeeperLost as error:
            raise DesktopLost(f"The display is gone: {error}.") from None
        return program, output

    def kill(self, program: Program) -> None:
        """End a program and its process group."""
        if self.keeper is not None:
            self.keeper.kill(program)


def authority(cookie: bytes) -> bytes:
    """An Xauthority file with one cookie for any display; only the X server that was started with it accepts it."""
    any_family = 0xFFFF
    fields = (b"", b"", b"MIT-MAGIC-COOKIE-1", cookie)
    return struct.pack(">H", any_family) + b"".join(struct.pack(">H", len(field)) + field for field in fields)
