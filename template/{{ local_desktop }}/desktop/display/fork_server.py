# Part of the template: changes belong there (`copier update` merges this file).
"""Holds the interpreter and packages in memory, and forks: each fork is a keeper, as `keeper.py`.

    python fork_server.py PACKAGE ...

Standard input is a socket. Each message on it brings the two descriptors of a keeper, for its orders and for what it
says; the answer is JSON, with the `error` if there is none. The first line of the orders has the display's folder:
`{"folder": "..."}`; a keeper that does not get it leaves no trace. A keeper forks once more where it is to start a
script of this Python: the script then runs in that fork, with an environment of its own.
"""

import errno
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keeper

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
from gymkit import renew


def preload(packages: Sequence[str]) -> list[str]:
    """Import packages; the names of those that cannot be."""
    missing = []
    for name in packages:
        try:
            importlib.import_module(name)
        except Exception:
            missing.append(name)
    return missing


def say(control: socket.socket, **answer: Any) -> None:
    control.send(json.dumps(answer).encode())


def serve(control: socket.socket) -> None:
    """Fork for each message. Returns in the forks, which have the descriptors of a keeper and no others."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system collects the forks.
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 16, 2)
        if not data:
            os._exit(0)
        child = -1
        try:
            if len(descriptors) != 2:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            child = os.fork()
            if child == 0:
                break
            say(control)
        except OSError as error:
            say(control, error=str(error.strerror))
        finally:
            if child:
                for descriptor in descriptors:
                    os.close(descriptor)
    control.detach()
    high = [os.dup(descriptor) for descriptor in (*descriptors, 2)]  # above all of them
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number)
    os.closerange(3, max(high) + 1)


def first_line() -> bytes:
    """The first line of standard input, and nothing beyond it; shorter where the input ends."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def run(order: dict[str, Any]) -> None:
    """Run the script of an order, as `python SCRIPT ARGUMENT ...` does."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    renew.everything(order["command"], order["environment"])
    sys.argv = order["command"][1:]
    script = sys.argv[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    runpy.run_path(script, run_name="__main__")


def is_script(order: dict[str, Any]) -> bool:
    """Whether an order is for this Python, with a script and no options, and without limits of its own."""
    command = order["command"]
    return command[0] == sys.executable and len(command) > 1 and command[1].endswith(".py") and not order.get("limits")


def begin() -> socket.socket:
    """Load what the forks have in memory; the socket of the server, which is told how it went."""
    # The folders of this program's modules, which would hide the application's own of the same names.
    del sys.path[:2]
    for name in ("keeper", "gymkit", "gymkit.renew"):
        del sys.modules[name]
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    missing = preload(sys.argv[1:])
    say(control, missing=missing, threads=len(os.listdir("/proc/self/task")))
    gc.collect()
    gc.freeze()  # The forks share the pages of what is never collected.
    return control


def main() -> None:
    serve(begin())
    os.setsid()
    line = first_line()
    if line:
        folder = json.loads(line)["folder"]
        renew.show(["keeper"], {"FOLDER": folder})
        order = keeper.keep(folder, is_script)
        if order is not None:
            run(order)


if __name__ == "__main__":
    main()
