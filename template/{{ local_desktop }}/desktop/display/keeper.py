# Part of the template: changes belong there (`copier update` merges this file).
"""Runs the programs of one display, and ends them with the server, whatever ends that.

    python -I -S keeper.py FOLDER

Standard input brings orders, one JSON object a line, and is the lifeline: its end means that the display is to go, or
that the server has gone. Orders:

    {"start": 1, "command": [...], "environment": {...}, "folder": "...", "output": "FILE", "limits": {...}}
    {"end": 1}

Standard output says which process this is, `{"keeper": 4710}`, and what became of orders: `{"id": 1, "pid": 4711}`,
and at last `{"id": 1, "code": 0}` (negative for a signal, as in `subprocess`). At the end, all programs are killed but
the first one, the X server, which is asked, so that it removes its socket; then FOLDER is removed. A program cannot
leave by `setsid` or a second fork: what loses its parent is adopted here.

`fork_server.py` forks keepers, too, which can run scripts without a program that starts anew.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

Order = dict[str, Any]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MAX_PROCESSES = 200
"""With more, what has been started last is ended."""
LOOK_SECONDS = 0.5
END_SECONDS = 3


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere nothing happens."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def say(**event: Any) -> None:
    """Tell the server; where it has gone, nobody."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(event).encode() + b"\n")


class Chosen(Exception):
    """In a fork: it is to carry out this order itself, without a program that takes its place."""

    def __init__(self, order: Order) -> None:
        self.order = order


def start(order: Order, runs_here: Callable[[Order], bool]) -> int:
    """Run a program as a child that dies with this process; its process id, which is its process group's too.

    Raises:
        Chosen: this is the child, and `runs_here` says that this Python is the program.
    """
    keeper = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, 256)
        for name, value in order.get("limits", {}).items():
            resource.setrlimit(getattr(resource, name), (value, value))
        os.chdir(order["folder"])
        if runs_here(order):
            raise Chosen(order)
        os.execvpe(order["command"][0], order["command"], order["environment"])
    except Chosen:
        raise
    except BaseException as error:
        os.write(2, f"{order['command'][0]}: {error}\n".encode())
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


def kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


class Keeper:
    """The programs that run, by the ids of their orders, the oldest first."""

    def __init__(self, runs_here: Callable[[Order], bool]) -> None:
        self.pids: dict[int, int] = {}
        self._runs_here = runs_here

    def obey(self, order: Order) -> None:
        """Carry out one order."""
        if "start" in order:
            pid = start(order, self._runs_here)
            self.pids[order["start"]] = pid
            say(id=order["start"], pid=pid)
        elif order.get("end") in self.pids:
            kill_group(self.pids[order["end"]])

    def reap(self) -> None:
        """Collect what has ended, and say so."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                for number, started in list(self.pids.items()):
                    if started == pid:
                        del self.pids[number]
                        say(id=number, code=os.waitstatus_to_exitcode(status))

    def watch(self) -> None:
        """Obey until the lifeline ends."""
        wake, wakened = os.pipe()
        os.set_blocking(wakened, False)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.reap()
        lines = b""
        looked = time.monotonic()
        while True:
            ready, _, _ = select.select([0, wake], [], [], LOOK_SECONDS)
            if wake in ready:
                os.read(wake, 4096)
            self.reap()
            if 0 in ready:
                part = os.read(0, 65536)
                if not part:
                    return
                *complete, lines = (lines + part).split(b"\n")
                for line in complete:
                    self.obey(json.loads(line))
            if time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                if len(self.pids) > 1 and len(descendants()) > MAX_PROCESSES:
                    kill_group(list(self.pids.values())[-1])

    def end(self) -> None:
        """End everything, those processes included that are being made meanwhile."""
        first = next(iter(self.pids.values()), None)
        deadline = time.monotonic() + END_SECONDS
        asked = False
        while time.monotonic() < deadline:
            left = [pid for pid in descendants() if pid != first]
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)
            if first is not None and not left and not asked:
                asked = True
                with contextlib.suppress(OSError):
                    os.kill(first, signal.SIGTERM)
            self.reap()
            if not left and (first is None or first not in self.pids.values()):
                return
            time.sleep(0.005)
        # An X server that hangs, too. It is waited for: its socket may be removed only when it no longer answers.
        deadline = time.monotonic() + END_SECONDS
        while (left := descendants()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
            self.reap()


def keep(folder: str, runs_here: Callable[[Order], bool] = lambda order: False) -> Order | None:
    """Keep the programs of a display until the lifeline ends; then remove its folder.

    Returns:
        In a fork that is to be a program for which `runs_here` holds: the order, to be carried out by the caller.
    """
    say(keeper=os.getpid())
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper(runs_here)
    try:
        keeper.watch()
    except Chosen as chosen:
        return chosen.order
    except BaseException:
        keeper.end()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    keeper.end()
    shutil.rmtree(folder, ignore_errors=True)
    return None


if __name__ == "__main__":
    keep(sys.argv[1])
