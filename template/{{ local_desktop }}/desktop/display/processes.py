# Part of the template: changes belong there (`copier update` merges this file).
"""The programs of one display, which its keeper runs (`keeper.py`)."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

KEEPER = Path(__file__).with_name("keeper.py")
END_SECONDS = 10


class KeeperLost(Exception):
    """The keeper cannot be started, or has gone, and with it all of the display's programs."""


class Program:
    """A program that the keeper runs.

    Attributes:
        pid: Its process id; None until it has been started.
        ended: Its exit code, once there is one; negative for a signal. None where the keeper has gone.
    """

    def __init__(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.pid: int | None = None
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int | None] = loop.create_future()


class Keeper:
    """Start one with `Keeper.start()`, end it and all that it runs with `close()`.

    Attributes:
        folder: The display's folder, which goes with the keeper.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.folder = folder
        self._process = process
        self._programs: dict[int, Program] = {}
        self._count = 0
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The keeper's own process id."""
        return self._process.pid

    @classmethod
    async def start(cls, folder: Path) -> "Keeper":
        """A keeper for the programs of one display.

        Raises:
            KeeperLost: the machine has no process or descriptor left.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(KEEPER), str(folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={},
            )
        except OSError as error:
            raise KeeperLost(f"no process can be started: {error.strerror}") from None
        return cls(process, folder)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            async for line in self._process.stdout:
                event = json.loads(line)
                program = self._programs[event["id"]]
                if "pid" in event:
                    program.pid = event["pid"]
                    program.started.set_result(None)
                else:
                    program.ended.set_result(event["code"])
        for program in self._programs.values():
            if not program.ended.done():
                program.ended.set_result(None)
            if not program.started.done():
                program.started.set_result(None)

    def _say(self, order: Mapping[str, object]) -> None:
        if self._reader.done():
            raise KeeperLost("its keeper has gone")
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        limits: Mapping[str, int] | None = None,
    ) -> Program:
        """Start a program.

        Args:
            command: Its command line; looked up in the PATH of `environment`.
            environment: All of its variables.
            folder: Where it starts.
            output: The file that takes what it prints.
            limits: Resource limits, by the names of the module `resource`.

        Raises:
            KeeperLost: the keeper has gone.
        """
        self._count += 1
        program = self._programs[self._count] = Program(self._count)
        order = {"command": list(command), "environment": dict(environment), "folder": str(folder)}
        self._say({"start": self._count, **order, "output": str(output), "limits": dict(limits or {})})
        # Not awaited itself: who gives up would cancel it.
        await asyncio.wait({program.started})
        if program.pid is None:
            raise KeeperLost("its keeper has gone")
        return program

    def kill(self, program: Program) -> None:
        """End a program and its process group."""
        with contextlib.suppress(KeeperLost):
            self._say({"end": program.number})

    async def close(self) -> None:
        """End everything, and remove the folder. A second call changes nothing."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        waiting = asyncio.ensure_future(self._process.wait())
        done, _ = await asyncio.wait({waiting}, timeout=END_SECONDS)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await waiting
        await asyncio.wait({self._reader})
