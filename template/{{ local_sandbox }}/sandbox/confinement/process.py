# Part of the template: changes belong there (`copier update` merges this file).
"""A confined process: started, and ended with all that descends from it."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from sandbox.confinement import PROGRAMS, PYTHON, ConfinementError
from sandbox.confinement.place import Place

END_SECONDS = 15
"""How long the guard may take to end a process, before it is killed itself."""


class Confined:
    """A confined process with all that descends from it. Start it with `Confined.start()`.

    Attributes:
        stdout: Descriptor of the pipe that its standard output comes from; not blocking.
        stderr: The same of its standard error.
        ended: A task that is done when none of it runs any more; its result is the exit code.
    """

    def __init__(self, place: Place, process: asyncio.subprocess.Process, stdout: int, stderr: int) -> None:
        self.place = place
        self.stdout = stdout
        self.stderr = stderr
        self._process = process
        self.ended = asyncio.create_task(process.wait())

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
        descriptors: list[int] = []
        try:
            for _ in range(2):
                descriptors += os.pipe()
            stdout, stdout_end, stderr, stderr_end = descriptors
            process = await asyncio.create_subprocess_exec(
                *(PYTHON, "-I", "-S", str(PROGRAMS / "guard.py")),
                stdin=asyncio.subprocess.PIPE,
                stdout=stdout_end,
                stderr=stderr_end,
                start_new_session=True,
                cwd="/",
                env={},
            )
        except BaseException as error:
            for descriptor in descriptors:
                os.close(descriptor)
            if isinstance(error, OSError):
                raise ConfinementError(f"no process can be started: {error.strerror}") from None
            raise
        os.close(stdout_end)
        os.close(stderr_end)
        os.set_blocking(stdout, False)
        os.set_blocking(stderr, False)
        order = {
            "command": list(command),
            "folder": str(place.root) if owner else None,
            "max_processes": max_processes + 2,  # bubblewrap's own two
        }
        confined = cls(place, process, stdout, stderr)
        confined._say(json.dumps(order).encode() + b"\n")
        return confined

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.write(line)

    async def end(self) -> None:
        """End all of it. What it has printed can still be read."""
        self._say(b"end\n")
        await asyncio.wait({self.ended}, timeout=END_SECONDS)
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
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
            assert self._process.stdin is not None
            self._process.stdin.close()
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
