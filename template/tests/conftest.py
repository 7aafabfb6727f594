# Part of the template: changes belong there (`copier update` merges this file).
"""The environment's server as a fixture: served over real HTTP, on a free port, in this process."""

import importlib
import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from harness import Client, LiveServer, Row, read_rows

from gymkit import project
from gymkit.fixture import make_server


@pytest.fixture(scope="session", autouse=True)
def sandboxes_at_hand() -> Iterator[None]:
    """Where the environment uses E2B: a stand-in of its service, so that no test needs a key or the network."""
    if importlib.util.find_spec("standin_e2b") is None:
        yield
        return
    standin = importlib.import_module("standin_e2b")
    with standin.serve() as service, pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment().items():
            patch.setenv(name, value)
        yield


def serving() -> Iterator[Any]:
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(server_class: type | None = None, **settings: Any) -> LiveServer:
        server = make_server(server_class or project.server_class(), **settings)
        app = server.setup_webserver()
        server.setup_liveness(app)
        server.setup_exception_middleware(app)
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        uvicorn_server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((uvicorn_server, thread))
        deadline = time.monotonic() + 30
        while not uvicorn_server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        return LiveServer(f"http://127.0.0.1:{listener.getsockname()[1]}", server)

    yield start
    for uvicorn_server, thread in running:
        uvicorn_server.should_exit = True
        thread.join(30)


@pytest.fixture
def serve() -> Iterator[Any]:
    """A function that serves the environment with the given settings: `serve(max_sessions=3)`."""
    yield from serving()


@pytest.fixture(scope="module")
def serve_for_module() -> Iterator[Any]:
    """The same; what it serves is served until the module's last test."""
    yield from serving()


@pytest.fixture
def live(serve: Any) -> LiveServer:
    """The environment, served with its own settings."""
    return serve()


@pytest.fixture
def client(live: LiveServer) -> Client:
    """A client of the served environment, with no session yet."""
    return live.client()


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """The example rows."""
    return read_rows("example")
