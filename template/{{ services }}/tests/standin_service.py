# Part of the template: changes belong there (`copier update` merges this file).
"""A stand-in for a service outside: a test decides on its answers, and sees what it was asked."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What a service answers a request."""

    status: int = 200
    body: bytes = b'{"n": 1}'
    headers: Mapping[str, str] = MappingProxyType({})
    delay: float = 0


class Standin(ThreadingHTTPServer):
    """A service whose answers a test decides on."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[str], Answer] = lambda path: Answer()
        self.asked: list[tuple[float, str, dict[str, str], bytes]] = []
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Standin  # type: ignore[assignment]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.asked.append((time.monotonic(), self.path, dict(self.headers), body))
            answer = self.server.answer(urlsplit(self.path).path)
        time.sleep(answer.delay)
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def standing_in() -> Iterator[Standin]:
    with Standin() as standin:
        Thread(target=standin.serve_forever, args=(0.05,), daemon=True).start()
        yield standin
        standin.shutdown()
