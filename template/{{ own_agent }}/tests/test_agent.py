# Part of the template: changes belong there (`copier update` merges this file).
"""The agent calls the tools of the row, and nothing else that a model may name; it asks the user where there is one."""

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request, Response
from nemo_gym.openai_utils import NeMoGymResponseCreateParamsNonStreaming
from responses_api_agents.simple_agent.app import SimpleAgentRunRequest, SimpleAgentVerifyResponse

from agent import (
    ENVIRONMENT_FAILED,
    FAILURE_KIND,
    FAILURE_REASON,
    MODEL_ATTEMPTS,
    MODEL_FAILED,
    EnvironmentAgent,
    EnvironmentAgentConfig,
    _failed,
    _marked,
)
from gymkit.items import Item
from gymkit.project import reward_range
from gymkit.rows import demo_row

SCREENSHOT = {"type": "function", "name": "screenshot", "description": "Look.", "parameters": {}, "strict": False}
PARAMS: Item = {"input": [{"role": "user", "content": "Look."}], "tools": [SCREENSHOT]}
CONTROL_CALLS = ("seed_session", "verify", "close_session", "verify?x", "/verify", "%76erify", "aggregate_metrics", "")


def answer(body: Any, cookies: dict[str, str], status: int = 200, headers: Item | None = None) -> Any:
    """What stands for aiohttp's answer to a POST."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def read() -> bytes:
        return raw

    content = SimpleNamespace(read=read)
    shown = {"ok": status < 400, "status": status, "headers": headers or {}}
    return SimpleNamespace(**shown, cookies=cookies, read=read, content=content)


class Servers:
    """Stands for NeMo Gym's client: its model makes one call a turn, and its environment notes what is posted.

    What either of them answers first in place of that, can be given.
    """

    def __init__(self, calls: list[tuple[str, str]], of_model: list[Any], of_environment: list[Any]) -> None:
        self.calls = list(calls)
        self.of_model, self.of_environment = of_model, of_environment
        self.posted: list[tuple[str, Any, dict[str, str]]] = []
        self.shown: list[Item] = []
        self.seconds = 0.0

    async def post(self, server_name: str, url_path: str, json: Any, cookies: dict[str, str]) -> Any:
        if server_name == "model":
            self.shown = json["input"]
            await asyncio.sleep(self.seconds)
            return self.of_model.pop(0) if self.of_model else answer(self.response(), {})
        self.posted.append((url_path, json, dict(cookies)))
        if self.of_environment:
            return self.of_environment.pop(0)
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
    servers = Servers(calls, [], [])
    done = play(servers, params)
    return [str(item.output) for item in done.output if item.type == "function_call_output"], servers


def play(servers: Servers, params: dict[str, Any], model_seconds: float = 60, asks_user: bool = False) -> Any:
    """What the agent makes of an episode."""
    config = EnvironmentAgentConfig.model_construct(
        model_server=SimpleNamespace(name="model"),
        resources_server=SimpleNamespace(name="environment"),
        max_steps=None,
        max_pictures=None,
        asks_user=asks_user,
        model_seconds=model_seconds,
    )
    agent = EnvironmentAgent.model_construct(config=config, server_client=servers)
    request = Request({"type": "http", "headers": [(b"cookie", b"session=0")], "path": "/v1/responses"})
    body = NeMoGymResponseCreateParamsNonStreaming.model_validate(params)
    return asyncio.run(agent.responses(request, Response(), body))


def test_it_calls_the_tools_of_the_row() -> None:
    outputs, servers = run([("screenshot", "{}"), ("screenshot", "{}")], PARAMS)
    assert servers.posted == [("/screenshot", {}, {"session": "0"}), ("/screenshot", {}, {"session": "1"})]
    assert outputs == ['{"output": "seen"}'] * 2


@pytest.mark.parametrize("name", CONTROL_CALLS)
def test_it_posts_to_no_other_name(name: str) -> None:
    calls = [(name, '{"ground_truth": []}'), ("screenshot", "{}")]
    outputs, servers = run(calls, PARAMS)
    assert servers.posted == [("/screenshot", {}, {"session": "0"})]
    assert f"there is no tool {name!r}. The tools are: screenshot" in json.loads(outputs[0])["output"]


def test_without_tools_it_posts_nothing() -> None:
    outputs, servers = run([("screenshot", "{}"), ("verify", "{}")], {"input": "Look."})
    assert servers.posted == []
    assert len(outputs) == 2


@pytest.mark.parametrize("arguments", ["{", "9" * 5000, "\x00", "[1]", '{"x": NaN}'])
def test_arguments_that_cannot_be_read_are_answered_with_text(arguments: str) -> None:
    outputs, servers = run([("screenshot", arguments)], PARAMS)
    assert servers.posted == []
    assert "Error: the arguments" in json.loads(outputs[0])["output"]
    # The model's own endpoint may parse them, too, when they come back.
    assert [item["arguments"] for item in servers.shown if item.get("type") == "function_call"] == ["{}"]


@pytest.mark.parametrize("arguments", ["", "null", "\ufeff{}", '"{}"'])
def test_arguments_that_can_be_read_are_sent(arguments: str) -> None:
    _, servers = run([("screenshot", arguments)], PARAMS)
    assert servers.posted == [("/screenshot", {}, {"session": "0"})]


# ------------------------------------------------------------------------------------------------------- a user


class Talk(Servers):
    """A model that says texts, and a user who answers with others; each of them is noted."""

    def __init__(self, says: list[Any], hears: list[Any]) -> None:
        super().__init__([], [], hears)
        self.says = says

    def response(self) -> Item:
        said = self.says.pop(0) if self.says else "And?"
        content = [{"type": "output_text", "text": said, "annotations": []}]
        item = {"type": "message", "id": f"msg_{len(self.says)}", "role": "assistant", "status": "completed"}
        return super().response() | {"output": [{**item, "content": content}]}


def hears(text: str, done: bool = False) -> Any:
    return answer({"output": text, "done": done}, {})


def test_a_turn_without_a_call_is_answered_by_the_user() -> None:
    servers = Talk(["Which order?", "Done."], [hears("W1."), hears("Bye.", done=True)])
    output = play(servers, PARAMS, asks_user=True).output
    assert [(path, body) for path, body, _ in servers.posted] == [
        ("/user/turn", {"text": "Which order?"}),
        ("/user/turn", {"text": "Done."}),
    ]
    assert [item.role for item in output] == ["assistant", "user", "assistant", "user"]
    assert [item.content for item in output if item.role == "user"] == ["W1.", "Bye."]
    assert servers.shown[-1] == {"type": "message", "role": "user", "content": "W1."}


def test_without_a_user_such_a_turn_is_the_last() -> None:
    servers = Talk(["Which order?"], [])
    assert len(play(servers, PARAMS).output) == 1
    assert servers.posted == []


@pytest.mark.parametrize(
    "last",
    [answer({"output": "The conversation is over."}, {}, 410), hears(""), answer({"output": 1, "done": False}, {})],
    ids=["gone", "silent", "no_text"],
)
def test_what_is_no_users_answer_ends_the_episode(last: Any) -> None:
    servers = Talk(["One.", "Two.", "Three."], [hears("Well."), last])
    done = play(servers, PARAMS, asks_user=True)
    assert [item.role for item in done.output] == ["assistant", "user", "assistant"]
    assert done.metadata is None


def test_what_is_said_to_the_user_is_cut() -> None:
    servers = Talk(["\ud83d" + "x" * 10_000_000], [hears("Bye.", done=True)])
    play(servers, PARAMS, asks_user=True)
    assert len(servers.posted[0][1]["text"]) < 20_100


@pytest.mark.parametrize("status", [502, 503, 200])
def test_a_user_who_cannot_be_reached_masks_the_sample(status: int, no_waiting: list[float]) -> None:
    done = play(Talk(["One."], [answer(PAGE, {}, status)]), PARAMS, asks_user=True)
    assert _marked(verified(done)).model_dump()["mask_sample"] is True


# -------------------------------------------------------------------------------------------------- what goes wrong

PAGE = b"<html><title>502 Bad Gateway</title>\xff</html>"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the agent has waited in place of really doing so."""
    waited: list[float] = []
    here, really = threading.current_thread(), asyncio.sleep

    async def sleep(seconds: float) -> None:
        if threading.current_thread() is here:
            waited.append(seconds)
        else:  # A server of other tests.
            await really(seconds)

    monkeypatch.setattr("agent.asyncio.sleep", sleep)
    return waited


@pytest.mark.parametrize("bad", [answer(PAGE, {}, 502), answer(PAGE, {}), answer([], {}), answer({"output": None}, {})])
def test_a_model_that_fails_once_is_asked_again(bad: Any, no_waiting: list[float]) -> None:
    servers = Servers([("screenshot", "{}")], [bad], [])
    done = play(servers, PARAMS)
    assert [path for path, _, _ in servers.posted] == ["/screenshot"]
    assert done.metadata is None
    assert [seconds for seconds in no_waiting if seconds] == [1]


def test_a_model_that_never_answers_ends_the_episode() -> None:
    servers = Servers([], [], [])
    servers.seconds = 60
    done = play(servers, PARAMS, model_seconds=0.2)
    assert done.metadata[FAILURE_REASON] == "The model server did not answer within 0.2 seconds."


@pytest.mark.parametrize("played", [0, 1])
def test_a_model_that_has_failed_ends_the_episode_with_what_was_played(played: int, no_waiting: list[float]) -> None:
    said = b'"Hit an exception calling an inner server: {the provider says why}"'
    servers = Servers([("screenshot", "{}")], [], [])
    good = [answer(servers.response(), {})] * played
    servers.of_model = [*good, *[answer(said, {}, 500)] * MODEL_ATTEMPTS]
    done = play(servers, PARAMS)
    assert [item.type for item in done.output] == ["function_call", "function_call_output"] * played
    assert done.metadata[FAILURE_KIND] == MODEL_FAILED
    assert "the provider says why" in done.metadata[FAILURE_REASON]
    # Graded as it stands where the model has had its say: what it has said may be the cause.
    marked = _marked(verified(done)).model_dump()
    assert (marked["reward"], marked["mask_sample"]) == ((0.5, False) if played else (0.0, True))
    assert marked["failure_kind"] == MODEL_FAILED


@pytest.mark.parametrize("status", [502, 503, 504, 200])
def test_a_page_in_place_of_a_tools_answer_masks_the_sample(status: int, no_waiting: list[float]) -> None:
    servers = Servers([("screenshot", "{}"), ("screenshot", "{}")], [], [answer(PAGE, {}, status)])
    done = play(servers, PARAMS)
    assert len(servers.posted) == 1, "a call may have had its effect, and is not made again"
    marked = _marked(verified(done)).model_dump()
    assert (marked["mask_sample"], marked["failure_kind"]) == (True, ENVIRONMENT_FAILED)
    assert f"{status}: 502 Bad Gateway" in marked["failure_reason"]


def test_an_environment_that_wants_to_be_asked_later_is_asked_later(no_waiting: list[float]) -> None:
    later = [answer({}, {}, 429, {"Retry-After": "7"}), answer({}, {}, 429, {"Retry-After": "soon"})]
    servers = Servers([("screenshot", "{}")], [], later)
    done = play(servers, PARAMS)
    assert [item.output for item in done.output if item.type == "function_call_output"] == ['{"output": "seen"}']
    assert [seconds for seconds in no_waiting if seconds] == [7.0, 1.0]


def verified(response: Any) -> SimpleAgentVerifyResponse:
    """What `/verify` answers: half a reward."""
    body = {"responses_create_params": PARAMS, "response": response.model_dump(), "reward": 0.5, "mask_sample": False}
    return SimpleAgentVerifyResponse.model_validate(body)


@pytest.mark.parametrize(
    ("status", "path", "masked"),
    [(422, "/seed_session", True), (503, "/seed_session", True), (502, "/verify", True), (422, "/verify", False)],
)
def test_an_episode_that_cannot_be_played_is_answered_all_the_same(status: int, path: str, masked: bool) -> None:
    """What the model may have brought about masks nothing."""
    error: Any = RuntimeError()
    error.status, error.response_content = status, b'{"output": "Error: no such row"}'
    error.request_info = SimpleNamespace(url=f"http://environment{path}")
    row = SimpleAgentRunRequest.model_validate(demo_row())
    result = _failed(row, error).model_dump()
    assert result["mask_sample"] is masked
    assert result["reward"] == (0.0 if masked else reward_range()[0])
    assert f"{status}: " in result["failure_reason"] and "no such row" in result["failure_reason"]
    assert result["task_id"] == demo_row()["task_id"]
