# Part of the template: changes belong there (`copier update` merges this file).
"""Shell commands in a sandbox at E2B."""

import asyncio
import contextlib
import shlex
from typing import TYPE_CHECKING

from sandbox import CommandResult
from sandbox.e2b import GRACE_SECONDS, HOME
from sandbox.e2b.output import Output, PrintedTooMuch

if TYPE_CHECKING:
    from e2b_code_interpreter import AsyncCommandHandle, AsyncSandbox

# The command has a session of its own, by which what it leaves running is found and ended.
COMMAND = "setsid bash -c {command} & wait $!; code=$?; pkill -KILL -s $! 2>/dev/null; exit $code"
END_COMMAND = "for each in $(pgrep -P {pid}); do pkill -KILL -s $each; done; kill -KILL {pid}"


async def run_command(remote: "AsyncSandbox", command: str, output: Output, seconds: float) -> CommandResult:
    """Run a shell command in the working folder; what it leaves running is ended."""
    if "\0" in command:
        return CommandResult("", "A command cannot hold a null byte.", 2)
    handle = await remote.commands.run(
        COMMAND.format(command=shlex.quote(command)),
        background=True,
        cwd=HOME,
        on_stdout=output.add_stdout,
        on_stderr=output.add_stderr,
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
            await asyncio.shield(asyncio.create_task(_end(remote, handle, ending)))
    return CommandResult(output.stdout.text(), output.stderr.text(), code)


async def _exit_code(handle: "AsyncCommandHandle") -> int | None:
    """The exit code of a command that ends by itself, or None if it printed too much."""
    from e2b_code_interpreter import CommandExitException

    try:
        return (await handle.wait()).exit_code
    except CommandExitException as failed:
        return failed.exit_code
    except PrintedTooMuch:
        return None


async def _end(remote: "AsyncSandbox", handle: "AsyncCommandHandle", ending: "asyncio.Task[int | None]") -> None:
    with contextlib.suppress(Exception):
        await remote.commands.run(END_COMMAND.format(pid=handle.pid), timeout=GRACE_SECONDS)
    await handle.disconnect()
    await asyncio.wait({ending})
