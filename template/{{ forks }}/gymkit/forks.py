# Part of the template: changes belong there (`copier update` merges this file).
"""A fork server, seen from the server: a program that holds packages in memory, and forks.

Its standard input is a socket. It says what it has loaded, as JSON: the packages that are `missing`, and how many
`threads` it has. Then each message on the socket brings the descriptors of a fork; the answer is JSON, with the `error`
if there is none. Where there is no fork server, what it would have forked starts as a program.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

log = logging.getLogger("gymkit")

LOAD_SECONDS = 30
"""How long the fork server may take to load what it holds."""
FORK_SECONDS = 5
"""How long it may take for a fork; after that it is given up."""
PAUSE_SECONDS = 30
"""How long after that until another one is started; twice as long with each that does not come to fork."""
ENVIRONMENT = {
    "HOME": "/",
    # What is shown of a fork's environment stands where this one is, and needs room.
    "PADDING": "x" * 2000,
}
"""Variables of fork servers that their forks do not keep."""


class NoFork(Exception):
    """The fork server cannot make a fork now. The message says why."""


class ForkServer:
    """A program that forks; it may end at any time, and another one is started then.

    Its methods can be called in any thread.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], what: str) -> None:
        """What to start.

        Args:
            command: The program and its arguments.
            environment: All variables that it gets.
            what: What its forks are, for the log: "sandboxes".
        """
        self._command = list(command)
        self._environment = environment
        self._what = what
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
                    self._command,
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
                log.info("Not held in memory for %s, for they cannot be imported: %s", self._what, said["missing"])
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
        log.warning("%s start slowly for now: no fork server (%s).", self._what.capitalize(), reason)
        self._process = self._control = None
        self._start_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, 3600)
        control.close()
        if process is not None:
            process.kill()
            process.wait()

    def fork(self, descriptors: Sequence[int]) -> list[int]:
        """Make a fork that has these descriptors; the descriptors that come with the answer.

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
        if error := json.loads(data).get("error"):
            raise NoFork(f"it cannot fork: {error}")
        self._pause = PAUSE_SECONDS
        for descriptor in received:
            os.set_inheritable(descriptor, False)
        return received

    async def forked(self, descriptors: Sequence[int]) -> list[int]:
        """Start it, wait until it has loaded, and `fork` in a thread, which uses the descriptors no more afterwards."""
        while self.start():
            await asyncio.sleep(0.02)
        return await finished(asyncio.to_thread(self.fork, descriptors), close_all)


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


async def finished[Result](
    work: Coroutine[Any, Any, Result], undo: Callable[[Result], object] = lambda result: None
) -> Result:
    """The result of work in a thread; where this is cancelled, the work is waited for all the same, and then undone."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if task.exception() is None:
            undo(task.result())
        raise


@contextlib.contextmanager
def two_pipes() -> Iterator[tuple[int, int, int, int]]:
    """Two pipes, of each the end to read from and the one to write to. Where their use fails, they are closed."""
    ends: list[int] = []
    try:
        ends += os.pipe()
        ends += os.pipe()
        yield ends[0], ends[1], ends[2], ends[3]
    except BaseException:
        close_all(ends)
        raise
