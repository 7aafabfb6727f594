# Part of the template: changes belong there (`copier update` merges this file).
"""The sandbox at E2B: a virtual machine of its own for each session."""

import asyncio
import importlib
import logging
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from sandbox import CellResult, CommandResult, ProviderLost, Sandbox, SandboxFileError, SandboxLost
from sandbox.e2b import commands, files, reason, service_fails
from sandbox.e2b.cells import Interpreter
from sandbox.e2b.output import Output

if TYPE_CHECKING:
    from e2b_code_interpreter import AsyncSandbox

log = logging.getLogger("gymkit")

RUNS_CODE_HERE = False
"""Whether code that a caller sends is run on the machine of the server."""


class SandboxSettings(BaseModel):
    """Settings of the sandboxes at E2B."""

    e2b_template: str = Field(default="", description="The template of a sandbox; empty: E2B's code interpreter.")
    internet: bool = Field(default=True, description="Whether a sandbox can reach the internet.")
    lifetime_seconds: int = Field(
        default=300, ge=30, description="E2B ends a sandbox that this server has not renewed for so long."
    )
    start_seconds: float = Field(default=60, gt=0, description="How long a sandbox may take to start.")
    warm_seconds: float = Field(default=3600, gt=0, description="A sandbox kept ready for longer is replaced.")
    printed_mb: int = Field(default=8, gt=0, description="A cell or command that prints more is ended.")
    kept_bytes: int = Field(default=200_000, gt=1, description="So much of what it prints is kept in memory.")
    transfer_mb: int = Field(default=32, gt=0, description="Size limit of a file that is read or written by a tool.")


def check(settings: SandboxSettings) -> str:
    """One line that says where sandboxes run."""
    if not os.environ.get("E2B_API_KEY"):
        return "E2B_API_KEY is not set: no sandbox can be had. Set it, and start the server again."
    return "Sandboxes run at E2B."


def get_ready(settings: SandboxSettings) -> None:
    """There is nothing to be made ready here."""


def make_sandbox(settings: SandboxSettings) -> Sandbox:
    """A sandbox, not yet started."""
    return E2BSandbox(settings)


class E2BSandbox:
    """A virtual machine at E2B. It needs E2B_API_KEY.

    It is renewed until `close` is called. If the server is killed, E2B ends it `lifetime_seconds` later.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self._creation: asyncio.Task[AsyncSandbox] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._remote: AsyncSandbox | None = None
        self._interpreter: Interpreter | None = None
        self._closed = False
        self._renewed = 0.0
        """When it was renewed; infinity where it has ended before its time was up, which is not this server's doing."""

    # ------------------------------------------------------------------------------------------- beginning and end

    async def start(self) -> None:
        self._creation = asyncio.create_task(self._create())
        self._renewed = monotonic()
        try:
            async with self._lost():
                # Shielded: if this is cancelled, `close` still ends what is being created.
                remote = await asyncio.shield(self._creation)
                self._renewal = asyncio.create_task(self._renew(remote))
                interpreter = Interpreter(remote, self.settings.start_seconds)
                await interpreter.set_up()
                self._remote, self._interpreter = remote, interpreter
        except BaseException:
            await self.close()
            raise

    async def _create(self) -> "AsyncSandbox":
        if not os.environ.get("E2B_API_KEY"):
            raise SandboxLost("The server has no E2B_API_KEY.")
        # The import takes a second or more: neither the start of the server nor its event loop waits for it.
        e2b = await asyncio.to_thread(importlib.import_module, "e2b_code_interpreter")
        return await e2b.AsyncSandbox.create(
            template=self.settings.e2b_template or None,
            timeout=self.settings.lifetime_seconds,
            allow_internet_access=self.settings.internet,
            request_timeout=self.settings.start_seconds,
        )

    async def _renew(self, remote: "AsyncSandbox") -> None:
        from e2b_code_interpreter import NotFoundException

        while True:
            await asyncio.sleep(self.settings.lifetime_seconds / 3)
            try:
                await remote.set_timeout(self.settings.lifetime_seconds)
                self._renewed = monotonic()
            except NotFoundException:
                if not self._was_not_renewed():
                    self._renewed = math.inf
                return  # The next call says so.
            except Exception as error:
                log.warning("A sandbox at E2B could not be renewed: %s", reason(error))

    async def close(self) -> None:
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        creation, self._creation = self._creation, None
        self._remote = self._interpreter = None
        if creation is not None:
            # Carried out even if the caller is cancelled.
            await asyncio.shield(asyncio.create_task(_end(creation)))

    # --------------------------------------------------------------------------------------------------- the calls

    async def run_cell(self, code: str, *, seconds: float) -> CellResult:
        async with self._lost():
            self._live()
            assert self._interpreter is not None  # as it is where there is a `_remote`
            return await self._interpreter.run(code, self._output(), seconds)

    async def run_command(self, command: str, *, seconds: float) -> CommandResult:
        async with self._lost():
            return await commands.run_command(self._live(), command, self._output(), seconds)

    async def write_file(self, path: str, data: bytes) -> None:
        async with self._lost():
            await files.write_file(self._live(), path, data, self.settings.transfer_mb * 2**20)

    async def read_file(self, path: str) -> bytes:
        async with self._lost():
            return await files.read_file(self._live(), path, self.settings.transfer_mb * 2**20)

    def _live(self) -> "AsyncSandbox":
        if self._closed:
            raise SandboxLost("The sandbox has been closed.")
        if self._remote is None:
            raise SandboxLost("The sandbox was not started.")
        return self._remote

    def _output(self) -> Output:
        return Output(self.settings.kept_bytes, self.settings.printed_mb * 2**20)

    @asynccontextmanager
    async def _lost(self) -> AsyncIterator[None]:
        """Around calls of E2B's client: an error that is not for the model means that the sandbox is lost.

        Code in a sandbox can end its machine. It cannot keep the service from answering, nor the server from renewing.
        """
        try:
            yield
        except (SandboxLost, SandboxFileError):
            raise
        except Exception as error:
            text = f"No sandbox can be had at E2B: {reason(error)}"
            if self._was_not_renewed() or await service_fails():
                raise ProviderLost(text) from None
            raise SandboxLost(text) from None

    def _was_not_renewed(self) -> bool:
        return monotonic() - self._renewed > self.settings.lifetime_seconds


async def _end(creation: "asyncio.Task[AsyncSandbox]") -> None:
    """End a sandbox, even one that is still being created."""
    try:
        remote = await creation
    except (Exception, asyncio.CancelledError):
        return  # There is none.
    try:
        await remote.kill()
    except Exception as error:
        log.warning("A sandbox at E2B was left to its time limit: %s", reason(error))
