# Part of the template: changes belong there (`copier update` merges this file).
"""What the tests drive the environment with: clients with cookies of their own, `/verify` bodies, whole episodes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from gymkit.cli import load_player, load_server_class
from gymkit.episodes import transcript, verify_request
from gymkit.errors import CommandError
from gymkit.items import Item
from gymkit.rows import Row

try:
    SERVER_CLASS = load_server_class()
    PLAYER = load_player()
except CommandError as error:
    pytest.exit(str(error), returncode=1)

MAX_TURNS = 500

needs_tools = pytest.mark.needs_tools


class LiveServer:
    """A served environment: its URL, the server object, and a way to get a client with a cookie jar of its own."""

    def __init__(self, url: str, server: Any, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.url = url
        self.server = server
        self._loop = loop

    def client(self, address: str | None = None) -> "Client":
        """A client; one that calls from another address of this machine, where one is named."""
        return Client(self.url, address)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something on the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop()).result(60)

    def close_all_sessions(self) -> None:
        self.run(self.server._sessions.close_all())


class Client(requests.Session):
    """An agent's connection: one cookie jar, paths instead of URLs."""

    def __init__(self, url: str, address: str | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self.base_url = url
        if address is not None:
            adapter = HTTPAdapter()
            adapter.init_poolmanager(10, 10, source_address=(address, 0))
            self.mount("http://", adapter)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs.setdefault("timeout", 60)
        return super().request(method, self.base_url + url, *args, **kwargs)

    def seed(self, row: Row | None = None) -> requests.Response:
        """Begin an episode on a row, without the cookie of the one before; it must succeed."""
        self.cookies.clear()
        response = self.post("/seed_session", json=row or {})
        assert response.status_code == 200, response.text
        return response

    def tool(self, name: str, /, **arguments: Any) -> str:
        """Call a tool; its text."""
        return self.post(f"/{name}", json=arguments).json()["output"]

    def tools(self) -> list[Item]:
        """The schemas of the tools."""
        return self.get("/tools").json()

    def verdict(self, row: Row, output: list[Item] | None = None) -> Row:
        """Ask for the verdict on a row, with the given output items as transcript."""
        response = self.post("/verify", json=verify_body(row, output))
        assert response.status_code == 200, response.text
        return response.json()


def verify_body(row: Row, output: list[Item] | None = None) -> Row:
    """A `/verify` request: the row, and a response with the given output items."""
    body = verify_request(row, output or [], "test")
    body["response"]["created_at"] = 0.0
    return body


def play_row(client: Client, row: Row) -> list[Item]:
    """Play a row with policy.py after `seed`, without asking for the verdict; the transcript's items."""
    return transcript(row, PLAYER.policy(row), lambda path, body: client.post(path, json=body), MAX_TURNS)


def played(client: Client, row: Row) -> Row:
    """Seed a row, play it with policy.py, and ask for the verdict."""
    client.seed(row)
    return client.verdict(row, play_row(client, row))


def says(text: str) -> Item:
    """An assistant's message."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
