# Part of the template: changes belong there (`copier update` merges this file).
"""Whether two mathematical expressions are equal, by math-verify (SymPy) in processes that can be killed.

SymPy can take for ever, and cannot be stopped within a thread. So a process of its own loads math-verify once and forks
a worker whenever one is wanted, in milliseconds. A worker sets itself a limit of processor time for each question; the
system ends it there, and only it. What had no time is *unknown*: that is not *different*.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from threading import BoundedSemaphore, Lock

from gymkit.answers import clean, number
from gymkit.grading import EnvironmentFailed

__all__ = ["Equality", "compare", "is_readable", "start"]

MAX_CHARACTERS = 1_000
"""A longer expression is not looked at: `UNKNOWN`."""

SECONDS = 3.0
"""Processor time of a question."""

QUICK_SECONDS = 0.3
"""What takes longer is asked again among the slow ones, so that they hold up nobody else."""

START_SECONDS = 60.0
"""Real time in which math-verify has to be loaded (it takes 2 to 5)."""


class Equality(StrEnum):
    """What is known of two expressions."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """It took too long, or one of them is none."""


def compare(given: str, expected: str, seconds: float = SECONDS) -> Equality:
    """Whether an expression is equal to another. It blocks: call it in a thread, as `grade()` is where it is a `def`.

    Args:
        given: LaTeX or plain (`2*sqrt(3)`), from the model: any text.
        expected: The right one, which `is_readable()`.
        seconds: Processor time that it may take.

    Raises:
        EnvironmentFailed: math-verify cannot be started.
    """
    if max(len(given), len(expected)) > MAX_CHARACTERS:
        return Equality.UNKNOWN
    one, other = number(given), number(expected)
    if one is not None and other is not None:
        return Equality.EQUAL if one == other else Equality.DIFFERENT
    given, expected = clean(given), clean(expected)
    return Equality.EQUAL if given == expected else Equality(_asked(given, expected, seconds))


def is_readable(text: str) -> bool:
    """Whether an expression can be read, and compared, in the time that there is.

    Raises:
        EnvironmentFailed: math-verify cannot be started.
    """
    if len(text) > MAX_CHARACTERS:
        return False
    return number(text) is not None or _asked(clean(text), clean(text), SECONDS) == Equality.EQUAL


def _asked(given: str, expected: str, seconds: float) -> str:
    question = {"given": given, "expected": expected}
    answer = _workers.ask(question, min(seconds, QUICK_SECONDS), slow=False)
    if answer is None and seconds > QUICK_SECONDS:
        answer = _workers.ask(question, seconds, slow=True)
    return answer or Equality.UNKNOWN


def start() -> None:
    """Begin to load math-verify, without waiting for it. The first `compare()` would do it otherwise."""
    _workers.start()


class _Workers:
    """The process that forks, and the workers that have nothing to do.

    Args:
        quick: Most questions at once.
        slow: Most at once of those that take long.
    """

    def __init__(self, quick: int, slow: int) -> None:
        self._places = {False: BoundedSemaphore(quick), True: BoundedSemaphore(slow)}
        self._lock = Lock()
        self._idle: list[socket.socket] = []
        self._forker: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False

    def start(self) -> None:
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._forker is not None and self._forker.poll() is None:
            return
        ours, theirs = socket.socketpair()
        # -P: what stands beside the worker's file hides no library. No secret is in the environment of what reads the
        # model's text.
        command = [sys.executable, "-P", str(Path(__file__).with_name("symbolic_worker.py"))]
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LC_ALL")}
        self._forker = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=kept)
        theirs.close()
        self._control, self._ready = ours, False

    def ask(self, question: dict[str, str], seconds: float, slow: bool) -> str | None:
        """The worker's word; None where it had not the time, or has died of the question."""
        message = json.dumps({**question, "seconds": seconds}).encode() + b"\n"
        with self._places[slow], self._worker() as worker:
            try:
                # The worker's own limit is one of processor time. This one is for a machine that gives it none.
                worker.settimeout(20 * seconds + 10)
                worker.sendall(message)
                said = worker.recv(100)
            except OSError:
                said = b""
            if not said:
                worker.close()
            return said.decode().strip() or None

    @contextmanager
    def _worker(self) -> Iterator[socket.socket]:
        with self._lock:
            worker = self._idle.pop() if self._idle else self._fork()
        yield worker
        if worker.fileno() >= 0:
            with self._lock:
                self._idle.append(worker)

    def _fork(self) -> socket.socket:
        for _ in range(2):  # It may have been killed, for want of memory: then it is started anew.
            self._start()
            assert self._control is not None
            ours, theirs = socket.socketpair()
            with theirs, suppress(OSError):
                self._control.settimeout(START_SECONDS)
                if not self._ready:
                    self._ready = self._control.recv(1) == b"r"
                if self._ready:
                    socket.send_fds(self._control, [b"f"], [theirs.fileno()])
                    return ours
            ours.close()
            self._stop()
        raise EnvironmentFailed("math-verify cannot be loaded: `uv sync` installs it.")

    def _stop(self) -> None:
        if self._forker is not None:
            self._forker.kill()
            self._forker.wait()
        if self._control is not None:
            self._control.close()
        self._forker = None
        for worker in self._idle:
            worker.close()
        self._idle.clear()


_workers = _Workers(quick=max(2, os.cpu_count() or 2), slow=2)
