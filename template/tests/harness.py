# Part of the template: changes belong there (`copier update` merges this file).
"""What the tests drive the environment with: clients with cookies of their own, `/verify` bodies, whole episodes."""

import json
from typing import Any

import requests

from gymkit import project
from policy import play

Row = dict[str, Any]


class LiveServer:
    """A served environment: its URL, the server object, and a way to get a client with a cookie jar of its own."""

    def __init__(self, url: str, server: Any) -> None:
        self.url = url
        self.server = server

    def client(self) -> "Client":
        return Client(self.url)


class Client(requests.Session):
    """An agent's connection: one cookie jar, paths instead of URLs."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.trust_env = False
        self.base_url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs.setdefault("timeout", 60)
        return super().request(method, self.base_url + url, *args, **kwargs)

    def seed(self, row: Row | None = None) -> requests.Response:
        """Begin an episode on a row; it must succeed."""
        response = self.post("/seed_session", json=row or {})
        assert response.status_code == 200, response.text
        return response

    def tool(self, name: str, **arguments: Any) -> str:
        """Call a tool; its text."""
        return self.post(f"/{name}", json=arguments).json()["output"]

    def verdict(self, row: Row, output: list[Row] | None = None) -> Row:
        """Ask for the verdict on a row, with the given output items as transcript."""
        response = self.post("/verify", json=verify_body(row, output))
        assert response.status_code == 200, response.text
        return response.json()


def verify_body(row: Row, output: list[Row] | None = None) -> Row:
    """A `/verify` request: the row, and a response with the given output items."""
    response = {
        "id": "resp_test",
        "created_at": 0.0,
        "model": "test",
        "object": "response",
        "output": output or [],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }
    return {**row, "response": response}


def read_rows(split: str) -> list[Row]:
    """The rows of data/<split>.jsonl."""
    text = (project.ROOT / "data" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def play_row(client: Client, row: Row) -> list[Row]:
    """Play a row with policy.py after `seed`, without asking for the verdict; the transcript's items."""
    items: list[Row] = []
    moves = play(row)
    try:
        name, arguments = next(moves)
        while True:
            call_id = f"call_{len(items)}"
            body = client.post(f"/{name}", json=arguments).text
            call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": json.dumps(arguments)}
            items += [call, {"type": "function_call_output", "call_id": call_id, "output": body}]
            name, arguments = moves.send(json.loads(body)["output"])
    except StopIteration:
        return items
