# Part of the template: changes belong there (`copier update` merges this file).
"""The environment's server as a fixture: served over real HTTP, on a free port, in this process."""

import asyncio
import importlib
import importlib.util
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
import uvicorn
from harness import SERVER_CLASS, Client, LiveServer
from probe import ProbeServer
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gymkit.connections import limited
from gymkit.fixture import make_server
from gymkit.proxies import never_for_loopback
from gymkit.rows import Row, data_path, read_rows

never_for_loopback()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the options
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in several processes, one more than there are cores, since many tests wait; at most four.

    Not where pytest is given files or `-n`, nor where pytest-xdist is not installed, as in `gym env test`.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.usepdb
    if whole and not hasattr(config, "workerinput") and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = min((os.cpu_count() or 1) + 1, 4)
        config.option.dist = "loadfile"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep out of a report what one process cannot hand to another: a lone surrogate, which a log may hold."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_tools: left out where the environment has no tools")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what does not apply to this environment: it is not run, and so not counted, not even as skipped."""
    if not make_server(SERVER_CLASS).has_tools:
        left_out = [item for item in items if item.get_closest_marker("needs_tools")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", autouse=True)
def stand_in_for_e2b() -> Iterator[None]:
    """Where the environment uses E2B: a stand-in of its service, so that no test needs a key or the network."""
    if importlib.util.find_spec("standins") is None:
        yield
        return
    standin = importlib.import_module("standins.e2b")
    with standin.serve() as service, pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment().items():
            patch.setenv(name, value)
        yield


class _Server(uvicorn.Server):
    """uvicorn, which tells its event loop."""

    loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)


def serving() -> Iterator[Callable[..., LiveServer]]:
    running: list[tuple[_Server, threading.Thread]] = []

    def start(server_class: type = SERVER_CLASS, **settings: Any) -> LiveServer:
        server = make_server(server_class, configured=not issubclass(server_class, ProbeServer), **settings)
        app = server.setup_webserver()
        server.setup_liveness(app)
        server.setup_exception_middleware(app)
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        protocol: Any = limited(HttpToolsProtocol, server.connections)
        uvicorn_server = _Server(uvicorn.Config(app, log_level="warning", http=protocol, proxy_headers=False))
        thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((uvicorn_server, thread))
        deadline = time.monotonic() + 30
        while not uvicorn_server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return LiveServer(url, server, lambda: uvicorn_server.loop)

    yield start
    for uvicorn_server, _ in running:
        uvicorn_server.should_exit = True
    for _, thread in running:
        thread.join(30)


@pytest.fixture
def serve() -> Iterator[Callable[..., LiveServer]]:
    """A function that serves the environment with the given settings: `serve(max_sessions=3)`."""
    yield from serving()


@pytest.fixture(scope="session")
def serve_for_all() -> Iterator[Callable[..., LiveServer]]:
    """The same; what it serves is served until the last test."""
    yield from serving()


@pytest.fixture(scope="session")
def served(serve_for_all: Callable[..., LiveServer]) -> LiveServer:
    """The environment, served with its own settings, for all tests that do not need one of their own."""
    return serve_for_all()


@pytest.fixture(scope="session")
def served_probe(serve_for_all: Callable[..., LiveServer]) -> LiveServer:
    """The probe environment, in the same way."""
    return serve_for_all(ProbeServer)


@pytest.fixture
def live(served: LiveServer) -> Iterator[LiveServer]:
    """The environment, served with its own settings, and without sessions of other tests."""
    yield served
    served.close_all_sessions()


@pytest.fixture
def client(live: LiveServer) -> Client:
    """A client of the served environment, with no session yet."""
    return live.client()


@pytest.fixture
def probe(served_probe: LiveServer) -> Iterator[LiveServer]:
    """A small environment whose tools do what tools should not (probe.py), for what all environments share."""
    yield served_probe
    served_probe.close_all_sessions()


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """The example rows."""
    return read_rows(data_path("example"))
