# Part of the template: changes belong there (`copier update` merges this file).
"""A stand-in of E2B's service on loopback: E2B's own clients talk to it, and code, commands and files are real.

    python tests/standins/e2b.py PORT

prints the variables that point a client here. In a test: `with serve() as service`, and `service.environment()`.

What it has of E2B: the control API (create, list, timeout, connect, kill) and, of a sandbox's own services, the code
interpreter (a Jupyter kernel for each context) and envd (processes, files). What it does not have is isolation: a
sandbox is a folder, which stands for /home/user, and the processes in it. Other paths are this machine's.

A desktop, too, is a real one: Xvfb, openbox in XFCE's place, xdotool, scrot. Its display is :0 only to E2B's client.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

API_KEY = "e2b_" + "0123456789abcdef" * 2 + "01234567"
HOME = "/home/user"
ENVD_PORT, JUPYTER_PORT = 49983, 49999
ENVD_VERSION = "0.5.7"
DEFAULT_SECONDS = 15
"""How long a sandbox lives whose creator does not say."""
KEEPALIVE_SECONDS = 5
POLL_SECONDS = 0.05

ID_VARIABLE = "E2B_SANDBOX_ID"
"""In the environment of whatever runs in a sandbox, and how it is found again."""
SERVICE_VARIABLE = "E2B_STANDIN"
"""The same for all sandboxes of one service."""

Json = dict[str, Any]


# ------------------------------------------------------------------------------------------------- ending processes


def marked(variable: str, value: str) -> set[int]:
    """The processes that have a variable in their environment, and their descendants."""
    mark = f"{variable}={value}".encode()
    parents, found = {}, set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # What has just ended cannot be read any more; what is another user's need not be.
        with contextlib.suppress(OSError, IndexError):
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if fields[0] == "Z":
                continue
            parents[int(entry.name)] = int(fields[1])
            if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    while children := {child for child, parent in parents.items() if parent in found} - found:
        found |= children
    return found


def end_marked(variable: str, value: str, seconds: float = 5) -> None:
    """End those processes, and what they start meanwhile."""
    deadline = time.monotonic() + seconds
    while (running := marked(variable, value)) and time.monotonic() < deadline:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def keep(token: str, folder: str) -> None:
    """Wait for the end of the service, which holds the other end of standard input; then end what it has left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    end_marked(SERVICE_VARIABLE, token)
    for display in Path(folder).glob("*/display"):
        unlock_display(display.read_text())
    shutil.rmtree(folder, ignore_errors=True)


# -------------------------------------------------------------------------------------------------------- desktops

OPENBOX = """\
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <focus><focusNew>yes</focusNew><followMouse>yes</followMouse><focusDelay>0</focusDelay></focus>
  <applications><application type="normal"><maximized>yes</maximized></application></applications>
</openbox_config>
"""

# E2B's client starts the display :0 and XFCE, and looks for the programs of its session.
DESKTOP_PROGRAMS = {
    "Xvfb": 'exec "{Xvfb}" "{display}" "${{@:2}}"',
    "xdpyinfo": 'exec "{xdpyinfo}" -display "{display}"',
    "startxfce4": "exec xfce4-session",
    "xfce4-session": "xfwm4 & xfdesktop & wait",
    "xfwm4": "openbox --sm-disable --config-file {root}/openbox.xml",
    "xfdesktop": "while sleep 3600; do :; done",
    "python3": 'exec "{python}" "$@"',
}


def free_display() -> str:
    """A display that no X server has."""
    while True:
        number = 1000 + secrets.randbelow(50_000)
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(f"\0/tmp/.X11-unix/X{number}") and not os.path.exists(f"/tmp/.X{number}-lock"):
                return f":{number}"


def unlock_display(display: str) -> None:
    """Remove what an X server leaves that was killed."""
    Path(f"/tmp/.X{display[1:]}-lock").unlink(missing_ok=True)


def prepare_desktop(root: Path, home: Path) -> str:
    """Put the programs of a desktop into a sandbox; its display."""
    display = free_display()
    (root / "display").write_text(display)
    (root / "openbox.xml").write_text(OPENBOX)
    programs = root / "bin"
    programs.mkdir()
    real = {name: shutil.which(name) or name for name in ("Xvfb", "xdpyinfo")}
    for name, script in DESKTOP_PROGRAMS.items():
        text = script.format(display=display, root=root, python=sys.executable, **real)
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    # Commands run in a login shell, which sets PATH anew.
    (home / ".bash_profile").write_text(f'PATH="{programs}:$PATH"\n')
    return display


# ------------------------------------------------------------------------------------------------------- processes


class Process:
    """A command that envd runs: what it prints goes to whoever is connected, and nowhere when nobody is."""

    def __init__(self, config: Json, child: asyncio.subprocess.Process) -> None:
        self.config = config
        self.child = child
        self.ended = False
        self._listeners: set[asyncio.Queue[Json]] = set()
        self._task = asyncio.create_task(self._follow())

    @property
    def pid(self) -> int:
        return self.child.pid

    async def _follow(self) -> None:
        await asyncio.gather(self._read("stdout"), self._read("stderr"))
        code = await self.child.wait()
        status = f"exit status {code}" if code >= 0 else f"signal: {signal.Signals(-code).name}"
        end = {"exitCode": code if code >= 0 else -1, "exited": code >= 0, "status": status}
        if code:
            end["error"] = status
        self.ended = True
        await self._tell({"end": end})

    async def _read(self, name: str) -> None:
        stream = getattr(self.child, name)
        while data := await stream.read(32_768):
            await self._tell({"data": {name: base64.b64encode(data).decode()}})

    async def _tell(self, event: Json) -> None:
        for queue in list(self._listeners):
            await queue.put(event)

    async def events(self) -> AsyncIterator[Json]:
        """What happens from now on, the end included."""
        queue: asyncio.Queue[Json] = asyncio.Queue(64)
        self._listeners.add(queue)
        try:
            yield {"start": {"pid": self.pid}}
            while True:
                event = await queue.get()
                yield event
                if "end" in event:
                    return
        finally:
            self._listeners.discard(queue)
            while not queue.empty():  # lets a `put` go on that waits for room
                queue.get_nowait()

    def kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(number)


# ------------------------------------------------------------------------------------------------ the interpreter


class Context:
    """A Jupyter kernel, and the cells it runs, one after the other."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.id = secrets.token_hex(8)
        self._folder = folder
        self._environment = environment
        self._lock = asyncio.Lock()
        self._manager: Any = None
        self._client: Any = None

    async def start(self) -> None:
        from jupyter_client.manager import AsyncKernelManager

        self._manager = AsyncKernelManager(kernel_name="python3")
        self._manager.connection_file = str(self._folder.parent / f"kernel-{self.id}.json")
        await self._manager.start_kernel(
            cwd=str(self._folder),
            env=self._environment,
            extra_arguments=["--InteractiveShell.colors=NoColor", "--PlainTextFormatter.max_seq_length=0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._client = self._manager.client()
        self._client.start_channels()
        await self._client.wait_for_ready(timeout=60)

    async def end(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
        if self._manager is not None and self._manager.has_kernel:
            await self._manager.shutdown_kernel(now=True)

    async def restart(self) -> None:
        await self.end()
        await self.start()

    async def execute(self, code: str) -> AsyncIterator[Json]:
        """Run a cell. Whoever stops listening interrupts it."""
        async with self._lock:
            if not await self._manager.is_alive():
                await self.restart()
            request = self._client.execute(code, allow_stdin=False)
            try:
                async for item in self._outputs(request):
                    yield item
            except (asyncio.CancelledError, GeneratorExit):
                await self._manager.interrupt_kernel()
                raise

    async def _outputs(self, request: str) -> AsyncIterator[Json]:
        accepted, errors, quiet_since = False, 0, time.monotonic()
        while True:
            message = await self._message()
            if message is None:
                if not await self._manager.is_alive():
                    yield failure("ContextRestarting", "Context was restarted")
                    await self.restart()
                    return
                if time.monotonic() - quiet_since > KEEPALIVE_SECONDS:
                    yield {"type": "keepalive"}
                    quiet_since = time.monotonic()
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "execute_input":
                    accepted = True
                    yield {"type": "number_of_executions", "execution_count": content["execution_count"]}
                case "stream":
                    timestamp = message["header"]["date"].isoformat()
                    yield {"type": content["name"], "text": content["text"], "timestamp": timestamp}
                case "display_data" | "execute_result" as kind:
                    yield result(content["data"], main=kind == "execute_result")
                case "error" if not errors:
                    errors += 1
                    yield failure(content["ename"], content["evalue"], "".join(content["traceback"]))
                # As at E2B, a cell that is refused, because one before it is just being interrupted, has no end.
                case "status" if content["execution_state"] == "idle" and accepted:
                    return

    async def _message(self) -> Json | None:
        with contextlib.suppress(Exception):  # queue.Empty; zmq's errors when the kernel has gone
            return await self._client.get_iopub_msg(timeout=POLL_SECONDS)
        return None


FORMATS = {
    "html": "text/html",
    "markdown": "text/markdown",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "pdf": "application/pdf",
    "latex": "text/latex",
    "json": "application/json",
    "javascript": "application/javascript",
}


def failure(name: str, value: str, traceback: str = "") -> Json:
    return {"type": "error", "name": name, "value": value, "traceback": traceback}


def result(data: Json, main: bool) -> Json:
    """A value or picture, as E2B describes it: one pair of quotes is taken off a text."""
    text = data.pop("text/plain", None)
    if text and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    item = {"type": "result", "is_main_result": main, "text": text}
    item |= {name: data.pop(kind) for name, kind in FORMATS.items() if kind in data}
    return {key: value for key, value in (item | {"extra": data}).items() if value is not None}


# --------------------------------------------------------------------------------------------------- the sandboxes


class Sandbox:
    """One sandbox: a folder, its processes, its kernels, and the time at which it ends."""

    def __init__(self, service: "Service", body: Json) -> None:
        self.id = "i" + secrets.token_hex(10)
        self.token = secrets.token_hex(16)
        self.template = body.get("templateID", "base")
        self.metadata = body.get("metadata") or {}
        self.started = datetime.now(UTC)
        self.root = service.folder / self.id
        self.home = self.root / "home"
        (self.root / "tmp").mkdir(parents=True)
        self.home.mkdir()
        self.alive = True
        self.processes: dict[int, Process] = {}
        self.contexts: dict[str, Context] = {}
        self.streams: set[asyncio.Task[None]] = set()
        self._first_context = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._service = service
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.home),
            "TMPDIR": str(self.root / "tmp"),
            "LANG": "C.UTF-8",
            "USER": "user",
            "E2B_SANDBOX": "true",
            ID_VARIABLE: self.id,
            SERVICE_VARIABLE: service.token,
            **(body.get("envVars") or {}),
        }
        self.display: str | None = None
        if "DISPLAY" in self.environment:
            self.display = self.environment["DISPLAY"] = prepare_desktop(self.root, self.home)
        self.set_timeout(body.get("timeout", DEFAULT_SECONDS))

    def set_timeout(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.ends = datetime.now(UTC) + timedelta(seconds=seconds)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, lambda: self._service.tasks.append(loop.create_task(self.end())))

    async def end(self) -> None:
        if not self.alive:
            return
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
        for stream in list(self.streams):
            stream.cancel()
        await asyncio.to_thread(end_marked, ID_VARIABLE, self.id)
        if self.display is not None:
            unlock_display(self.display)
        for context in self.contexts.values():
            with contextlib.suppress(Exception):
                await context.end()
        await asyncio.to_thread(shutil.rmtree, self.root, True)

    def path(self, text: str) -> Path:
        """A path in the sandbox, as a path of this machine."""
        path = Path(os.path.normpath(Path(HOME, text.replace("~", HOME, 1) if text.startswith("~") else text)))
        return self.home / path.relative_to(HOME) if path.is_relative_to(HOME) else path

    async def run(self, config: Json, stdin: bool) -> Process:
        child = await asyncio.create_subprocess_exec(
            config["cmd"],
            *config.get("args", []),
            cwd=self.path(config.get("cwd") or HOME),
            env=self.environment | config.get("envs", {}),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        process = self.processes[child.pid] = Process(config, child)
        return process

    async def context(self, number: str | None = None) -> Context | None:
        """A context by its id, or the one that is there from the beginning."""
        if number is not None:
            return self.contexts.get(number)
        async with self._first_context:
            if not self.contexts:
                await self.new_context(HOME)
        return next(iter(self.contexts.values()))

    async def new_context(self, folder: str) -> Context:
        context = Context(self.path(folder), self.environment)
        await context.start()
        self.contexts[context.id] = context
        return context

    def summary(self) -> Json:
        return {
            "sandboxID": self.id,
            "templateID": self.template,
            "clientID": "standin",
            "envdVersion": ENVD_VERSION,
            "envdAccessToken": self.token,
            "metadata": self.metadata,
            "startedAt": self.started.isoformat(),
            "endAt": self.ends.isoformat(),
            "state": "running",
            "cpuCount": 2,
            "memoryMB": 512,
            "diskSizeMB": 1024,
        }


# ------------------------------------------------------------------------------------------------------- protocols


class Refused(Exception):
    """An answer that is an error: of the control API, of a sandbox's proxy or of a file."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def response(self) -> Response:
        return JSONResponse({"code": self.status, "message": str(self)}, self.status)


class RpcError(Exception):
    """An error in the words of the Connect protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def fields(self) -> Json:
        return {"code": self.code, "message": str(self)}


RPC_STATUS = {"not_found": 404, "invalid_argument": 400, "already_exists": 409, "unimplemented": 501}


class Stream:
    """An answer that goes on: whoever leaves stops it, and a sandbox that ends breaks it off."""

    def __init__(self, sandbox: Sandbox, items: AsyncIterator[bytes], media_type: str) -> None:
        self._sandbox = sandbox
        self._items = items
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", self._media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(send))
        self._sandbox.streams.add(sending)
        leaving = asyncio.create_task(self._left(receive))
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        self._sandbox.streams.discard(sending)
        for task in (sending, leaving):
            task.cancel()
        await asyncio.wait({sending, leaving})
        if not sending.cancelled():
            sending.result()
        # Else the answer lacks its end, and the server closes the connection.

    async def _send(self, send: Send) -> None:
        try:
            async for item in self._items:
                await send({"type": "http.response.body", "body": item, "more_body": True})
        finally:
            await self._items.aclose()  # type: ignore[attr-defined]
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


def envelope(message: Json, last: bool = False) -> bytes:
    """A message of a Connect stream: flags, length, JSON."""
    data = json.dumps(message).encode()
    return struct.pack(">BI", 2 if last else 0, len(data)) + data


async def connect_stream(events: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    """Process events as a Connect stream."""
    try:
        async for event in events:
            yield envelope({"event": event})
        yield envelope({}, last=True)
    except RpcError as error:
        yield envelope({"error": error.fields}, last=True)


async def json_lines(items: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    """The outputs of a cell, a line each."""
    async with contextlib.aclosing(items):  # type: ignore[type-var]
        async for item in items:
            yield json.dumps(item).encode() + b"\n"
    yield b'{"type": "end_of_execution"}\n'


async def first(item: Json) -> AsyncIterator[Json]:
    yield item


# ----------------------------------------------------------------------------------------------------- the service


class Service:
    """E2B's service. `url` serves the control API and, told apart by their headers, all sandboxes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.api_key = API_KEY
        self.refusal: tuple[int, str] | None = None
        """What the creation of a sandbox is answered with, if not with a sandbox: `(429, "...")`."""
        self.created = 0
        self.sandboxes: dict[str, Sandbox] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.token = secrets.token_hex(8)
        # Not below /tmp: that is every sandbox's, and there they would see each other's files.
        self.folder = Path(tempfile.mkdtemp(prefix="standin-e2b-", dir=cache_folder()))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", __file__, "--keep", self.token, str(self.folder)], stdin=subprocess.PIPE
        )

    def environment(self) -> dict[str, str]:
        """The variables that point E2B's clients here."""
        return {"E2B_API_KEY": self.api_key, "E2B_API_URL": self.url, "E2B_SANDBOX_URL": self.url}

    def running(self) -> list[str]:
        """The sandboxes that there are."""
        return [each.id for each in list(self.sandboxes.values()) if each.alive]

    def kill(self, number: str) -> None:
        """End a sandbox from outside, whatever it is doing. For other threads."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self.sandboxes[number].end(), self._loop).result(30)

    def close(self) -> None:
        """End everything. May be called again."""
        if self._keeper.stdin is not None and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
            self._keeper.wait(30)

    # --------------------------------------------------------------------------------------------- the application

    def app(self) -> Starlette:
        routes = [
            ("/sandboxes", "POST", self._create),
            ("/v2/sandboxes", "POST", self._create),
            ("/v2/sandboxes", "GET", self._list),
            ("/sandboxes/{id}", "GET", self._show),
            ("/sandboxes/{id}", "DELETE", self._kill),
            ("/sandboxes/{id}/timeout", "POST", self._timeout),
            ("/sandboxes/{id}/connect", "POST", self._connect),
            ("/v2/sandboxes/{id}/connect", "POST", self._connect),
        ]
        inner = {
            ("GET", "/health"): self._health,
            ("GET", "/files"): self._download,
            ("POST", "/files"): self._upload,
            ("POST", "/process.Process/Start"): self._start,
            ("POST", "/process.Process/Connect"): self._attach,
            ("POST", "/execute"): self._execute,
            ("GET", "/contexts"): self._contexts,
            ("POST", "/contexts"): self._new_context,
        }

        async def in_sandbox(request: Request) -> Response:
            sandbox = self._in_front_of(request)
            path = request.url.path
            handler = inner.get((request.method, path))
            if handler is not None:
                return await handler(request, sandbox)
            if match := re.fullmatch(r"/contexts/(\w+)(/restart)?", path):
                return await self._change_context(request.method, sandbox, match[1], bool(match[2]))
            service, _, method = path[1:].partition("/")
            return await self._unary(sandbox, service, method, await request.json())

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            yield
            await asyncio.gather(*(each.end() for each in self.sandboxes.values()))
            self.close()

        application = Starlette(
            routes=[
                *(Route(path, guarded(self._control(handler)), methods=[method]) for path, method, handler in routes),
                Route("/{path:path}", guarded(in_sandbox), methods=["GET", "POST", "DELETE"]),
            ],
            lifespan=lifespan,
        )
        return application

    # ------------------------------------------------------------------------------------------------- control API

    def _control(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def controlled(request: Request) -> Response:
            if request.headers.get("x-api-key") != self.api_key:
                # The key is repeated on purpose: a client must not pass such a message on.
                raise Refused(401, f"Invalid API key: {request.headers.get('x-api-key')}")
            return await handler(request)

        return controlled

    def _sandbox(self, number: str, status: int = 404) -> Sandbox:
        sandbox = self.sandboxes.get(number)
        if sandbox is None or not sandbox.alive:
            raise Refused(status, "The sandbox was not found" if status == 502 else f"sandbox {number} not found")
        return sandbox

    async def _create(self, request: Request) -> Response:
        if self.refusal is not None:
            raise Refused(*self.refusal)
        sandbox = Sandbox(self, await request.json())
        self.sandboxes[sandbox.id] = sandbox
        self.created += 1
        return JSONResponse(sandbox.summary(), 201)

    async def _list(self, request: Request) -> Response:
        return JSONResponse([each.summary() for each in self.sandboxes.values() if each.alive])

    async def _show(self, request: Request) -> Response:
        return JSONResponse(self._sandbox(request.path_params["id"]).summary())

    async def _kill(self, request: Request) -> Response:
        await self._sandbox(request.path_params["id"]).end()
        return Response(status_code=204)

    async def _timeout(self, request: Request) -> Response:
        self._sandbox(request.path_params["id"]).set_timeout((await request.json())["timeout"])
        return Response(status_code=204)

    async def _connect(self, request: Request) -> Response:
        sandbox = self._sandbox(request.path_params["id"])
        seconds = (await request.json()).get("timeout", 0)
        if datetime.now(UTC) + timedelta(seconds=seconds) > sandbox.ends:
            sandbox.set_timeout(seconds)
        return JSONResponse(sandbox.summary())

    def _in_front_of(self, request: Request) -> Sandbox:
        """The sandbox that a request is for, as the proxy in front of all of them finds it."""
        sandbox = self._sandbox(request.headers.get("e2b-sandbox-id", ""), 502)
        is_envd = request.headers.get("e2b-sandbox-port") == str(ENVD_PORT)
        if is_envd and request.url.path != "/health" and request.headers.get("x-access-token") != sandbox.token:
            raise Refused(401, "unauthorized access, please provide a valid access token")
        return sandbox

    # --------------------------------------------------------------------------------------------- the interpreter

    async def _execute(self, request: Request, sandbox: Sandbox) -> Any:
        body = await request.json()
        context = await sandbox.context(body.get("context_id"))
        if context is None:
            return Response(f"Context {body['context_id']} not found", 404)
        return Stream(sandbox, json_lines(context.execute(body["code"])), "application/json")

    async def _contexts(self, request: Request, sandbox: Sandbox) -> Response:
        await sandbox.context()
        return JSONResponse([{"id": each, "language": "python", "cwd": HOME} for each in sandbox.contexts])

    async def _new_context(self, request: Request, sandbox: Sandbox) -> Response:
        folder = (await request.json()).get("cwd") or HOME
        context = await sandbox.new_context(folder)
        return JSONResponse({"id": context.id, "language": "python", "cwd": folder})

    async def _change_context(self, method: str, sandbox: Sandbox, number: str, restart: bool) -> Response:
        context = sandbox.contexts.get(number)
        if context is None:
            return Response(f"Context {number} not found", 404)
        if restart and method == "POST":
            await context.restart()
        elif method == "DELETE":
            del sandbox.contexts[number]
            await context.end()
        return JSONResponse(None)

    # ---------------------------------------------------------------------------------------------- envd: processes

    async def _start(self, request: Request, sandbox: Sandbox) -> Any:
        body = json.loads((await request.body())[5:])
        try:
            process = await sandbox.run(body["process"], bool(body.get("stdin")))
        except OSError as error:
            events = failed(RpcError("invalid_argument", f"error starting process: {error}"))
        else:
            events = with_deadline(process, request.headers.get("connect-timeout-ms"))
        return Stream(sandbox, connect_stream(events), "application/connect+json")

    async def _attach(self, request: Request, sandbox: Sandbox) -> Any:
        body = json.loads((await request.body())[5:])
        try:
            events = selected(sandbox, body).events()
        except RpcError as error:
            events = failed(error)
        return Stream(sandbox, connect_stream(events), "application/connect+json")

    async def _health(self, request: Request, sandbox: Sandbox) -> Response:
        return Response(status_code=204)

    async def _unary(self, sandbox: Sandbox, service: str, method: str, body: Json) -> Response:
        try:
            match service, method:
                case "process.Process", "List":
                    running = [each for each in sandbox.processes.values() if not each.ended]
                    return JSONResponse({"processes": [{"pid": each.pid, "config": each.config} for each in running]})
                case "process.Process", "SendSignal":
                    selected(sandbox, body).kill(signal.SIGKILL if body["signal"].endswith("KILL") else signal.SIGTERM)
                case "process.Process", "SendInput":
                    stdin = selected(sandbox, body).child.stdin
                    if stdin is None:
                        raise RpcError("invalid_argument", "stdin is not open")
                    stdin.write(base64.b64decode(body["input"]["stdin"]))
                    await stdin.drain()
                case "process.Process", "CloseStdin":
                    stdin = selected(sandbox, body).child.stdin
                    if stdin is not None:
                        stdin.close()
                case "filesystem.Filesystem", _:
                    return JSONResponse(await asyncio.to_thread(file_operation, sandbox, method, body))
                case _:
                    raise RpcError("unimplemented", f"{service}/{method} is not there")
        except RpcError as error:
            return JSONResponse(error.fields, RPC_STATUS.get(error.code, 500))
        return JSONResponse({})

    # -------------------------------------------------------------------------------------------------- envd: files

    async def _download(self, request: Request, sandbox: Sandbox) -> Response:
        text = request.query_params["path"]
        path = sandbox.path(text)
        if path.is_dir():
            raise Refused(400, f"path '{text}' is a directory")
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            raise Refused(404, f"path '{text}' does not exist") from None
        except OSError as error:
            raise Refused(500, f"error opening file: {error.strerror}") from None
        return Response(data, media_type="application/octet-stream")

    async def _upload(self, request: Request, sandbox: Sandbox) -> Response:
        body = await request.body()
        kind = request.headers["content-type"]
        if kind.startswith("multipart/"):
            message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
            parts = [part for part in message.walk() if not part.is_multipart()]
            files = [(part_name(part), part_data(part)) for part in parts]
        else:
            files = [("", body)]
        if path := request.query_params.get("path"):
            files = [(path, files[0][1])]
        return JSONResponse([await asyncio.to_thread(write, sandbox, *each) for each in files])


def guarded(handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
    async def answer(request: Request) -> Any:
        try:
            return await handler(request)
        except Refused as refused:
            return refused.response()

    return answer


def selected(sandbox: Sandbox, body: Json) -> Process:
    number = body["process"].get("pid")
    process = sandbox.processes.get(number)
    if process is None or process.ended:
        raise RpcError("not_found", f"process with pid {number} not found")
    return process


async def failed(error: RpcError) -> AsyncIterator[Json]:
    raise error
    yield {}  # makes it a generator


async def with_deadline(process: Process, milliseconds: str | None) -> AsyncIterator[Json]:
    """What a process says, until its time is up: then it is ended."""
    async with contextlib.aclosing(process.events()) as events:  # type: ignore[type-var]
        try:
            async with asyncio.timeout(int(milliseconds) / 1000 if milliseconds else None):
                async for event in events:
                    yield event
        except TimeoutError:
            process.kill(signal.SIGKILL)
            raise RpcError("deadline_exceeded", "context deadline exceeded") from None


def part_name(part: Message) -> str:
    """The file name of a part, whole: the standard library's own reading takes folders off."""
    name = part.get_param("filename", header="content-disposition")
    return name[2] if isinstance(name, tuple) else str(name or "")


def part_data(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data


def write(sandbox: Sandbox, text: str, data: bytes) -> Json:
    path = sandbox.path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except IsADirectoryError:
        raise Refused(400, f"path is a directory: {text}") from None
    except OSError as error:
        raise Refused(500, f"error opening file: {error.strerror}") from None
    return {"name": path.name, "type": "file", "path": text}


def file_operation(sandbox: Sandbox, method: str, body: Json) -> Json:
    path = sandbox.path(body.get("path") or body.get("source") or HOME)
    if method != "MakeDir" and not os.path.lexists(path):
        if method == "Remove":
            return {}
        raise RpcError("not_found", f"file not found: {path.name}")
    match method:
        case "Stat":
            return {"entry": entry(sandbox, path)}
        case "ListDir":
            if not path.is_dir():
                raise RpcError("invalid_argument", f"path is not a directory: {path.name}")
            return {"entries": [entry(sandbox, each) for each in sorted(path.iterdir())]}
        case "MakeDir":
            if path.exists():
                raise RpcError("already_exists", f"path already exists: {path.name}")
            path.mkdir(parents=True)
            return {"entry": entry(sandbox, path)}
        case "Move":
            return {"entry": entry(sandbox, path.rename(sandbox.path(body["destination"])))}
        case "Remove":
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            return {}
    raise RpcError("unimplemented", f"{method} is not there")


def entry(sandbox: Sandbox, path: Path) -> Json:
    status = path.lstat()
    inside = path.is_relative_to(sandbox.home)
    return {
        "name": path.name,
        "type": "FILE_TYPE_DIRECTORY" if path.is_dir() else "FILE_TYPE_FILE",
        "path": str(Path(HOME, path.relative_to(sandbox.home)) if inside else path),
        "size": str(status.st_size),
        "mode": stat.S_IMODE(status.st_mode),
        "permissions": stat.filemode(status.st_mode),
        "owner": "user",
        "group": "user",
        "modifiedTime": datetime.fromtimestamp(status.st_mtime, UTC).isoformat(),
    }


# ---------------------------------------------------------------------------------------------------------- serving


def cache_folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def serve(port: int = 0) -> Iterator[Service]:
    """Serve it in a thread, on a free port where none is given."""
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    service = Service(f"http://127.0.0.1:{listener.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(service.app(), log_level="critical", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the stand-in did not start")
            time.sleep(0.01)
        yield service
    finally:
        server.should_exit = True
        thread.join(30)
        service.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in of E2B's service on loopback.")
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--keep", nargs=2, metavar=("TOKEN", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.keep:
        keep(*arguments.keep)
        return
    with serve(arguments.port) as service:
        for name, value in service.environment().items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
