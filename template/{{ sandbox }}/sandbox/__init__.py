# Part of the template: changes belong there (`copier update` merges this file).
"""The sandbox: a live Python interpreter, a shell and a working folder for one session, and their results as text.

`Sandbox` is the protocol. `backend.py` implements it, on this machine or at E2B. Of that file, the server uses
`SandboxSettings`, `check()`, `get_ready()`, `make_sandbox()` and `RUNS_CODE_HERE`: a file with these names is another
backend.
"""

from dataclasses import dataclass
from typing import Protocol

from gymkit.tools import CUT_MARK


class SandboxLost(Exception):
    """The sandbox could not be started, or does not work any more. The message says why; it holds no secret.

    Code that runs in a sandbox can bring it about that it does not work any more.
    """


class ProviderLost(SandboxLost):
    """What sandboxes run on has gone: nothing that code in a sandbox can bring about."""


class SandboxFileError(ValueError):
    """A file cannot be read or written. The message is for the model."""


@dataclass(frozen=True)
class CellResult:
    """The result of a cell."""

    stdout: str = ""
    """What it printed; of a long output, the beginning, how much was left out, and the end."""
    stderr: str = ""
    value: str | None = None
    """`repr` of the cell's last value, None if there is none."""
    traceback: str | None = None
    """Plain text."""
    figures: int = 0
    """Number of images that it showed."""
    interrupted: bool = False
    """Whether it was interrupted, because it ran too long or printed too much. Variables are kept."""
    restarted: bool = False
    """Whether the interpreter died and was started again. Variables are lost, files are kept."""


@dataclass(frozen=True)
class CommandResult:
    """The result of a shell command."""

    stdout: str
    stderr: str
    exit_code: int | None
    """None if it was ended, because it ran too long or printed too much."""


class Sandbox(Protocol):
    """The interpreter and the working folder of one session.

    File paths are relative to the working folder; one that leads out of it is refused. Every method but `close` raises
    `SandboxLost` if the sandbox could not be started or has gone.
    """

    async def start(self) -> None:
        """Start it. This takes seconds."""

    async def run_cell(self, code: str, *, seconds: float) -> CellResult:
        """Run code in the interpreter; after so many seconds it is interrupted."""
        ...

    async def run_command(self, command: str, *, seconds: float) -> CommandResult:
        """Run a shell command in the working folder; after so many seconds it is ended."""
        ...

    async def write_file(self, path: str, data: bytes) -> None:
        """Write a file, and make the folders that it needs.

        Raises:
            SandboxFileError: the path or the file cannot be written.
        """

    async def read_file(self, path: str) -> bytes:
        """Read a file.

        Raises:
            SandboxFileError: the path or the file cannot be read.
        """
        ...

    async def close(self) -> None:
        """End it. It may be called more than once, and never raises."""


# --------------------------------------------------------------------------------------------- what a model reads


def cell_text(result: CellResult, most: int) -> str:
    """The result of a cell as text. A part with more than `most` characters has its middle cut."""
    parts = [cut(result.stdout.rstrip("\n"), most)]
    if result.stderr.strip():
        parts.append(f"[stderr]\n{cut(result.stderr.strip(), most)}")
    if result.value is not None:
        parts.append(f"[value]\n{cut(result.value, most)}")
    if result.traceback is not None:
        parts.append(f"[traceback]\n{cut(trimmed(result.traceback), most)}")
    if result.figures:
        one = result.figures == 1
        parts.append(f"[{result.figures} {'figure was' if one else 'figures were'} made; they cannot be shown here.]")
    if result.interrupted:
        parts.append("[The cell was interrupted, for it took too long or printed too much. The variables are kept.]")
    if result.restarted:
        parts.append("[The interpreter has died and was started anew: variables and imports are lost. Files are kept.]")
    return "\n".join(part for part in parts if part) or "[no output]"


def command_text(result: CommandResult, most: int) -> str:
    """The result of a shell command as text. A part with more than `most` characters has its middle cut."""
    parts = [cut(result.stdout.rstrip("\n"), most)]
    if result.stderr.strip():
        parts.append(f"[stderr]\n{cut(result.stderr.strip(), most)}")
    if result.exit_code is None:
        parts.append("[The command was ended: it ran too long or printed too much.]")
    elif result.exit_code != 0:
        parts.append(f"[exit code {result.exit_code}]")
    return "\n".join(part for part in parts if part) or "[no output]"


def trimmed(traceback: str, first: int = 3, last: int = 30) -> str:
    """A traceback without its middle: its beginning and its end are what helps."""
    lines = traceback.splitlines()
    left_out = len(lines) - first - last
    if left_out > 1:
        lines = [*lines[:first], f"[... {left_out:,} lines left out ...]", *lines[-last:]]
    return "\n".join(lines)


def cut(text: str, most: int) -> str:
    """A text; without its middle if it has more than `most` characters."""
    half = most // 2
    return text if len(text) <= most else text[:half] + CUT_MARK.format(left_out=len(text) - 2 * half) + text[-half:]
