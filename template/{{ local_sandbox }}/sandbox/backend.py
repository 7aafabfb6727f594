# Part of the template: changes belong there (`copier update` merges this file).
"""The sandbox on this machine: a confined Jupyter kernel in a temporary folder of its own."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pydantic import BaseModel, Field

from gymkit.forks import ForkServer
from sandbox import CellResult, CommandResult, Sandbox, SandboxFileError, SandboxLost
from sandbox.confinement import ConfinementError, Limits
from sandbox.confinement.commands import run_command
from sandbox.confinement.files import FileError, read_beneath, write_beneath
from sandbox.confinement.forks import fork_server
from sandbox.confinement.jupyter import Kernel
from sandbox.confinement.place import Place
from sandbox.confinement.view import strongest_level

RUNS_CODE_HERE = True
"""Whether code that a caller sends is run on the machine of the server."""


class SandboxSettings(BaseModel):
    """Settings of the local sandbox."""

    isolation: Literal["limits", "bubblewrap"] = Field(
        default="limits", description="The weakest level to start with: see Isolation in docs/backend.md."
    )
    memory_mb: int = Field(default=2048, gt=0, description="Memory that each process of a sandbox may take.")
    cpu_seconds: int = Field(default=600, gt=0, description="CPU time after which a process is ended.")
    max_processes: int = Field(default=128, gt=0, description="Processes and threads of a sandbox.")
    file_mb: int = Field(default=256, gt=0, description="Size limit of a file that a sandbox writes.")
    open_files: int = Field(default=1024, gt=0, description="Files that a process of a sandbox may have open.")
    start_seconds: float = Field(default=60, gt=0, description="How long a sandbox may take to start.")
    warm_seconds: float = Field(default=3600, gt=0, description="A sandbox kept ready for longer is replaced.")
    printed_mb: int = Field(default=100, gt=0, description="A cell or command that prints more is ended.")
    kept_bytes: int = Field(default=200_000, gt=1, description="So much of what it prints is kept in memory.")
    transfer_mb: int = Field(default=32, gt=0, description="Size limit of a file that is read or written by a tool.")
    fork_server: bool = Field(default=True, description="Whether sandboxes are forks of a program that is kept ready.")
    preload: list[str] = Field(
        default=["numpy", "pandas"], description="Packages that the fork server holds in memory for all sandboxes."
    )
    readable_paths: list[str] = Field(
        default_factory=list, description="Paths that a sandbox can read besides /usr and Python, in bubblewrap."
    )

    def limits(self) -> Limits:
        return Limits(
            memory_bytes=self.memory_mb * 2**20,
            cpu_seconds=self.cpu_seconds,
            processes=self.max_processes,
            file_bytes=self.file_mb * 2**20,
            open_files=self.open_files,
            printed_bytes=self.printed_mb * 2**20,
            kept_bytes=self.kept_bytes,
        )


def check(settings: SandboxSettings) -> str:
    """One line that says how sandboxes are isolated on this machine.

    Raises:
        SandboxLost: the machine cannot do what the settings ask for.
    """
    level, reason = strongest_level()
    if settings.isolation == "bubblewrap" and level != "bubblewrap":
        raise SandboxLost(f"The setting `isolation` asks for bubblewrap, and this machine cannot do it: {reason}.")
    if level == "bubblewrap":
        return "Sandboxes run on this machine, isolated by bubblewrap: no network, read-only system, own processes."
    return (
        f"Sandboxes run on this machine with limits only ({reason}): code in them can read what this server's user "
        "reads, and use the network. See Isolation in docs/backend.md."
    )


def forks_of(settings: SandboxSettings) -> ForkServer | None:
    return fork_server(tuple(settings.preload)) if settings.fork_server else None


def get_ready(settings: SandboxSettings) -> None:
    """Begin to make ready what new sandboxes are made from, for the first one not to wait. It does not block."""
    forks = forks_of(settings)
    if forks is not None:
        forks.start()


def make_sandbox(settings: SandboxSettings) -> Sandbox:
    """A sandbox, not yet started."""
    return LocalSandbox(settings)


class LocalSandbox:
    """A confined Jupyter kernel and its working folder."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self._limits = settings.limits()
        self._place: Place | None = None
        self._kernel: Kernel | None = None
        self._at_work: asyncio.Task[None] | None = None

    @contextmanager
    def _working(self) -> Iterator[Place]:
        """Around a call: `close` can cancel it, and its errors are translated to those of the protocol."""
        if self._place is None:
            raise SandboxLost("The sandbox has been closed.")
        self._at_work = asyncio.current_task()
        try:
            self._place.restore()
            yield self._place
        except FileError as error:
            raise SandboxFileError(str(error)) from None
        except (ConfinementError, OSError) as error:
            raise SandboxLost(f"No sandbox can be had: {error}") from None
        finally:
            self._at_work = None

    async def start(self) -> None:
        try:
            self._place = Place(strongest_level().level, self.settings.readable_paths)
            with self._working() as place:
                await self._start_kernel(place)
        except OSError as error:
            raise SandboxLost(f"No working folder can be made: {error}") from None
        except BaseException:
            await self.close()
            raise

    async def _start_kernel(self, place: Place) -> None:
        before, self._kernel = self._kernel, None
        if before is not None:
            await before.close()
        kernel = Kernel(place, self._limits, forks_of(self.settings))
        try:
            await kernel.start(self.settings.start_seconds)
        except BaseException:
            await kernel.close()
            raise
        self._kernel = kernel

    async def run_cell(self, code: str, *, seconds: float) -> CellResult:
        with self._working() as place:
            kernel = self._kernel
            if kernel is None or not kernel.alive or kernel.place_version != place.version:
                # It has ended since the last cell, or its working folder was replaced.
                await self._start_kernel(place)
                return CellResult(restarted=True)
            done = await kernel.run(code, seconds)
            if done.dead:
                await self._start_kernel(place)
                return CellResult(stdout=done.stdout, stderr=done.stderr, restarted=True)
            return CellResult(done.stdout, done.stderr, done.value, done.traceback, done.figures, done.interrupted)

    async def run_command(self, command: str, *, seconds: float) -> CommandResult:
        with self._working() as place:
            return CommandResult(*await run_command(command, place, self._limits, seconds, forks_of(self.settings)))

    async def write_file(self, path: str, data: bytes) -> None:
        with self._working() as place:
            if len(data) > self.settings.transfer_mb * 2**20:
                raise SandboxFileError(f"A file may have {self.settings.transfer_mb} MB, no more.")
            await asyncio.to_thread(write_beneath, place.work, path, data, place.user)

    async def read_file(self, path: str) -> bytes:
        with self._working() as place:
            return await asyncio.to_thread(read_beneath, place.work, path, self.settings.transfer_mb * 2**20)

    async def close(self) -> None:
        place, self._place = self._place, None
        at_work = self._at_work
        if at_work is not None and at_work is not asyncio.current_task():
            at_work.cancel()
            await asyncio.wait({at_work})
        kernel, self._kernel = self._kernel, None
        # If one of them fails, the other is still done.
        with contextlib.suppress(Exception):
            if kernel is not None:
                await kernel.end()
        with contextlib.suppress(Exception):
            if place is not None:
                await asyncio.to_thread(place.remove)
