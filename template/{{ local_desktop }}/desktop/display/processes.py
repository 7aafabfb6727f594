# Part of the template: changes belong there (`copier update` merges this file).
"""The programs of one display, which its keeper runs (`keeper.py`)."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gymkit.forks import ForkServer, NoFork, finished, two_pipes

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
        pid: The keeper's own process id.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes] | None) -> None:
        self.folder = folder
        self.pid = 0
        # None for a fork, which the fork server collects.
        self._process = process
        self._programs: dict[int, Program] = {}
        self._count = 0

    @classmethod
    async def start(cls, folder: Path, forks: ForkServer | None = None) -> "Keeper":
        """A keeper for the programs of one display: a fork where there is a fork server, else a program.

        Raises:
            KeeperLost: the machine has no process or descriptor left.
        """
        try:
            with two_pipes() as (orders_end, orders, events, events_end):
                self = cls(folder, await begin(folder, orders_end, events_end, forks))
        except OSError as error:
            raise KeeperLost(f"no process can be started: {error.strerror}") from None
        os.close(orders_end)
        os.close(events_end)
        await self._connect(orders, events)
        return self

    async def _connect(self, orders: int, events: int) -> None:
        """Take over the server's ends of the pipes, and wait for the keeper's first word."""
        loop = asyncio.get_running_loop()
        writing, reading = os.fdopen(orders, "wb", 0), os.fdopen(events, "rb", 0)
        self._orders, _ = await loop.connect_write_pipe(asyncio.Protocol, writing)
        try:
            self._events = asyncio.StreamReader()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._events), reading)
            if self._process is None:
                self._orders.write(json.dumps({"folder": str(self.folder)}).encode() + b"\n")
            line = await self._events.readline()
            if not line:
                raise KeeperLost("its keeper has gone")
            self.pid = json.loads(line)["keeper"]
        except BaseException:
            self._orders.close()
            raise
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            async for line in self._events:
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
        self._orders.write(json.dumps(order).encode() + b"\n")

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
        self._orders.close()
        # It holds the other end for as long as it lives.
        done, _ = await asyncio.wait({self._reader}, timeout=END_SECONDS)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            await asyncio.wait({self._reader})
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)


async def begin(folder: Path, orders: int, events: int, forks: ForkServer | None) -> "subprocess.Popen[bytes] | None":
    """Start a keeper with these for its standard input and output; None for a fork."""
    if forks is not None:
        with contextlib.suppress(NoFork):
            await forks.forked([orders, events])
            return None
    return await finished(asyncio.to_thread(program, folder, orders, events))


def program(folder: Path, orders: int, events: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(KEEPER), str(folder)],
        stdin=orders,
        stdout=events,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={},
    )
