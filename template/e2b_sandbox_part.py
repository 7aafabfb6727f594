"""The E2B part of sandbox.py. What stands between the markers is sandbox.py's own; the rest goes into its E2B block."""

import asyncio
import contextlib
import importlib
import logging
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, Field

from gymkit.tools import CUT_MARK

if TYPE_CHECKING:
    from e2b_code_interpreter import AsyncSandbox, Execution


# --- sandbox.py's own: begin ---
class SandboxLost(Exception):
    """The sandbox cannot be had, or is gone; the message says why, without secrets."""


class SandboxFileError(ValueError):
    """A file cannot be read or written; the message is for the model."""


@dataclass(frozen=True)
class CellResult:
    """What a cell came to."""

    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    traceback: str | None = None
    figures: int = 0
    interrupted: bool = False
    restarted: bool = False


@dataclass(frozen=True)
class CommandResult:
    """What a shell command came to."""

    stdout: str
    stderr: str
    exit_code: int | None


class Sandbox(Protocol):
    async def start(self) -> None: ...
    async def run_cell(self, code: str, *, seconds: float) -> CellResult: ...
    async def run_command(self, command: str, *, seconds: float) -> CommandResult: ...
    async def write_file(self, path: str, data: bytes) -> None: ...
    async def read_file(self, path: str) -> bytes: ...
    async def close(self) -> None: ...


# --- sandbox.py's own: end ---
# ------------------------------------------------------------------------------------------------ a sandbox at E2B

log = logging.getLogger("gymkit")

RUNS_CODE_HERE = False
"""Whether the code of a caller runs on the server's own machine."""

HOME = "/home/user"
"""The working folder."""

GRACE_SECONDS = 10
"""What an answer may take on its way, beyond the time limit of what it answers."""
PROBES = 3
"""How often an interpreter is asked whether it lives on after an interrupt."""
PROBE_SECONDS = 3

DEAD = ("ContextRestarting", "UnexpectedEndOfExecution", "WebSocketError")
"""What E2B calls the errors of a cell whose interpreter has gone."""
PICTURES = ("png", "jpeg", "svg", "pdf")

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

# E2B takes a pair of quotes off a value, which then looks like another one: give a string a pair to spare.
SET_UP = """\
get_ipython().display_formatter.formatters["text/plain"].for_type(
    str, lambda text, printer, cycle: printer.text(f"'{text!r}'" if len(printer.stack) == 1 else repr(text))
)
"""

# What the command leaves running ends with it; it has a session of its own for that.
COMMAND = "setsid bash -c {command} & wait $!; code=$?; pkill -KILL -s $! 2>/dev/null; exit $code"
END_COMMAND = "for each in $(pgrep -P {pid}); do pkill -KILL -s $each; done; kill -KILL {pid}"
# A path as the sandbox sees it: whether it stays in the folder, and what is there. To write it, its folders are made.
LOOK = """\
target=$(realpath -m -- {path})
case $target in
"$(pwd -P)"/*) {before} stat -Lc %F -- "$target" 2>/dev/null || echo nothing;;
*) echo outside;;
esac"""
MAKE_FOLDERS = 'mkdir -p -- "$(dirname -- "$target")" 2>/dev/null || { echo blocked; exit; };'


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


def make_sandbox(settings: SandboxSettings) -> Sandbox:
    """A sandbox, not yet started."""
    return E2BSandbox(settings)


class PrintedTooMuch(Exception):
    """More was printed than is taken from E2B."""


class Printed:
    """A stream of text of which the head and the tail are kept."""

    def __init__(self, kept: int, budget: list[int]) -> None:
        self._half = kept // 2
        self._budget = budget
        self._head = self._tail = ""
        self._left_out = 0

    def add(self, text: str) -> None:
        room = self._half - len(self._head)
        self._head += text[:room]
        tail = self._tail + text[room:] if room > 0 else self._tail + text
        self._left_out += max(0, len(tail) - self._half)
        self._tail = tail[-self._half :]
        # The client keeps whatever it has been sent.
        self._budget[0] -= len(text)
        if self._budget[0] < 0:
            raise PrintedTooMuch

    def text(self) -> str:
        mark = CUT_MARK.format(left_out=self._left_out) if self._left_out else ""
        return self._head + mark + self._tail


class E2BSandbox:
    """A sandbox at E2B: a machine of its own in the cloud. It needs E2B_API_KEY.

    It is renewed for as long as this object is not closed, and ends by itself `lifetime_seconds` after a server that
    was killed. Symbolic links lead no further than that machine, and cannot lead a file tool out of the folder.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self._creation: asyncio.Task[AsyncSandbox] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._remote: AsyncSandbox | None = None
        self._closed = False
        self._cells = 0
        """The interpreter's own number of the last cell: it starts again from 1 when the interpreter does."""
        self._left_alone = False
        """Whether a cell was given up, and may still be running."""

    # ------------------------------------------------------------------------------------------- beginning and end

    async def start(self) -> None:
        self._creation = asyncio.create_task(self._create())
        try:
            with self._answers():
                # Whoever waits may give up: what is being created is not lost sight of, and ended by `close`.
                self._remote = await asyncio.shield(self._creation)
                self._renewal = asyncio.create_task(self._renew(self._remote))
                await self._set_up()
        except BaseException:
            await self.close()
            raise

    async def _create(self) -> "AsyncSandbox":
        if not os.environ.get("E2B_API_KEY"):
            raise SandboxLost("The server has no E2B_API_KEY.")
        # It takes a second or more to import, which neither the server's start nor its event loop should take.
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
            except NotFoundException:
                return  # The next call says so.
            except Exception as error:
                log.warning("A sandbox at E2B could not be renewed: %s", _reason(error))

    async def close(self) -> None:
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        creation, self._creation = self._creation, None
        self._remote = None
        if creation is not None:
            # Carried out even if whoever asked for it gives up.
            await asyncio.shield(asyncio.create_task(_end(creation)))

    # ------------------------------------------------------------------------------------------------------- cells

    async def run_cell(self, code: str, *, seconds: float) -> CellResult:
        if not code.strip():
            return CellResult()  # which the interpreter would not count
        with self._answers():
            if self._left_alone and not await self._lives_on():
                await self._restart()
                return CellResult(restarted=True)
            budget = [self.settings.printed_mb * 2**20]
            stdout, stderr = (Printed(self.settings.kept_bytes, budget) for _ in range(2))
            self._left_alone = True
            try:
                execution = await self._live.run_code(
                    code,
                    language="python",
                    timeout=seconds,
                    on_stdout=lambda message: stdout.add(message.line),
                    on_stderr=lambda message: stderr.add(message.line),
                )
            except PrintedTooMuch:
                why = "it printed too much"
            except Exception as error:
                if not (_is_timeout(error) and await self._live.is_running()):
                    raise
                why = "its time was up"
            else:
                self._left_alone = False
                return await self._result(execution, stdout.text(), stderr.text())
            # E2B interrupts a cell that nobody listens to any more. Some go on all the same.
            if await self._lives_on():
                note = f"KeyboardInterrupt: {why}"
                return CellResult(stdout.text(), stderr.text(), traceback=note, interrupted=True)
            await self._restart()
            return CellResult(stdout.text(), stderr.text(), restarted=True)

    async def _result(self, execution: "Execution", stdout: str, stderr: str) -> CellResult:
        error, count = execution.error, execution.execution_count
        if error is not None and error.name in DEAD:
            await self._set_up()
            return CellResult(stdout, stderr, restarted=True)
        # The interpreter may have died before the cell, and this one be new.
        restarted = count is not None and count <= self._cells
        if restarted:
            await self._set_up()
        elif count is not None:
            self._cells = count
        traceback = _readable(error.traceback or f"{error.name}: {error.value}") if error is not None else None
        figures = sum(any(getattr(each, kind) for kind in PICTURES) for each in execution.results)
        return CellResult(stdout, stderr, execution.text, traceback, figures, restarted=restarted)

    async def _set_up(self) -> None:
        """Prepare an interpreter that is new."""
        execution = await self._live.run_code(SET_UP, language="python", timeout=self.settings.start_seconds)
        self._left_alone = False
        self._cells = execution.execution_count or 0

    async def _lives_on(self) -> bool:
        """Whether the interpreter runs cells again, after an interrupt that it may need a moment for."""
        for _ in range(PROBES):
            await asyncio.sleep(0.2)
            try:
                execution = await self._live.run_code("pass", language="python", timeout=PROBE_SECONDS)
            except Exception as error:
                if not _is_timeout(error):
                    raise
                continue
            if execution.execution_count is not None:
                lives_on = execution.execution_count > self._cells
                self._cells = execution.execution_count
                self._left_alone = False
                return lives_on
        return False

    async def _restart(self) -> None:
        for context in await self._live.list_code_contexts():
            if context.language == "python":
                await self._live.restart_code_context(context)
        await self._set_up()

    # ---------------------------------------------------------------------------------------------------- commands

    async def run_command(self, command: str, *, seconds: float) -> CommandResult:
        if "\0" in command:
            return CommandResult("", "A command cannot hold a null byte.", 2)
        with self._answers():
            budget = [self.settings.printed_mb * 2**20]
            stdout, stderr = (Printed(self.settings.kept_bytes, budget) for _ in range(2))
            handle = await self._live.commands.run(
                COMMAND.format(command=shlex.quote(command)),
                background=True,
                cwd=HOME,
                on_stdout=stdout.add,
                on_stderr=stderr.add,
                timeout=seconds + GRACE_SECONDS,
            )
            # Not `asyncio.timeout`: the client takes a cancellation for an error of its own.
            ending = asyncio.create_task(_exit_code(handle))
            code = None
            try:
                await asyncio.wait({ending}, timeout=seconds)
                code = ending.result() if ending.done() else None
            finally:
                if code is None:
                    await asyncio.shield(asyncio.create_task(_end_command(self._live, handle, ending)))
            return CommandResult(stdout.text(), stderr.text(), code)

    # ------------------------------------------------------------------------------------------------------- files

    async def write_file(self, path: str, data: bytes) -> None:
        with self._answers():
            if len(data) > self._most_bytes:
                raise SandboxFileError(f"A file may have {self.settings.transfer_mb} MB, no more.")
            kind = await self._look(path, MAKE_FOLDERS)
            if kind == "blocked":
                raise SandboxFileError(f"{_shown(path)} leads through something that is no folder.")
            if kind != "nothing":
                _want_regular(path, kind)
            await self._file_call(path, self._live.files.write(f"{HOME}/{path}", data))

    async def read_file(self, path: str) -> bytes:
        with self._answers():
            _want_regular(path, await self._look(path))
            parts, left = [], self._most_bytes
            async with await self._file_call(path, self._live.files.read(f"{HOME}/{path}", format="stream")) as stream:
                async for part in stream:
                    parts.append(bytes(part))
                    left -= len(part)
                    if left < 0:
                        raise SandboxFileError(f"{_shown(path)} is larger than {self._most_bytes:,} bytes.")
            return b"".join(parts)

    @property
    def _most_bytes(self) -> int:
        return self.settings.transfer_mb * 2**20

    async def _look(self, path: str, before: str = "") -> str:
        """What is at a path, in the words of `stat`, or `nothing`, or `blocked` by a file where a folder should be."""
        parts = [part for part in PurePosixPath(path).parts if part != "."]
        if not parts or "\0" in path:
            raise SandboxFileError(f"{_shown(path)} is no name for a file.")
        if len(path) > 4000 or any(len(part.encode()) > 255 for part in parts):
            raise SandboxFileError(f"{_shown(path)} has too long a name.")
        if not path.startswith("/") and ".." not in parts:
            command = LOOK.format(path=shlex.quote(path), before=before)
            done = await self._live.commands.run(command, cwd=HOME, timeout=GRACE_SECONDS)
            if done.stdout.strip() != "outside":
                return done.stdout.strip()
        raise SandboxFileError(
            f"{_shown(path)} leads out of the working folder: give a path relative to it, without '..'."
        )

    async def _file_call(self, path: str, call: Any) -> Any:
        from e2b_code_interpreter import (
            InvalidArgumentException,
            NotEnoughSpaceException,
            NotFoundException,
            SandboxException,
        )

        try:
            return await call
        except NotFoundException:
            raise SandboxFileError(f"{_shown(path)} does not exist.") from None
        except InvalidArgumentException:
            raise SandboxFileError(f"{_shown(path)} is no regular file.") from None
        except NotEnoughSpaceException:
            raise SandboxFileError(f"{_shown(path)} does not fit on the disk.") from None
        except SandboxException as error:
            if type(error) is not SandboxException:
                raise
            raise SandboxFileError(f"{_shown(path)} cannot be opened: {_reason(error)}") from None

    # ------------------------------------------------------------------------------------------------------ inside

    @property
    def _live(self) -> "AsyncSandbox":
        if self._closed:
            raise SandboxLost("The sandbox has been closed.")
        if self._remote is None:
            raise SandboxLost("The sandbox was not started.")
        return self._remote

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Around calls to E2B: whatever the client raises that is not for the model means that there is no sandbox."""
        try:
            yield
        except (SandboxLost, SandboxFileError):
            raise
        except Exception as error:
            raise SandboxLost(f"No sandbox can be had at E2B: {_reason(error)}") from None


def _readable(traceback: str) -> str:
    """A traceback in plain text. E2B leaves out some of the line breaks."""
    head = "Traceback (most recent call last)"
    return ANSI.sub("", traceback).lstrip("-").replace(f"{head}Cell", f"{head}\nCell", 1)


def _want_regular(path: str, kind: str) -> None:
    """Raise `SandboxFileError` where a path is no regular file, in the words of `_look`."""
    if kind == "nothing":
        raise SandboxFileError(f"{_shown(path)} does not exist.")
    if not kind.startswith("regular"):
        raise SandboxFileError(f"{_shown(path)} is {'a folder' if kind == 'directory' else 'no regular file'}.")


def _shown(path: str) -> str:
    return repr(path if len(path) <= 100 else path[:100] + "...")


def _reason(error: BaseException) -> str:
    """One line for an error of the client, without the key, which an answer may repeat."""
    text = " ".join(str(error).split()) or type(error).__name__
    key = os.environ.get("E2B_API_KEY")
    return (text.replace(key, "***") if key else text)[:300]


def _is_timeout(error: Exception) -> bool:
    from e2b_code_interpreter import TimeoutException

    return isinstance(error, TimeoutException)


async def _exit_code(handle: Any) -> int | None:
    """The exit code of a command that ends by itself, None of one that printed too much."""
    from e2b_code_interpreter import CommandExitException

    try:
        return (await handle.wait()).exit_code
    except CommandExitException as failed:
        return failed.exit_code
    except PrintedTooMuch:
        return None


async def _end_command(remote: "AsyncSandbox", handle: Any, ending: "asyncio.Task[int | None]") -> None:
    with contextlib.suppress(Exception):
        await remote.commands.run(END_COMMAND.format(pid=handle.pid), timeout=GRACE_SECONDS)
    await handle.disconnect()
    await asyncio.wait({ending})


async def _end(creation: "asyncio.Task[AsyncSandbox]") -> None:
    """End a sandbox, be it one that is only being created."""
    try:
        remote = await creation
    except (Exception, asyncio.CancelledError):
        return  # There is none.
    try:
        await remote.kill()
    except Exception as error:
        log.warning("A sandbox at E2B was left to its time limit: %s", _reason(error))
