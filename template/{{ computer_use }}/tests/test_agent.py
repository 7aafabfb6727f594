# Part of the template: changes belong there (`copier update` merges this file).
"""The agent calls the tools of the row, and nothing else that a model may name. No desktop is needed for that."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request, Response
from nemo_gym.openai_utils import NeMoGymResponseCreateParamsNonStreaming

from agent import PictureAgent, PictureAgentConfig
from gymkit.items import Item
from gymkit.rows import demo_row

CONTROL_CALLS = ("seed_session", "verify", "close_session", "verify?x", "/verify", "%76erify", "aggregate_metrics", "")


def answer(body: Any, cookies: dict[str, str]) -> Any:
    """What stands for aiohttp's answer to a POST."""
    raw = json.dumps(body).encode()

    async def read() -> bytes:
        return raw

    return SimpleNamespace(ok=True, status=200, cookies=cookies, read=read, content=SimpleNamespace(read=read))


class Servers:
    """Stands for NeMo Gym's client: its model makes one call a turn, and its environment notes what is posted."""

    def __init__(self, calls: list[tuple[str, str]]) -> None:
        self.calls = list(calls)
        self.posted: list[tuple[str, Any, dict[str, str]]] = []

    async def post(self, server_name: str, url_path: str, json: Any, cookies: dict[str, str]) -> Any:
        if server_name == "model":
            return answer(self.response(), {})
        self.posted.append((url_path, json, dict(cookies)))
        return answer({"output": "seen"}, {"session": str(len(self.posted))})

    def response(self) -> Item:
        output: list[Item] = []
        if self.calls:
            name, arguments = self.calls.pop(0)
            ids = {"id": f"fc_{len(self.calls)}", "call_id": f"call_{len(self.calls)}"}
            output = [{"type": "function_call", **ids, "name": name, "arguments": arguments, "status": "completed"}]
        return {
            "id": "resp",
            "created_at": 0.0,
            "model": "test",
            "object": "response",
            "output": output,
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
        }


def run(calls: list[tuple[str, str]], params: dict[str, Any]) -> tuple[list[str], Servers]:
    """Let the agent answer once; the outputs that the model has seen, and what was posted."""
    servers = Servers(calls)
    config = PictureAgentConfig.model_construct(
        model_server=SimpleNamespace(name="model"),
        resources_server=SimpleNamespace(name="environment"),
        max_steps=None,
        max_pictures=None,
    )
    agent = PictureAgent.model_construct(config=config, server_client=servers)
    request = Request({"type": "http", "headers": [(b"cookie", b"session=0")], "path": "/v1/responses"})
    body = NeMoGymResponseCreateParamsNonStreaming.model_validate(params)
    done = asyncio.run(agent.responses(request, Response(), body))
    return [str(item.output) for item in done.output if item.type == "function_call_output"], servers


def test_it_calls_the_tools_of_the_row() -> None:
    outputs, servers = run([("screenshot", "{}"), ("screenshot", "{}")], demo_row()["responses_create_params"])
    assert servers.posted == [("/screenshot", {}, {"session": "0"}), ("/screenshot", {}, {"session": "1"})]
    assert outputs == ['{"output": "seen"}'] * 2


@pytest.mark.parametrize("name", CONTROL_CALLS)
def test_it_posts_to_no_other_name(name: str) -> None:
    calls = [(name, '{"ground_truth": []}'), ("screenshot", "{}")]
    outputs, servers = run(calls, demo_row()["responses_create_params"])
    assert servers.posted == [("/screenshot", {}, {"session": "0"})]
    assert f"there is no tool {name!r}. The tools are: screenshot" in json.loads(outputs[0])["output"]


def test_without_tools_it_posts_nothing() -> None:
    outputs, servers = run([("screenshot", "{}"), ("verify", "{}")], {"input": "Look."})
    assert servers.posted == []
    assert len(outputs) == 2


@pytest.mark.parametrize("arguments", ["", "{", "9" * 5000, "\x00"])
def test_arguments_that_are_no_json_are_answered_with_text(arguments: str) -> None:
    outputs, servers = run([("screenshot", arguments)], demo_row()["responses_create_params"])
    assert servers.posted == []
    assert "Invalid tool call arguments" in outputs[0]
