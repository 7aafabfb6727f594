# Part of the template: changes belong there (`copier update` merges this file).
"""Runs a confined process, and ends all that descends from it when it ends, or when the server does.

    python -I -S guard.py

The first line of standard input says what to run, as JSON: `command`, `folder` (removed when the server goes; may be
null), `max_processes`. After that, the end of standard input means that the server has gone, and a line means that the
process has to be ended. Exits with the exit code of the command, 128 + the signal that ended it, or 137 if this
program ended it.

A process cannot leave by `setsid` or a second fork: on Linux this program adopts what loses its parent.
"""

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 0.5
"""How often the processes are counted."""
END_SECONDS = 5
"""How long to go on ending processes that go on making new ones."""
FEW = 100
"""So many files are removed without starting a program for it."""
KILLED = 128 + signal.SIGKILL
SYSTEM = {"PATH": "/usr/bin:/bin"}


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere nothing happens."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have this process killed when its parent ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(KILLED)


def start(command: list[str]) -> int:
    """Run the command as a child that dies with this process; its id."""
    guard = os.getpid()
    child = os.fork()
    if child:
        return child
    die_with(guard)
    # Python ignores SIGPIPE, and this program SIGINT; the command should not.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def descendants() -> list[int]:
    """All processes below this one, from the table that Linux keeps for each thread."""
    found: list[int] = []
    look_at = [os.getpid()]
    while look_at:
        pid = look_at.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as table:
                    children = [int(child) for child in table.read().split()]
                found += children
                look_at += children
    return found


def reap(child: int) -> int | None:
    """Collect what has ended; the child's exit code, if it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                code = 128 - code if code < 0 else code
    return code


def watch(child: int, max_processes: int) -> tuple[int, bool]:
    """Wait until the child has ended, too many processes run, or standard input says that it has to be ended.

    Returns:
        The exit code, and whether the server has gone.
    """
    wake, wakened = os.pipe()
    os.set_blocking(wakened, False)
    signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    looked = time.monotonic()
    while True:
        code = reap(child)
        if code is not None:
            return code, False
        ready, _, _ = select.select([0, wake], [], [], LOOK_SECONDS)
        if 0 in ready:
            return KILLED, not os.read(0, 100)
        if wake in ready:
            os.read(wake, 4096)
        if time.monotonic() - looked >= LOOK_SECONDS:
            looked = time.monotonic()
            if len(descendants()) > max_processes:
                print(f"[ended: more than {max_processes} processes]", file=sys.stderr, flush=True)
                return KILLED, False


def end_all(child: int) -> None:
    """End the child and all other descendants, those included that are being made meanwhile."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        left = descendants()
        # Stopped first, so that they make no new ones while the others are ended.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left or [child]:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        reap(child)
        if not left or time.monotonic() > deadline:
            return
        time.sleep(0.005)


def remove_few(name: str, left: int, parent: int | None = None) -> int:
    """Remove a folder in which there are no more than `left` files and folders; how many there might still have been.

    Raises:
        OSError: there are more, or some cannot be removed.
    """
    # No step follows a link, whoever makes one meanwhile.
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
                if entry.is_dir(follow_symlinks=False):
                    left = remove_few(entry.name, left, folder)
                else:
                    os.unlink(entry.name, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
    return left


def remove(folder: str) -> None:
    """Remove a folder, whatever stands in it: too deep for `shutil.rmtree`, or without permissions."""
    with contextlib.suppress(OSError):
        remove_few(folder, FEW)
        return
    # Many files would keep this process's other threads from running.
    for program in (["rm", "-rf"], ["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        subprocess.run([*program, "--", folder], env=SYSTEM, stderr=subprocess.DEVNULL, check=False)
        if not os.path.lexists(folder):
            break


def receive() -> dict[str, Any]:
    """Adopt what loses its parent, and read what to run from standard input."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1)  # No further than the line: what follows is for watch().
        if not part:
            os._exit(KILLED)
        line += part
    return json.loads(line)


def guard(child: int, order: dict[str, Any]) -> int:
    """Wait until a child has ended or has to be, and end all; the exit code."""
    code, server_gone = watch(child, order["max_processes"])
    end_all(child)
    if server_gone and order["folder"]:
        remove(order["folder"])
    return code


def main() -> NoReturn:
    order = receive()
    os._exit(guard(start(order["command"]), order))


if __name__ == "__main__":
    main()
