# Part of the template: changes belong there (`copier update` merges this file).
"""The interpreter of a sandbox: a confined Jupyter kernel, and the messages that run cells in it."""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import re
import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from gymkit.forks import ForkServer, NoFork
from sandbox.confinement import PYTHON, ConfinementError, Limits
from sandbox.confinement.guard import remove
from sandbox.confinement.output import Output
from sandbox.confinement.place import Place
from sandbox.confinement.process import Confined
from sandbox.confinement.view import View

log = logging.getLogger("gymkit")

MESSAGE_BYTES = 4_000_000
"""A larger message from the kernel is not taken."""
MESSAGES_BYTES = 64_000_000
"""A cell is interrupted when its messages (values, figures) come to more."""
MESSAGES_WAITING = 16
INTERRUPT_SECONDS = 3
"""How long an interrupted cell may take to end; after that its interpreter is killed."""
LATE_SECONDS = 5
"""How long to wait, when a cell is done, for what it has sent on another socket: seldom longer than milliseconds."""

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass
class Execution:
    """One cell: what it printed, and what its messages say."""

    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    traceback: str | None = None
    figures: int = 0
    interrupted: bool = False
    incomplete: bool = False
    """Values or figures may be missing: they did not arrive in time."""
    dead: bool = False
    """The interpreter has ended, or had to be ended."""


class Ended(ConfinementError):
    """The process has ended before it answered."""


class Kernel:
    """One interpreter: a confined IPython kernel, and the sockets that connect the server with it.

    No message on the sockets is trusted: the code of a cell can write to them too.
    """

    _numbers = itertools.count()

    def __init__(self, place: Place, limits: Limits, forks: ForkServer | None = None) -> None:
        self._forks = forks
        self.place = place
        self.place_version = place.version
        self.limits = limits
        self.process: Confined | None = None
        self._folder = place.make_folder(f"kernel-{next(self._numbers)}")
        self._sockets: list[zmq.asyncio.Socket] = []
        self._unfinished: str | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and not self.process.ended.done()

    async def start(self, seconds: float) -> None:
        """Start the process, and wait until it answers.

        Raises:
            ConfinementError: it does not, within so many seconds.
        """
        if self._forks is not None:
            try:
                connection, view = self._prepare()
                what = {"connection": connection}
                forked = await Confined.fork(self._forks, what, view, self.limits, owner=True)
                return await self._begin(forked, seconds)
            except (NoFork, Ended) as error:
                log.warning("A sandbox starts slowly, without a fork: %s", error)
                await self.end()
        connection, view = self._prepare()
        command = view.command([PYTHON, f"{view.programs}/kernel.py", connection], self.limits)
        await self._begin(await Confined.start(command, self.place, self.limits.processes, owner=True), seconds)

    def _prepare(self) -> tuple[str, View]:
        """Sockets for a new process: the file that tells it of them, and what it sees."""
        view = View(self.place, shared=self._folder)
        key = secrets.token_hex(16)
        self._session = Session(key=key.encode())
        self._write_connection_file(f"{view.folder}/k", key)
        self._shell = self._connect(zmq.DEALER, 1)
        self._iopub = self._connect(zmq.SUB, 2)
        self._control = self._connect(zmq.DEALER, 4)
        return f"{view.folder}/connection.json", view

    async def _begin(self, process: Confined, seconds: float) -> None:
        """Wait until a new process answers."""
        self.process = process
        output = Output(process, self.limits)
        ready = asyncio.ensure_future(self._wait_until_ready())
        try:
            with output.reading():
                await _first({ready, process.ended}, seconds)
                output.drain()
        finally:
            answered = ready.done()
            ready.cancel()
        if answered:
            return ready.result()
        ended = process.ended
        why = f"it ended with {ended.result()}" if ended.done() else f"it did not answer in {seconds:g} seconds"
        kind = Ended if ended.done() else ConfinementError
        raise kind(f"the interpreter did not start: {why}. {output.stderr.text()[-500:]}".strip())

    async def end(self) -> None:
        """End the process, and close the sockets. A second call changes nothing."""
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()
        if self.process is not None:
            await self.process.close()

    def _write_connection_file(self, ip: str, key: str) -> None:
        names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
        ports = {name: number for number, name in enumerate(names, 1)}
        content = {"transport": "ipc", "ip": ip, "key": key, "signature_scheme": "hmac-sha256", **ports}
        file = self._folder / "connection.json"
        file.write_text(json.dumps(content))
        if self.place.user is not None:
            os.chown(file, self.place.user, self.place.user)

    def _connect(self, kind: int, port: int) -> zmq.asyncio.Socket:
        try:
            socket = _context().socket(kind)
            self._sockets.append(socket)
            socket.linger = 0
            socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
            socket.setsockopt(zmq.RCVHWM, MESSAGES_WAITING)
            socket.setsockopt(zmq.RECONNECT_IVL, 5)
            if kind == zmq.SUB:
                socket.subscribe(b"")
            socket.connect(f"ipc://{self._folder}/k-{port}")
        except zmq.ZMQError as error:  # no descriptor left, or a path too long for a socket
            raise ConfinementError(f"the interpreter cannot be connected to: {error}") from None
        return socket

    async def _wait_until_ready(self) -> None:
        """Until a request is answered, and what it publishes arrives too: the socket for that may connect later."""
        seconds = 0.02
        while True:
            request = await self._send(self._shell, "kernel_info_request", {})
            await self._reply(request)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._collect(request, Execution(), asyncio.Event())
                    return
            seconds = min(2 * seconds, 0.5)

    async def _send(self, socket: zmq.asyncio.Socket, kind: str, content: dict[str, Any]) -> str:
        message = self._session.msg(kind, content)
        await socket.send_multipart(self._session.serialize(message))
        return message["header"]["msg_id"]

    def _read(self, frames: list[bytes]) -> tuple[str, str, dict[str, Any]]:
        """A message: the id of the request that it belongs to, its kind, its content. Empty where it is none."""
        try:
            _, parts = self._session.feed_identities(frames)
            message = self._session.deserialize(parts)
            parent, kind = message["parent_header"]["msg_id"], message["header"]["msg_type"]
            content = message["content"]
        except Exception:  # forged, or torn
            return "", "", {}
        return parent, kind, content if isinstance(content, dict) else {}

    async def _reply(self, request: str) -> dict[str, Any]:
        while True:
            parent, _, content = self._read(await self._shell.recv_multipart())
            if parent == request:
                return content

    async def _collect(self, request: str, execution: Execution, too_much: asyncio.Event) -> None:
        """Record what a cell publishes, up to the last of its messages."""
        count = 0
        while True:
            frames = await self._iopub.recv_multipart()
            count += sum(map(len, frames))
            if count > MESSAGES_BYTES:
                too_much.set()
                return
            parent, kind, content = self._read(frames)
            if parent != request:
                continue
            data = content.get("data")
            if kind in ("execute_result", "display_data") and isinstance(data, dict):
                execution.figures += any(name.startswith("image/") for name in data)
                if kind == "execute_result":
                    execution.value = str(data.get("text/plain", ""))
            elif kind == "status" and content.get("execution_state") == "idle":
                return

    async def run(self, code: str, seconds: float) -> Execution:
        """Run a cell."""
        assert self.process is not None
        output = Output(self.process, self.limits)
        execution = Execution()
        with output.reading():
            if await self._finish_before():
                await self._run(code, seconds, execution, output)
            else:
                execution.dead = True
            if execution.dead:
                await self.process.end()
            output.drain()
        execution.stdout, execution.stderr = output.stdout.text(), output.stderr.text()
        if output.too_much.is_set():
            execution.stderr += "\n[It was stopped, for it printed or showed too much.]"
        if execution.incomplete:
            execution.stderr += "\n[Values or figures may be missing: they did not arrive in time.]"
        return execution

    async def _run(self, code: str, seconds: float, execution: Execution, output: Output) -> None:
        assert self.process is not None
        ended = self.process.ended
        # Lone surrogates, which JSON can carry, are no text that a kernel takes.
        code = code.encode(errors="replace").decode()
        # Without `stop_on_error`: with it, the kernel skips a cell that arrives while the one before it is failing.
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "allow_stdin": False,
            "stop_on_error": False,
        }
        request = self._unfinished = await self._send(self._shell, "execute_request", content)
        reply = asyncio.ensure_future(self._reply(request))
        collected = asyncio.ensure_future(self._collect(request, execution, output.too_much))
        too_much = asyncio.ensure_future(output.too_much.wait())
        try:
            await _first({reply, ended, too_much}, seconds)
            if not reply.done() and not ended.done():
                execution.interrupted = True
                await self._send(self._control, "interrupt_request", {})
                await _first({reply, ended}, INTERRUPT_SECONDS)
            if reply.done():
                self._unfinished = None
                execution.traceback = traceback_of(reply.result())
                await _first({collected, ended}, LATE_SECONDS)
            else:
                execution.dead = True
        finally:
            for task in (reply, collected, too_much):
                task.cancel()
        if not execution.dead and (output.too_much.is_set() or not collected.done()):
            execution.incomplete = not output.too_much.is_set()
            await self._subscribe_anew()

    async def _subscribe_anew(self) -> None:
        """Leave messages of a cell that still wait to be sent: the next cell's would come after all of them."""
        assert self.process is not None
        self._sockets.remove(self._iopub)
        self._iopub.close()
        self._iopub = self._connect(zmq.SUB, 2)
        ready = asyncio.ensure_future(self._wait_until_ready())
        try:
            await _first({ready, self.process.ended}, LATE_SECONDS)
        finally:
            ready.cancel()

    async def _finish_before(self) -> bool:
        """Interrupt a cell whose caller has gone, if there is one; whether no cell runs any more."""
        if self._unfinished is not None:
            await self._send(self._control, "interrupt_request", {})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERRUPT_SECONDS):
                    await self._reply(self._unfinished)
                    self._unfinished = None
        return self._unfinished is None

    async def close(self) -> None:
        """End it, and remove its folder. A second call changes nothing."""
        await self.end()
        await asyncio.to_thread(remove, str(self._folder))


async def _first(futures: "set[asyncio.Future[Any]]", seconds: float) -> None:
    """Wait for the first of some futures, for so long at most."""
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


@cache
def _context() -> zmq.asyncio.Context:
    """All sockets' own; made with the first."""
    context = zmq.asyncio.Context()
    context.set(zmq.MAX_SOCKETS, 16_384)
    return context


def traceback_of(reply: dict[str, Any]) -> str | None:
    """The traceback in a kernel's reply, as plain text; None if the cell went well."""
    if reply.get("status") != "error":
        return None
    lines = reply.get("traceback")
    text = "\n".join(map(str, lines)) if isinstance(lines, list) else ""
    return ANSI.sub("", text or f"{reply.get('ename')}: {reply.get('evalue')}")
