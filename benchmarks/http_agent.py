"""A light HTTP client for many sessions at once: one connection each, its cookie replaced by that of each answer."""

import asyncio
import json
import secrets
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any


class ConnectionBroke(Exception):
    """The server closed the connection, or does not listen."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def output(self) -> str:
        """A tool's text."""
        return self.json()["output"]


class Agent:
    """One episode's connection, which behaves as NeMo Gym 0.4's agents do: an answer without a cookie loses it.

    Args:
        port: Where the server listens, on loopback.
        statuses: Counts the answers by their status.
        seconds: How long an answer may take.
    """

    def __init__(self, port: int, statuses: Counter[int], seconds: float = 60) -> None:
        self.port = port
        self.statuses = statuses
        self.seconds = seconds
        self.cookie: str | None = None
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = time.monotonic()

    async def post(self, path: str, body: Any = None) -> Answer:
        """Send a body as JSON (bytes as they are) and wait for the answer.

        Raises:
            ConnectionBroke: the server has gone.
            TimeoutError: it does not answer.
        """
        async with asyncio.timeout(self.seconds):
            try:
                reader, writer = await self._connected()
                writer.write(self._request(path, body))
                answer = await _read_answer(reader)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.hang_up()
                idle = time.monotonic() - self._used
                raise ConnectionBroke(f"{path}, {idle:.1f} s after the answer before: {error!r}") from None
        self._used = time.monotonic()
        self.statuses[answer.status] += 1
        set_cookie = answer.headers.get("set-cookie")
        self.cookie = set_cookie.partition(";")[0] if set_cookie else None
        if answer.headers.get("connection") == "close":
            self.hang_up()
        return answer

    async def vanish(self, path: str, body: Any, after: float, sent: float = 1.0) -> None:
        """Send a request, or the given part of one, and close the connection after so many seconds, unanswered."""
        try:
            _, writer = await self._connected()
            request = self._request(path, body)
            writer.write(request[: int(len(request) * sent)])
            await writer.drain()
            await asyncio.sleep(after)
        except OSError as error:
            raise ConnectionBroke(f"{path}: {error!r}") from None
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection. The next request opens another."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            self._used = time.monotonic()
        return self._connection

    def _request(self, path: str, body: Any) -> bytes:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        cookie = f"Cookie: {self.cookie}\r\n" if self.cookie else ""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}Content-Type: application/json\r\n"
        return f"{head}Content-Length: {len(raw)}\r\n\r\n".encode("latin-1") + raw


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    # uvicorn's own answer to a malformed request has no length, and is the last one of its connection.
    length = headers.get("content-length")
    body = await reader.read() if length is None else await reader.readexactly(int(length))
    return Answer(int(head[0].split()[1]), headers, body)


def verify_body(row: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    """A `/verify` request: the row, and the Responses API response that an agent would have had."""
    response = {
        "id": f"resp_{secrets.token_hex(4)}",
        "created_at": 0.0,
        "model": "policy.py",
        "object": "response",
        "output": items,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }
    return {**row, "response": response}
