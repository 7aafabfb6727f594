# Part of the template: changes belong there (`copier update` merges this file).
"""The fork server of this process, and the guards that it forks. Where there is none, sandboxes start as programs."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache

from sandbox.confinement import PROGRAMS, PYTHON
from sandbox.confinement.view import fixed_environment

log = logging.getLogger("gymkit")

LOAD_SECONDS = 30
"""How long the fork server may take to load what it holds."""
FORK_SECONDS = 5
"""How long it may take for a fork; after that it is given up."""
PAUSE_SECONDS = 30
"""How long after that until another one is started; twice as long with each that does not come to fork."""

NOT_MADE = -1
"""The exit code of a guard that could not make its fork."""
OF_FORK_SERVERS = {
    "HOME": "/",
    # What is shown of a fork's environment stands where this one is, and needs room.
    "PADDING": "x" * 2000,
    # pandas loads pyarrow, whose allocator would start a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Variables that their forks do not keep."""


@contextlib.contextmanager
def two_pipes() -> Iterator[tuple[int, int, int, int]]:
    """Two pipes, of each the end to read from and the one to write to. Where their use fails, they are closed."""
    ends: list[int] = []
    try:
        ends += os.pipe()
        ends += os.pipe()
        yield ends[0], ends[1], ends[2], ends[3]
    except BaseException:
        for end in ends:
            os.close(end)
        raise


class NoFork(Exception):
    """The fork server cannot make a fork now. The message says why."""


class ForkServer:
    """A program that forks guards of sandboxes; it may end at any time, and another one is started then.

    Its methods can be called in any thread.
    """

    def __init__(self, packages: tuple[str, ...], environment: dict[str, str]) -> None:
        self._packages = packages
        self._environment = environment
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._loading = False
        self._start_at = 0.0
        self._pause = PAUSE_SECONDS

    @property
    def pid(self) -> int | None:
        """Its process id, while it can fork."""
        process = self._process
        return process.pid if process is not None and self._control is not None else None

    def start(self) -> bool:
        """Start it in the background, if it is to be; whether it is loading."""
        with self._lock:
            if self._control is None and not self._loading and time.monotonic() >= self._start_at:
                self._loading = True
                try:
                    threading.Thread(target=self._load, name="fork server", daemon=True).start()
                except RuntimeError:  # no thread left
                    self._loading = False
            return self._loading

    def _load(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = None
        try:
            with theirs:
                process = subprocess.Popen(
                    [PYTHON, str(PROGRAMS / "fork_server.py"), *self._packages],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=self._environment,
                    # In this session: a stopped process whose parent has gone is continued then, and told to end.
                    process_group=0,
                )
            ours.settimeout(LOAD_SECONDS)
            said = json.loads(ours.recv(65536) or b"{}")
            if said.get("threads") != 1:
                raise NoFork(f"it has {said['threads']} threads" if said else "it has ended")
            if said["missing"]:
                log.info("Not held in memory for sandboxes, for they cannot be imported: %s", said["missing"])
            ours.settimeout(FORK_SECONDS)
            with self._lock:
                self._process, self._control, self._loading = process, ours, False
        except (OSError, NoFork) as error:
            with self._lock:
                self._give_up(process, ours, str(error) or type(error).__name__)
                self._loading = False

    def close(self) -> None:
        """End it; what it has forked lives on."""
        with self._lock:
            if self._process is not None and self._control is not None:
                self._give_up(self._process, self._control, "it is closed")

    def _give_up(self, process: "subprocess.Popen[bytes] | None", control: socket.socket, reason: str) -> None:
        log.warning("Sandboxes start slowly for now: no fork server (%s).", reason)
        self._process = self._control = None
        self._start_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, 3600)
        control.close()
        if process is not None:
            process.kill()
            process.wait()

    def fork(self, descriptors: list[int]) -> int:
        """Fork a guard that has these descriptors; the descriptor of the process.

        Raises:
            NoFork: it cannot be had.
        """
        with self._lock:
            process, control = self._process, self._control
            if process is None or control is None:
                raise NoFork("there is no fork server")
            try:
                socket.send_fds(control, [b"fork"], descriptors)
                data, received, _, _ = socket.recv_fds(control, 4096, 1)
            except OSError as error:
                reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
                self._give_up(process, control, reason)
                raise NoFork(reason) from None
            if not data:
                self._give_up(process, control, f"it has ended with {process.poll()}")
                raise NoFork("it has ended")
        if not received:
            raise NoFork(f"it cannot fork: {json.loads(data)['error']}")
        self._pause = PAUSE_SECONDS
        os.set_inheritable(received[0], False)
        return received[0]


@cache
def fork_server(packages: tuple[str, ...]) -> ForkServer | None:
    """The fork server of this process for some packages; None where a process cannot enter namespaces."""
    if not sys.platform.startswith("linux") or not hasattr(os, "setns") or not hasattr(os, "pidfd_open"):
        return None
    return ForkServer(packages, fixed_environment() | OF_FORK_SERVERS)


async def _in_thread(server: ForkServer, descriptors: list[int]) -> int:
    """`ForkServer.fork`, which uses the descriptors no more when this has ended, also where it was cancelled."""
    task = asyncio.ensure_future(asyncio.to_thread(server.fork, descriptors))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if task.exception() is None:
            os.close(task.result())
        raise


class Forked:
    """A guard that was forked: the other side of its descriptors."""

    def __init__(self, control: int, status: int, process: int) -> None:
        self._control = control
        self._status = status
        self._process = process

    @classmethod
    async def start(cls, server: ForkServer, stdout: int, stderr: int) -> "Forked":
        """Fork a guard with these for its standard output and error.

        Raises:
            NoFork, OSError: it cannot be had.
        """
        while server.start():
            await asyncio.sleep(0.02)
        with two_pipes() as (control_end, control, status, status_end):
            process = await _in_thread(server, [control_end, stdout, stderr, status_end])
        os.close(control_end)
        os.close(status_end)
        os.set_blocking(control, False)
        os.set_blocking(status, False)
        return cls(control, status, process)

    def say(self, line: bytes) -> bool:
        """Send it a line; whether it is taken."""
        with contextlib.suppress(OSError):
            return os.write(self._control, line) == len(line)
        return False

    async def wait(self) -> int:
        """Wait until it has ended; its exit code, NOT_MADE, or -SIGKILL if it was killed."""
        loop = asyncio.get_running_loop()
        said = b""
        while True:
            with contextlib.suppress(BlockingIOError):
                part = os.read(self._status, 100)
                if not part:
                    return int(said or -signal.SIGKILL)
                said += part
                continue
            readable = asyncio.Event()
            loop.add_reader(self._status, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._status)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def close(self) -> None:
        """Release its descriptors, after it has ended."""
        for descriptor in (self._control, self._status, self._process):
            os.close(descriptor)
