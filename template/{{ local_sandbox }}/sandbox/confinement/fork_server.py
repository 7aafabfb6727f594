# Part of the template: changes belong there (`copier update` merges this file).
"""Holds the interpreter and packages in memory, and forks: each fork is the guard of a sandbox, and its interpreter.

    python fork_server.py PACKAGE ...

Standard input is a socket. Each message on it brings the descriptors of a sandbox: `CONTROL`, `STDOUT`, `STDERR` and
`STATUS`. The answer is JSON with the descriptor of the process (pidfd), or with the `error`. This program never reads
what a sandbox is to be: its fork does, from `CONTROL`. So a sandbox finds nothing of others in the memory that it got.

A fork is a guard, as `guard.py`, whose order says also: `room` (the command line of bubblewrap, or null), `process` (as
for `enter.py`), and a `command` to become or the `connection` of a kernel to be. When it ends it writes its exit code
to `STATUS`, or `NOT_MADE`.
"""

import contextlib
import errno
import gc
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import enter
import guard
import kernel
import room

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
from gymkit import renew

CONTROL, STDOUT, STDERR, STATUS = range(4)
"""The descriptors of a guard."""
NOT_MADE = b"-1"
LATE = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.magics.execution",
    "IPython.core.magics.namespace",
    "IPython.core.magics.osm",
    "IPython.core.oinspect",
    "pexpect",
    "pygments.formatters.terminal256",
    "stack_data",
    "tornado.locks",
    "tornado.platform.asyncio",
    "tornado.queues",
)
"""What IPython imports only when a kernel starts, or fails with a cell."""

OFTEN = ("csv", "decimal", "difflib", "fractions", "sqlite3", "statistics", "xml.etree.ElementTree")
"""What agents import often of the standard library; a sandbox cannot keep what it compiles of it."""


def preload(packages: Sequence[str]) -> list[str]:
    """Import packages; the names of those that cannot be."""
    missing = []
    for name in packages:
        try:
            importlib.import_module(name)
        except Exception:
            missing.append(name)
    return missing


def threads() -> int:
    """How many threads this program has, once libraries have ended those that they keep from being forked."""
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    return len(os.listdir("/proc/self/task"))


def say(control: socket.socket, answer: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    socket.send_fds(control, [json.dumps(answer).encode()], descriptors)


def serve(control: socket.socket) -> None:
    """Fork for each message. Returns in the forks, which have the descriptors of a guard and no others."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system collects the forks.
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 16, STATUS + 1)
        if not data:
            os._exit(0)
        child = -1
        try:
            if len(descriptors) != STATUS + 1:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            child = os.fork()
            if child == 0:
                break
            process = os.pidfd_open(child)
            say(control, {}, (process,))
            os.close(process)
        except OSError as error:
            say(control, {"error": str(error.strerror)})
        finally:
            if child:
                for descriptor in descriptors:
                    os.close(descriptor)
    control.detach()
    keep(descriptors)


def keep(descriptors: list[int]) -> None:
    """Make these descriptors 0, 1, 2 and so on, and close all others."""
    high = [os.dup(descriptor) for descriptor in descriptors]  # above all of them
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= len(high):
            with contextlib.suppress(OSError):  # the one of this list itself
                os.close(int(name))


def supervise() -> dict[str, Any]:
    """Be the guard of a sandbox. Returns its order in the process that is to be confined."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order = guard.receive()
    try:
        child = room.Room(order["room"]).fork() if order["room"] else fork_here()
    except (OSError, RuntimeError) as error:
        os.write(STDERR, f"no fork can be made: {error}\n".encode())
        os.write(STATUS, NOT_MADE)
        os._exit(1)  # bubblewrap ends with it.
    if child == 0:
        return order
    code = guard.guard(child, order)
    os.write(STATUS, str(code).encode())
    os._exit(code)


def fork_here() -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        guard.die_with(parent)
    return child


def confine(order: dict[str, Any]) -> None:
    """Give up all that is the guard's, and what a confined process may not do."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDONLY)
    keep([null, STDOUT, STDERR])
    if order["room"]:
        room.bound_rights()
    enter.become(order["process"])
    if order["room"]:
        room.drop_rights()


def begin() -> socket.socket:
    """Load what the forks have in memory; the socket of the server, which is told how it went."""
    # The folders of this program's modules, which would hide the agent's own of the same names.
    here = sys.path.pop(0)
    del sys.path[0]
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    kernel.prepare()
    preload(LATE + OFTEN)
    missing = preload(sys.argv[1:])
    for name, module in list(sys.modules.items()):
        beside = os.path.dirname(getattr(module, "__file__", None) or "") == here and name != "__main__"
        if beside or name.partition(".")[0] == "gymkit":
            del sys.modules[name]
    say(control, {"missing": missing, "threads": threads()})
    gc.collect()
    gc.freeze()  # The forks share the pages of what is never collected.
    return control


def main() -> None:
    serve(begin())
    order = supervise()
    confine(order)
    environment = order["process"]["environment"]
    if "command" in order:
        enter.run(order["command"], environment)
    # The guard's search for a sandbox's processes goes by what is shown, which else would tell where the server is.
    renew.everything(["python"], environment)
    kernel.main(order["connection"])


if __name__ == "__main__":
    main()
