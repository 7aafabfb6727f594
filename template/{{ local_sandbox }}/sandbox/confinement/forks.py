# Part of the template: changes belong there (`copier update` merges this file).
"""The guards that a fork server forks. Where there is none, sandboxes start as programs."""

import asyncio
import contextlib
import os
import signal
import sys
from functools import cache

from gymkit.forks import ENVIRONMENT, ForkServer, NoFork, two_pipes
from sandbox.confinement import PROGRAMS, PYTHON
from sandbox.confinement.view import fixed_environment

NOT_MADE = -1
"""The exit code of a guard that could not make its fork."""
OF_FORK_SERVERS = ENVIRONMENT | {
    # pandas loads pyarrow, whose allocator would start a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Variables that their forks do not keep."""


def server_of(packages: tuple[str, ...], **variables: str) -> ForkServer:
    """A fork server of sandboxes that holds some packages."""
    command = [PYTHON, str(PROGRAMS / "fork_server.py"), *packages]
    return ForkServer(command, fixed_environment() | OF_FORK_SERVERS | variables, "sandboxes")


@cache
def fork_server(packages: tuple[str, ...]) -> ForkServer | None:
    """The fork server of this process for some packages; None where a process cannot enter namespaces."""
    if not sys.platform.startswith("linux") or not hasattr(os, "setns") or not hasattr(os, "pidfd_open"):
        return None
    return server_of(packages)


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
        with two_pipes() as (control_end, control, status, status_end):
            received = await server.forked([control_end, stdout, stderr, status_end])
            if not received:
                raise NoFork("this process has no descriptor left")
        os.close(control_end)
        os.close(status_end)
        os.set_blocking(control, False)
        os.set_blocking(status, False)
        return cls(control, status, received[0])

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
