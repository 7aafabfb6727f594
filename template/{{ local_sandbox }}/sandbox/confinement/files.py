# Part of the template: changes belong there (`copier update` merges this file).
"""Reads and writes files below a folder that confined processes can change: links, pipes and devices are refused.

Each step of a path is opened by itself, from the folder before it, and no step is a symbolic link.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would wait for its other end.
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

REASONS = {
    errno.ENOENT: "does not exist",
    errno.EISDIR: "is a folder",
    errno.ENOTDIR: "leads through something that is no folder",
    errno.ELOOP: "is a symbolic link, or leads through one",
    errno.ENXIO: "is no regular file",
    errno.EACCES: "may not be opened",
    errno.ENAMETOOLONG: "has too long a name",
    errno.ENOSPC: "does not fit on the disk",
}


class FileError(ValueError):
    """A file cannot be read or written; the message is for the model."""


def read_beneath(root: Path, path: str, most_bytes: int) -> bytes:
    """The bytes of a regular file below `root`.

    Raises:
        FileError: the path leaves the folder, or it is no regular file, or larger than `most_bytes`.
    """
    with _parent(root, path) as (folder, name), _opened(path, name, os.O_RDONLY | FILE, folder) as file:
        if os.fstat(file).st_size <= most_bytes:
            parts, left = [], most_bytes + 1
            while left > 0 and (part := os.read(file, min(left, 2**20))):
                parts.append(part)
                left -= len(part)
            if left > 0:
                return b"".join(parts)
    raise FileError(f"{shown(path)} is larger than {most_bytes:,} bytes.")


def write_beneath(root: Path, path: str, data: bytes, owner: int | None = None) -> None:
    """Write a regular file below `root`, and the folders to it, for the user `owner`.

    Raises:
        FileError: the path leaves the folder, or something else is there, or there is no room.
    """
    with (
        _parent(root, path, make=True, owner=owner) as (folder, name),
        _opened(path, name, os.O_WRONLY | os.O_CREAT | FILE, folder) as file,
    ):
        try:
            if owner is not None:
                os.fchown(file, owner, owner)
            os.ftruncate(file, 0)
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        except OSError as error:
            raise _readable(error, path) from None


@contextmanager
def _parent(root: Path, path: str, make: bool = False, owner: int | None = None) -> Iterator[tuple[int, str]]:
    """The open folder that a path's last part stands in, and that part."""
    parts = [part for part in PurePosixPath(path).parts if part != "."]
    if not parts or "\0" in path:
        raise FileError(f"{shown(path)} is no name for a file.")
    if path.startswith("/") or ".." in parts:
        raise FileError(f"{shown(path)} leads out of the working folder: give a path relative to it, without '..'.")
    try:
        folder = os.open(root, FOLDER)
    except OSError:
        raise FileError("The working folder is gone.") from None
    try:
        for part in parts[:-1]:
            try:
                if make:
                    _make_folder(part, folder, owner)
                inner = os.open(part, FOLDER, dir_fd=folder)
            except (OSError, ValueError) as error:
                raise _readable(error, path) from None
            os.close(folder)
            folder = inner
        yield folder, parts[-1]
    finally:
        os.close(folder)


def _make_folder(name: str, folder: int, owner: int | None) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return
    if owner is not None:
        os.chown(name, owner, owner, dir_fd=folder, follow_symlinks=False)


@contextmanager
def _opened(path: str, name: str, flags: int, folder: int) -> Iterator[int]:
    """A regular file, open."""
    try:
        file = os.open(name, flags, 0o600, dir_fd=folder)
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
        raise _readable(error, path) from None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            is_folder = stat.S_ISDIR(os.fstat(file).st_mode)
            raise FileError(f"{shown(path)} is {'a folder' if is_folder else 'no regular file'}.")
        yield file
    finally:
        os.close(file)


def _readable(error: Exception, path: str) -> FileError:
    number = error.errno if isinstance(error, OSError) else None
    return FileError(f"{shown(path)} {REASONS.get(number or 0, 'cannot be opened')}.")


def shown(path: str) -> str:
    """A path as a message shows it."""
    return repr(path if len(path) <= 100 else path[:97] + "...")
