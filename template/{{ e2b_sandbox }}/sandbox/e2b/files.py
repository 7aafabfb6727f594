# Part of the template: changes belong there (`copier update` merges this file).
"""Files in the working folder of a sandbox at E2B."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sandbox import SandboxFileError
from sandbox.e2b import GRACE_SECONDS, HOME, reason

if TYPE_CHECKING:
    from e2b_code_interpreter import AsyncSandbox

# Says whether a path, links followed, stays in the folder, and what is there. Before a file is written, its folders are
# made.
LOOK = """\
target=$(realpath -m -- {path})
case $target in
"$(pwd -P)"/*) {before} stat -Lc %F -- "$target" 2>/dev/null || echo nothing;;
*) echo outside;;
esac"""
MAKE_FOLDERS = 'mkdir -p -- "$(dirname -- "$target")" 2>/dev/null || { echo blocked; exit; };'


async def write_file(remote: "AsyncSandbox", path: str, data: bytes, most_bytes: int) -> None:
    """Write a file, and make the folders that it needs. Raises `SandboxFileError`."""
    if len(data) > most_bytes:
        raise SandboxFileError(f"A file may have {most_bytes // 2**20} MB, no more.")
    kind = await _look(remote, path, MAKE_FOLDERS)
    if kind == "blocked":
        raise SandboxFileError(f"{_shown(path)} leads through something that is no folder.")
    if kind != "nothing":
        _want_regular(path, kind)
    with _file_errors(path):
        await remote.files.write(f"{HOME}/{path}", data)


async def read_file(remote: "AsyncSandbox", path: str, most_bytes: int) -> bytes:
    """Read a file. Raises `SandboxFileError`."""
    _want_regular(path, await _look(remote, path))
    parts, left = [], most_bytes
    with _file_errors(path):
        stream = await remote.files.read(f"{HOME}/{path}", format="stream")
    async with stream:
        async for part in stream:
            parts.append(bytes(part))
            left -= len(part)
            if left < 0:
                raise SandboxFileError(f"{_shown(path)} is larger than {most_bytes:,} bytes.")
    return b"".join(parts)


async def _look(remote: "AsyncSandbox", path: str, before: str = "") -> str:
    """What is at a path, in the words of `stat`, or `nothing`, or `blocked` by a file where a folder should be."""
    parts = [part for part in PurePosixPath(path).parts if part != "."]
    if not parts or "\0" in path:
        raise SandboxFileError(f"{_shown(path)} is no name for a file.")
    if len(path) > 4000 or any(len(part.encode()) > 255 for part in parts):
        raise SandboxFileError(f"{_shown(path)} has too long a name.")
    if not path.startswith("/") and ".." not in parts:
        command = LOOK.format(path=shlex.quote(path), before=before)
        done = await remote.commands.run(command, cwd=HOME, timeout=GRACE_SECONDS)
        if done.stdout.strip() != "outside":
            return done.stdout.strip()
    raise SandboxFileError(f"{_shown(path)} leads out of the working folder: give a path relative to it, without '..'.")


def _want_regular(path: str, kind: str) -> None:
    """Raise `SandboxFileError` unless a path is a regular file. `kind` is what `_look` says of it."""
    if kind == "nothing":
        raise SandboxFileError(f"{_shown(path)} does not exist.")
    if not kind.startswith("regular"):
        raise SandboxFileError(f"{_shown(path)} is {'a folder' if kind == 'directory' else 'no regular file'}.")


@contextmanager
def _file_errors(path: str) -> Iterator[None]:
    """Around a call of the client: its errors that are about the file are raised as `SandboxFileError`."""
    from e2b_code_interpreter import (
        InvalidArgumentException,
        NotEnoughSpaceException,
        NotFoundException,
        SandboxException,
    )

    try:
        yield
    except NotFoundException:
        raise SandboxFileError(f"{_shown(path)} does not exist.") from None
    except InvalidArgumentException:
        raise SandboxFileError(f"{_shown(path)} is no regular file.") from None
    except NotEnoughSpaceException:
        raise SandboxFileError(f"{_shown(path)} does not fit on the disk.") from None
    except SandboxException as error:
        if type(error) is not SandboxException:
            raise
        raise SandboxFileError(f"{_shown(path)} cannot be opened: {reason(error)}") from None


def _shown(path: str) -> str:
    return repr(path if len(path) <= 100 else path[:100] + "...")
