"""Servers as processes: started, waited for, stopped; a failure shows what the server has said."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

SECONDS_TO_STOP = 60


@contextmanager
def started(
    command: Sequence[str | Path],
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 120,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a server in a process group of its own, wait until it is ready, and stop all of the group.

    Args:
        command: The server's command line.
        cwd: Its working directory.
        env: All of its variables.
        log: A file for what it says.
        ready: Asked again and again.
        seconds: How long to wait for that.
        stop: The signal that asks it to end; after `SECONDS_TO_STOP`, it is killed.

    Raises:
        AssertionError: it ended, or was not ready in time; the message is the end of its log. Stopping never fails.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    began = time.monotonic()
    try:
        while not ready():
            ended, waited = process.poll(), time.monotonic() - began
            if ended is not None or waited > seconds:
                how = "is not ready" if ended is None else f"exited with {ended}"
                said = log.read_text(errors="replace")[-5000:]
                raise AssertionError(f"{command[0]} {command[1]} {how} after {waited:.0f} s; it said:\n{said}")
            time.sleep(0.05)
        yield process
    finally:
        _end(process, stop)


def _end(process: "subprocess.Popen[bytes]", stop: signal.Signals) -> None:
    """End a process group, whatever has become of it."""
    for number in (stop, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(SECONDS_TO_STOP)
            return
        except subprocess.TimeoutExpired:
            continue


def answers(url: str) -> Callable[[], bool]:
    """Whether anything answers at an address by now."""

    def ready() -> bool:
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            return False
        return True

    return ready
