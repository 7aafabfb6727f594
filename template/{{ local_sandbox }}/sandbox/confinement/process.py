# Part of the template: changes belong there (`copier update` merges this file).
"""A confined process: started, and ended with all that descends from it."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from gymkit.forks import ForkServer, NoFork, two_pipes
from sandbox.confinement import PROGRAMS, PYTHON, ConfinementError, Limits
from sandbox.confinement.forks import Forked
from sandbox.confinement.place import Place
from sandbox.confinement.view import View

END_SECONDS = 15
"""How long the guard may take to end a process, before it is killed itself."""


class Guard(Protocol):
    """The guard of a confined process: a program, or a fork."""

    def say(self, line: bytes) -> bool:
        """Send it a line; whether it is taken."""
        ...

    async def wait(self) -> int:
        """Wait until it has ended; its exit code, or -SIGKILL if it was killed."""
        ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


class Program:
    """A guard that is a program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, stdout: int, stderr: int) -> "Program":
        return cls(
            await asyncio.create_subprocess_exec(
                *(PYTHON, "-I", "-S", str(PROGRAMS / "guard.py")),
                stdin=asyncio.subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                cwd="/",
                env={},
            )
        )

    def say(self, line: bytes) -> bool:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.write(line)
        return True

    async def wait(self) -> int:
        return await self._process.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


class Confined:
    """A confined process with all that descends from it. Start it with `Confined.start()` or `Confined.fork()`.

    Attributes:
        stdout: Descriptor of the pipe that its standard output comes from; not blocking.
        stderr: The same of its standard error.
        ended: A task that is done when none of it runs any more; its result is the exit code.
    """

    def __init__(self, place: Place, guard: Guard, stdout: int, stderr: int) -> None:
        self.place = place
        self.stdout = stdout
        self.stderr = stderr
        self._guard = guard
        self.ended = asyncio.create_task(guard.wait())

    @classmethod
    async def start(cls, command: Sequence[str], place: Place, max_processes: int, owner: bool = False) -> "Confined":
        """Run a command line of `View.command()`.

        Args:
            command: The command line.
            place: Where it belongs.
            max_processes: It is ended when it has more.
            owner: Whether its guard removes the place if the server is killed.

        Raises:
            ConfinementError: the machine has no process or descriptor left.
        """
        try:
            confined = await cls._guarded(place, Program.start)
        except OSError as error:
            raise ConfinementError(f"no process can be started: {error.strerror}") from None
        confined._order({"command": list(command)}, max_processes, owner)
        return confined

    @classmethod
    async def fork(
        cls, server: ForkServer, what: dict[str, Any], view: View, limits: Limits, owner: bool = False
    ) -> "Confined":
        """A fork of the fork server's.

        Args:
            server: The fork server.
            what: A `command` to become (`ended` is NOT_MADE where it was not tried), or the `connection` of a kernel.
            view: What it sees.
            limits: What it may use.
            owner: As for `start`.

        Raises:
            NoFork: it cannot be had.
        """
        try:
            confined = await cls._guarded(view.place, lambda *descriptors: Forked.start(server, *descriptors))
        except OSError as error:
            raise NoFork(str(error.strerror)) from None
        order = {"room": view.room(limits), "process": view.order(limits)} | what
        # In the room there is one more.
        if not confined._order(order, limits.processes + (order["room"] is not None), owner):
            await confined.close()
            raise NoFork("its order is too long")
        return confined

    @classmethod
    async def _guarded(cls, place: Place, start: Callable[[int, int], Awaitable[Guard]]) -> "Confined":
        with two_pipes() as (stdout, stdout_end, stderr, stderr_end):
            guard = await start(stdout_end, stderr_end)
        os.close(stdout_end)
        os.close(stderr_end)
        os.set_blocking(stdout, False)
        os.set_blocking(stderr, False)
        return cls(place, guard, stdout, stderr)

    def _order(self, order: dict[str, Any], max_processes: int, owner: bool) -> bool:
        order["folder"] = str(self.place.root) if owner else None
        order["max_processes"] = max_processes + 2  # bubblewrap's own two
        return self._guard.say(json.dumps(order).encode() + b"\n")

    async def end(self) -> None:
        """End all of it. What it has printed can still be read."""
        self._guard.say(b"end\n")
        await asyncio.wait({self.ended}, timeout=END_SECONDS)
        if not self.ended.done():
            self._guard.kill()
            await self.ended
        if self.ended.result() == -signal.SIGKILL:
            # The guard was killed: at the level `limits`, the process can do that.
            sweep(self.place)

    async def close(self) -> None:
        """End all of it, and close its descriptors. A second call changes nothing."""
        if self.stdout < 0:
            return
        stdout, stderr, self.stdout, self.stderr = self.stdout, self.stderr, -1, -1
        try:
            await self.end()
        finally:
            self._guard.close()
            os.close(stdout)
            os.close(stderr)


def sweep(place: Place) -> None:
    """Kill the processes that were started with this place as their home, after their guard was killed."""
    mark = b"HOME=" + os.fsencode(place.work)
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            with contextlib.suppress(OSError):
                if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
