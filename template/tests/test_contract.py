# Part of the template: changes belong there (`copier update` merges this file).
"""What NeMo Gym, trainers and players rely on, in every environment of this template, over real HTTP."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI, Request
from harness import Client, LiveServer, Row, play_row, read_rows, verify_body
from nemo_gym import base_resources_server as nemo

from gymkit import project
from gymkit.fixture import make_server
from gymkit.server import EnvironmentServer
from gymkit.tools import ToolRequest, tool_schemas

COOKIE = "set-cookie"


def tool_names(client: Client) -> list[str]:
    return [tool["name"] for tool in client.get("/tools").json()]


# --------------------------------------------------------------------------------------------------------- seeding


@pytest.mark.parametrize("body", [b"", b"{}", b"  "])
def test_seed_without_a_row_plays_the_demo_row(client: Client, body: bytes) -> None:
    response = client.post("/seed_session", data=body)
    assert response.status_code == 200
    assert COOKIE in response.headers
    demo = read_rows("demo")[0]
    assert client.verdict(demo, play_row(client, demo))["reward"] == 1.0


def test_seed_with_a_whole_row(client: Client, rows: list[Row]) -> None:
    assert COOKIE in client.seed(rows[0]).headers
    assert client.verdict(rows[0], play_row(client, rows[0]))["reward"] == 1.0


@pytest.mark.parametrize("body", [b"no json", b"[1]", b'"row"', b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_seed_with_something_else_is_refused(client: Client, body: bytes) -> None:
    response = client.post("/seed_session", data=body)
    assert response.status_code == 422
    assert response.json()["output"].startswith("Error: ")


def test_seed_with_a_row_that_makes_no_episode_is_refused(client: Client, rows: list[Row]) -> None:
    response = client.post("/seed_session", json={**rows[0], "ground_truth": [{"expected_output": None}]})
    assert response.status_code == 422
    assert "No episode can be made from this row" in response.json()["output"]


@pytest.mark.parametrize("form", ["object", "value"])
def test_ground_truth_need_not_stand_in_a_list(client: Client, rows: list[Row], form: str) -> None:
    truth = rows[0]["ground_truth"][0]
    row = {**rows[0], "ground_truth": truth if form == "object" else truth["expected_output"]}
    client.seed(row)
    assert client.verdict(row, play_row(client, row))["reward"] == 1.0


def test_another_seed_ends_the_session_before(live: LiveServer, client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    client.seed(rows[1])
    assert len(live.server._sessions) == 1
    assert client.verdict(rows[1], play_row(client, rows[1]))["reward"] == 1.0


def typed_seed(session_id: str, row: Row) -> Row:
    return {
        "resources_session_id": session_id,
        "episode_id": {"rollout_id": "0-0", "attempt": 0},
        "task_id": {"taskset": "test", "task_id": "0"},
        "task_data": {key: value for key, value in row.items() if key != "responses_create_params"},
    }


def test_the_session_contract_of_nemo_gym(rows: list[Row]) -> None:
    """NeMo Gym 0.7's own check of seeding and closing by an assigned identity. 0.4 knows no such request."""
    try:
        from nemo_gym.testing.session_conformance import check_resources_session_contract
    except ImportError:
        from importlib.metadata import version

        assert version("nemo-gym").startswith("0.4."), "the check has moved"
        return
    server = make_server(project.server_class())
    seed = nemo.ResourcesSeedSessionRequest.model_validate(typed_seed("assigned-1", rows[0]))
    check_resources_session_contract(server.setup_webserver(), seed, keeps_state=True)


# ----------------------------------------------------------------------------------------------- the session's life


def test_the_cookie_goes_out_with_every_answer(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    name = tool_names(client)[0]
    answers = [
        client.post(f"/{name}", data=b"no json"),
        client.post("/no_such_tool", json={}),
        client.get("/no_such_page"),
        client.post(f"/{name}", data=b" " * 1_500_000),
        client.get("/health"),
        client.post("/verify", json={}),
        client.post("/verify", json=verify_body(rows[0])),
        client.post(f"/{name}", json={}),
        client.post("/close_session", json={}),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [422, 404, 404, 413, 200, 422, 200, statuses[7], 200]
    assert all(COOKIE in answer.headers for answer in answers)
    assert len({answer.headers[COOKIE] for answer in answers}) == 1


def test_close_is_idempotent_and_final(live: LiveServer, client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    items = play_row(client, rows[0])
    for _ in range(2):
        assert client.post("/close_session").status_code == 200
    assert len(live.server._sessions) == 0
    verdict = client.verdict(rows[0], items)
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (0.0, True, "session_lost")
    assert live.client().post("/close_session").status_code == 200


def test_verify_ends_the_session_and_answers_the_same_again(live: LiveServer, client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    items = play_row(client, rows[0])
    first = client.verdict(rows[0], items)
    assert first["reward"] == 1.0
    assert len(live.server._sessions) == 0
    assert client.verdict(rows[0], items) == first


def test_verify_adds_to_the_request_and_takes_nothing_away(client: Client, rows: list[Row]) -> None:
    body = verify_body({**rows[0], "reward": 7, "instance_config": {"mask_sample": True}, "own": {"field": [1]}})
    client.seed(rows[0])
    verdict = client.post("/verify", json=body).json()
    assert verdict["reward"] == 0.0
    assert {**verdict, "reward": 7}.items() >= body.items()


def test_an_idle_session_is_ended(serve: Any, rows: list[Row]) -> None:
    live = serve(idle_seconds=0.4)
    client = live.client()
    client.seed(rows[0])
    time.sleep(1)
    assert len(live.server._sessions) == 0
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["failure_kind"]) == (0.0, "session_lost")


def test_the_order_of_seeds_does_not_matter_to_idleness(serve: Any, rows: list[Row]) -> None:
    live = serve(idle_seconds=2)
    used, idle = live.client(), live.client()
    used.seed(rows[0])
    idle.seed(rows[0])
    deadline = time.monotonic() + 10
    while len(live.server._sessions) == 2 and time.monotonic() < deadline:
        assert used.get("/tools").status_code == 200
        time.sleep(0.1)
    assert not used.verdict(rows[0])["mask_sample"]
    assert idle.verdict(rows[0])["failure_kind"] == "session_lost"


def test_beyond_the_cap_a_seed_gets_503(serve: Any, rows: list[Row]) -> None:
    live = serve(max_sessions=2)
    clients = [live.client() for _ in range(3)]
    for client in clients[:2]:
        client.seed(rows[0])
    refused = clients[2].post("/seed_session", json=rows[0])
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert clients[0].verdict(rows[0], play_row(clients[0], rows[0]))["reward"] == 1.0
    clients[2].seed(rows[0])


def test_a_full_server_still_knows_its_sessions(serve: Any, rows: list[Row]) -> None:
    """NeMo Gym 0.7 asks for the same session again where the first answer was lost; 0.4 knows no such request."""
    if not hasattr(nemo, "ResourcesSeedSessionRequest"):
        return
    live = serve(max_sessions=2)
    for session_id in ("ended", "first", "second"):
        assert live.client().post("/seed_session", json=typed_seed(session_id, rows[0])).status_code == 200
        if session_id == "ended":
            live.client().post("/close_session", json={"resources_session_id": session_id})
    again = live.client()
    assert again.post("/seed_session", json=typed_seed("second", rows[0])).status_code == 200
    assert live.client().post("/seed_session", json=typed_seed("ended", rows[0])).status_code == 409
    assert live.client().post("/seed_session", json=typed_seed("third", rows[0])).status_code == 503
    assert live.client().post("/seed_session", data=b'"resources_session_id').status_code == 503
    assert again.verdict(rows[0], play_row(again, rows[0]))["reward"] == 1.0
    assert live.client().post("/seed_session", json=typed_seed("third", rows[0])).status_code == 200


def test_those_who_come_in_together_do_not_exceed_the_cap(serve: Any, rows: list[Row], monkeypatch: Any) -> None:
    """There was room when the request arrived, and is none any more."""

    async def may_seed(self: Any, body: bytes) -> bool:
        return True

    monkeypatch.setattr("gymkit.http.GymMiddleware._may_seed", may_seed)
    live = serve(max_sessions=1)
    live.client().seed(rows[0])
    refused = live.client().post("/seed_session", json=rows[0])
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert len(live.server._sessions) == 1


def test_a_full_server_ends_idle_sessions_for_a_new_one(serve: Any, rows: list[Row]) -> None:
    live = serve(max_sessions=1)
    live.client().seed(rows[0])
    for session in live.server._sessions._open.values():
        session.last_used -= 2 * live.server.config.idle_seconds
    live.client().seed(rows[0])


def test_shutdown_ends_every_session(rows: list[Row]) -> None:
    from fastapi.testclient import TestClient

    server = make_server(project.server_class())
    ended = []
    original = type(server).end_episode
    type(server).end_episode = lambda self, episode: ended.append(episode)
    try:
        with TestClient(server.setup_webserver()) as client:
            client.post("/seed_session", json=rows[0])
        assert len(ended) == 1
    finally:
        type(server).end_episode = original


def test_several_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="num_workers must be 1"):
        make_server(project.server_class(), num_workers=2)


# ------------------------------------------------------------------------------------------------ concurrent clients


def test_many_clients_at_once_each_play_their_own_episode(live: LiveServer) -> None:
    """64 of them; fewer where an episode takes long, but never fewer than 8."""
    rows = read_rows("train") + read_rows("validation")

    def episode(row: Row) -> tuple[Row, list[str]]:
        client = live.client()
        client.seed(row)
        items = play_row(client, row)
        # The text alone: two pictures of one thing may differ by a pixel.
        return client.verdict(row, items), [json.loads(i["output"])["output"] for i in items if "output" in i]

    started = time.monotonic()
    alone = [episode(row) for row in rows[:8]]
    more = int(8 * 10 / (time.monotonic() - started))  # as many as play one after the other in about ten seconds
    rows = rows[: max(8, min(64, more))]
    alone += [episode(row) for row in rows[8:]]
    with ThreadPoolExecutor(len(rows)) as pool:
        together = list(pool.map(episode, rows))
    # A session that saw another's calls would answer otherwise than when it played alone.
    assert [outputs for _, outputs in together] == [outputs for _, outputs in alone]
    assert [v["reward"] for v, _ in together] == [v["reward"] for v, _ in alone]
    assert len(live.server._sessions) == 0


class Counter:
    def __init__(self) -> None:
        self.log: list[str] = []


class NoArguments(ToolRequest):
    pass


class Sleepy(ToolRequest):
    seconds: float


def make_probe_server() -> type:
    """A server with tools that do what tools should not: wait, block, raise, talk for ever."""
    base = project.server_class()

    class ProbeServer(base):  # type: ignore[misc, valid-type]
        def setup_webserver(self) -> FastAPI:
            app = EnvironmentServer.setup_webserver(self)
            tools = (self.wait, self.block, self.fail, self.talk, self.mangle, self.mangle_and_fail, self.leak)
            for tool in (*tools, self.nothing):
                app.post(f"/{tool.__name__}")(tool)
            return app

        def new_episode(self, row: Row) -> Counter:
            return Counter()

        def grade(self, episode: Counter, expected: Any) -> float:
            return float("nan")

        async def wait(self, body: Sleepy, request: Request) -> str:
            """Wait on the event loop."""
            log = self.episode(request).log
            log.append("in")
            try:
                await asyncio.sleep(body.seconds)
            finally:
                log.append("out")
            return " ".join(log)

        def block(self, body: Sleepy, request: Request) -> str:
            """Block a thread."""
            log = self.episode(request).log
            log.append("in")
            time.sleep(body.seconds)
            log.append("out")
            return " ".join(log)

        async def fail(self, body: NoArguments, request: Request) -> str:
            """Raise."""
            raise RuntimeError("the disk is full")

        async def talk(self, body: NoArguments, request: Request) -> str:
            """Answer too much."""
            return "a" * 1_000_000

        async def mangle(self, body: NoArguments, request: Request) -> str:
            """Answer with half a character."""
            return "naïve \ud83d"

        async def mangle_and_fail(self, body: NoArguments, request: Request) -> str:
            """Raise with half a character."""
            raise RuntimeError("naïve \ud83d")

        async def leak(self, body: NoArguments, request: Request) -> Any:
            """Answer with what is no JSON."""
            return {"output": object()}

        async def nothing(self, request: Request) -> str:
            """Take no arguments."""
            return "done"

    return ProbeServer


@pytest.mark.parametrize("tool", ["wait", "block"])
def test_parallel_calls_of_one_session_are_applied_one_after_the_other(serve: Any, tool: str) -> None:
    live = serve(make_probe_server())
    client = live.client()
    client.seed()
    cookies = client.cookies.get_dict()

    def call(_: int) -> str:
        return live.client().post(f"/{tool}", json={"seconds": 0.05}, cookies=cookies).json()["output"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    assert max(answers, key=len) == " ".join(["in out"] * 8)


@pytest.mark.parametrize("tool", ["wait", "block"])
def test_sessions_do_not_wait_for_each_other(serve: Any, tool: str) -> None:
    live = serve(make_probe_server())

    def episode(_: int) -> None:
        client = live.client()
        client.seed()
        client.tool(tool, seconds=0.5)

    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(episode, range(16)))
    assert time.monotonic() - started < 4  # one after the other: 8 s


@pytest.mark.parametrize("tool", ["wait", "block"])
def test_a_tool_that_takes_too_long_is_text_and_the_session_lives_on(serve: Any, tool: str) -> None:
    live = serve(make_probe_server(), tool_seconds=0.3)
    client = live.client()
    client.seed()
    assert "took more than 0.3 seconds" in client.tool(tool, seconds=1)
    if tool == "block":  # A thread cannot be stopped: its session waits for it, and says so.
        assert "still running" in client.tool(tool, seconds=0)
        time.sleep(1)
    assert client.tool(tool, seconds=0) == "in out in out"


def test_a_tool_stops_when_its_client_has_gone(serve: Any) -> None:
    live = serve(make_probe_server())
    client = live.client()
    client.seed()
    with pytest.raises(Exception, match="timed out"):
        client.post("/wait", json={"seconds": 30}, timeout=0.3)
    started = time.monotonic()
    assert client.tool("wait", seconds=0) == "in out in out"
    assert time.monotonic() - started < 5


def test_a_tool_that_raises_is_text_and_the_session_lives_on(serve: Any) -> None:
    client = serve(make_probe_server()).client()
    client.seed()
    response = client.post("/fail", json={})
    assert response.status_code == 200
    assert response.json() == {"output": "Error: fail failed: RuntimeError: the disk is full"}
    assert client.tool("nothing") == "done"


def test_an_answer_that_json_cannot_carry_is_text_all_the_same(serve: Any) -> None:
    client = serve(make_probe_server()).client()
    client.seed()
    assert client.tool("mangle") == "naïve ?"
    assert client.tool("mangle_and_fail") == "Error: mangle_and_fail failed: RuntimeError: naïve ?"
    assert client.tool("leak").startswith("Error: leak failed: Unable to serialize")
    assert client.tool("nothing") == "done"


def test_a_long_output_has_its_middle_cut(serve: Any) -> None:
    client = serve(make_probe_server(), max_output_characters=1000).client()
    client.seed()
    output = client.tool("talk")
    assert len(output) < 1100
    assert "999,000 characters left out" in output


@pytest.mark.parametrize("seconds", [0.1, 30])
def test_a_grader_may_wait_but_not_for_ever(serve: Any, rows: list[Row], seconds: float) -> None:
    class Patient(make_probe_server()):  # type: ignore[misc]
        async def grade(self, episode: Counter, expected: Any) -> float:
            await asyncio.sleep(seconds)
            return 0.5

    client = serve(Patient, tool_seconds=1).client()
    client.seed(rows[0])
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"]) == ((0.5, False) if seconds < 1 else (0.0, True))


def test_a_grader_that_gives_no_number_masks_the_sample(serve: Any, rows: list[Row]) -> None:
    client = serve(make_probe_server()).client()
    client.seed(rows[0])
    verdict = client.verdict(rows[0])
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (0.0, True, "verifier_error")


# ------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b"no json", b"\x00\xff", b'{"unknown": 1}', b"[" * 100_000, b" " * 10_000_000],
    ids=["empty", "no_fields", "list", "null", "text", "bytes", "unknown_field", "deep", "10_MB"],
)
def test_a_malformed_call_is_text_and_the_session_lives_on(client: Client, rows: list[Row], body: bytes) -> None:
    client.seed(rows[0])
    for name in tool_names(client):
        response = client.post(f"/{name}", data=body)
        assert response.status_code < 500
        assert response.json()["output"]
    assert client.verdict(rows[0])["mask_sample"] is False


def test_a_wrong_type_and_a_huge_argument_are_text(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    for tool in client.get("/tools").json():
        for value in (None, 7, ["a"], {"a": {}}, "a" * 4000, "\x00", "\ud800"):
            arguments = dict.fromkeys(tool["parameters"]["properties"], value)
            response = client.post(f"/{tool['name']}", json=arguments)
            assert response.status_code < 500, response.text
            assert response.json()["output"]


def test_an_unknown_tool_names_those_there_are(client: Client) -> None:
    response = client.post("/no_such_tool", json={})
    assert response.status_code == 404
    assert tool_names(client)[0] in response.json()["output"]


# ---------------------------------------------------------------------------------------------------------- grading


@pytest.mark.parametrize("number", ["1e999", "NaN", "9" * 5000])
def test_a_number_that_cannot_be_sent_back_is_refused(client: Client, rows: list[Row], number: str) -> None:
    client.seed(rows[0])
    body = verify_body(rows[0], play_row(client, rows[0]))
    text = json.dumps(body | {"temperature": "here"}).replace('"here"', number)
    assert client.post("/verify", data=text).status_code == 422
    assert client.post("/verify", json=body).json()["reward"] == 1.0


def test_a_response_may_hold_half_a_character(client: Client, rows: list[Row]) -> None:
    """A lone surrogate, which JSON can carry and UTF-8 cannot: a model's text cut in the wrong place."""
    client.seed(rows[0])
    body = verify_body(rows[0], play_row(client, rows[0]))
    body["response"]["output"][-1]["output"] += "\ud83d"
    response = client.post("/verify", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["reward"] == 1.0


def test_without_a_cookie_the_transcript_is_graded(live: LiveServer, rows: list[Row]) -> None:
    """A stored rollout, graded again: the seed document's way, or a masked sample where the grade needs state."""
    client = live.client()
    client.seed(rows[0])
    items = play_row(client, rows[0])
    verdict = live.client().verdict(rows[0], items)
    assert verdict["reward"] == 1.0 or verdict["mask_sample"]
    empty = live.client().verdict(rows[0])
    assert empty["reward"] == 0.0


@pytest.mark.parametrize("cookie", ["forged", "forged.signature", "a" * 5000, ""])
def test_a_forged_cookie_masks_the_sample(live: LiveServer, rows: list[Row], cookie: str) -> None:
    name = live.server.get_session_middleware_key()
    client = live.client()
    response = client.post("/verify", json=verify_body(rows[0]), headers={"Cookie": f"{name}={cookie}"})
    assert response.status_code == 200
    assert (response.json()["reward"], response.json()["failure_kind"]) == (0.0, "session_lost")
    tool = client.post(f"/{tool_names(client)[0]}", json={}, headers={"Cookie": f"{name}={cookie}"})
    assert tool.status_code in (410, 422)
    assert COOKIE not in tool.headers


def test_a_session_from_before_a_restart_masks_the_sample(serve: Any, rows: list[Row], monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_SESSION_SECRET", "the same before and after a restart")
    before, after = serve(), serve()
    client = before.client()
    client.seed(rows[0])
    items = play_row(client, rows[0])
    client.base_url = after.url
    verdict = client.verdict(rows[0], items)
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (0.0, True, "session_lost")
    assert verdict["instance_config"]["mask_sample"] is True
    assert "does not know" in verdict["failure_reason"]


def test_the_session_of_another_row_masks_the_sample(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    items = play_row(client, rows[0])
    verdict = client.verdict(rows[1], items)
    assert (verdict["reward"], verdict["failure_kind"]) == (0.0, "session_lost")


def test_a_claimed_output_earns_nothing(client: Client, rows: list[Row]) -> None:
    """The server's own state is graded, not what the transcript says."""
    expected = json.dumps(rows[0]["ground_truth"][0]["expected_output"])
    output = {"type": "function_call_output", "call_id": "call_1", "output": f"Found: {expected}. reward=1.0"}
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": f"The answer is {expected}", "annotations": []}],
    }
    client.seed(rows[0])
    assert client.verdict(rows[0], [output, message] * 3)["reward"] == 0.0


def test_the_answer_stands_in_no_prompt_and_no_schema(client: Client, rows: list[Row]) -> None:
    for row in rows:
        answer = row["ground_truth"][0]["expected_output"]
        shown = json.dumps(row["responses_create_params"]["input"]) + json.dumps(client.get("/tools").json())
        assert not isinstance(answer, str) or answer not in shown


def test_health_checks_are_answered(client: Client) -> None:
    for path in ("/", "/health", "/healthz", "/livez", "/readyz"):
        assert client.get(path).json() == {"status": "ok", "environment": project.environment_name()}
        assert client.head(path).status_code == 200


# ------------------------------------------------------------------------------------------------- schemas and data


def test_every_tool_is_described(client: Client) -> None:
    tools = client.get("/tools").json()
    assert tools == tool_schemas(make_server(project.server_class()).setup_webserver())
    assert tools
    for tool in tools:
        assert tool["type"] == "function"
        assert tool["description"]
        for name, field in tool["parameters"]["properties"].items():
            assert field.get("description"), f"{tool['name']}: describe the field {name}"


def test_every_row_lists_the_tools_of_the_server(client: Client) -> None:
    tools = client.get("/tools").json()
    for dataset in project.datasets():
        for number, row in enumerate(read_rows(dataset["name"])):
            assert row["responses_create_params"]["tools"] == tools, (
                f"{dataset['jsonl_fpath']}, row {number}: run `uv run python make_data.py`"
            )


def test_the_rows_are_valid_for_nemo_gym() -> None:
    from nemo_gym.base_resources_server import BaseRunRequest

    for dataset in project.datasets():
        rows = read_rows(dataset["name"])
        for row in rows:
            BaseRunRequest.model_validate(row)
            assert row["ground_truth"][0]["expected_output"] is not None
        assert len(rows) >= 5


def test_no_task_stands_in_two_datasets() -> None:
    seen: dict[str, str] = {}
    for split in [*(dataset["name"] for dataset in project.datasets()), "demo"]:
        for row in read_rows(split):
            key = json.dumps({name: value for name, value in row.items() if name != "task_id"})
            assert seen.setdefault(key, split) == split, f"a task of {split} stands in {seen[key]} too"


def test_the_verifier_cases_hold() -> None:
    """What `gym env test` runs on NeMo Gym 0.7. 0.4 knows no fixture."""
    from importlib.metadata import version

    import server

    if version("nemo-gym").startswith("0.4."):
        assert server.VERIFIER_FIXTURE is None
        return
    from nemo_gym.verifier_fixture import exercise_verifier_fixture

    results = asyncio.run(
        exercise_verifier_fixture(server.VERIFIER_FIXTURE, reward_range=(0.0, 1.0), determinism="seeded")
    )
    assert {result.kind for result in results} == {"full_reward", "zero_reward", "malformed", "determinism"}
