"""gymkit's server over real HTTP, with a small environment of its own (probe.py): what all environments share."""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import Client, LiveServer, verify_body
from nemo_gym import base_resources_server as nemo
from probe import ROW, Log, ProbeServer
from test_contract import typed_seed

from gymkit import project
from gymkit.answers import Response
from gymkit.fixture import make_server
from gymkit.rows import Row

COOKIE = "set-cookie"
LOWEST = project.reward_range()[0]

Serve = Callable[..., LiveServer]


@pytest.fixture
def client(probe: LiveServer) -> Client:
    """A client of the probe environment, with no session yet."""
    return probe.client()


# --------------------------------------------------------------------------------------------------------- seeding


@pytest.mark.parametrize("body", [b"no json", b"[1]", b'"row"', b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_seed_with_something_else_is_refused(client: Client, body: bytes) -> None:
    response = client.post("/seed_session", data=body)
    assert response.status_code == 422
    assert response.json()["output"].startswith("Error: ")


def test_seed_with_a_row_that_makes_no_episode_is_refused(probe: LiveServer, client: Client) -> None:
    response = client.post("/seed_session", json={**ROW, "refuse": "the word is too long"})
    assert response.status_code == 422
    assert response.json()["output"] == "Error: No episode can be made from this row: the word is too long"
    assert len(probe.server._sessions) == 0


# ----------------------------------------------------------------------------------------------- the session's life


def test_the_cookie_goes_out_with_every_answer(client: Client) -> None:
    client.seed(ROW)
    answers = [
        client.post("/count", data=b"no json"),
        client.post("/no_such_tool", json={}),
        client.get("/no_such_page"),
        client.post("/count", data=b" " * 1_500_000),
        client.get("/health"),
        client.post("/verify", json={}),
        client.post("/verify", json=verify_body(ROW)),
        client.post("/count", json={}),
        client.post("/close_session", json={}),
    ]
    assert [answer.status_code for answer in answers] == [422, 404, 404, 413, 200, 200, 200, 410, 200]
    assert all(COOKIE in answer.headers for answer in answers)
    assert len({answer.headers[COOKIE] for answer in answers}) == 1


def test_verify_ends_the_session_and_answers_the_same_again(probe: LiveServer, client: Client) -> None:
    client.seed(ROW)
    first = client.verdict(ROW)
    assert first["reward"] == 1.0
    assert len(probe.server._sessions) == 0
    assert client.verdict(ROW) == first


def test_verify_adds_to_the_request_and_takes_nothing_away(client: Client) -> None:
    row = {**ROW, "reward": 0.25}
    client.seed(row)
    body = verify_body({**row, "instance_config": {"mask_sample": True}, "own": {"field": [1]}})
    verdict = client.post("/verify", json=body).json()
    assert verdict["reward"] == 0.25
    assert verdict.items() >= body.items()


def test_an_idle_session_is_ended_whatever_the_order_of_the_seeds(serve: Serve) -> None:
    live = serve(ProbeServer, idle_seconds=0.6)
    used, idle = live.client(), live.client()
    used.seed(ROW)
    idle.seed(ROW)
    deadline = time.monotonic() + 10
    while len(live.server._sessions) == 2 and time.monotonic() < deadline:
        assert used.get("/tools").status_code == 200
        time.sleep(0.05)
    assert used.get("/tools").status_code == 200
    assert len(live.server._sessions) == 1
    # It has been graded when it was ended: a policy gains nothing by waiting.
    assert idle.verdict(ROW)["reward"] == 1.0
    assert used.verdict(ROW)["reward"] == 1.0


def test_several_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="num_workers must be 1"):
        make_server(ProbeServer, num_workers=2)


# --------------------------------------------------------------------------------------------------- a full server


def test_beyond_the_cap_a_seed_gets_503(serve: Serve) -> None:
    live = serve(ProbeServer, max_sessions=2, wait_seconds=0.3)
    clients = [live.client() for _ in range(3)]
    for client in clients[:2]:
        client.seed(ROW)
    refused = clients[2].post("/seed_session", json=ROW)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert clients[0].verdict(ROW)["reward"] == 1.0
    clients[2].seed(ROW)
    # One that nobody has used for long gives way.
    for session in live.server._sessions._open.values():
        session.last_used -= 2 * live.server.config.idle_seconds
    live.client().seed(ROW)


def test_a_full_server_still_knows_its_sessions(serve: Serve) -> None:
    """NeMo Gym 0.7 asks for the same session again where the first answer was lost; 0.4 knows no such request."""
    if not hasattr(nemo, "ResourcesSeedSessionRequest"):
        return
    live = serve(ProbeServer, max_sessions=2, wait_seconds=0.3)
    for session_id in ("ended", "first", "second"):
        assert live.client().post("/seed_session", json=typed_seed(session_id, ROW)).status_code == 200
        if session_id == "ended":
            live.client().post("/close_session", json={"resources_session_id": session_id})
    again = live.client()
    assert again.post("/seed_session", json=typed_seed("second", ROW)).status_code == 200
    assert live.client().post("/seed_session", json=typed_seed("ended", ROW)).status_code == 409
    assert live.client().post("/seed_session", json=typed_seed("third", ROW)).status_code == 503
    assert live.client().post("/seed_session", data=b'"resources_session_id').status_code == 422
    assert again.verdict(ROW)["reward"] == 1.0
    assert live.client().post("/seed_session", json=typed_seed("third", ROW)).status_code == 200


def test_those_who_come_in_together_do_not_exceed_the_cap(serve: Serve) -> None:
    """There was room when the requests arrived, and is none any more."""
    live = serve(ProbeServer, max_sessions=4, wait_seconds=0.1)
    slow = {**ROW, "start_seconds": 0.3}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: live.client().post("/seed_session", json=slow), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [503] * 12
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status_code == 503)
    assert len(live.server._sessions) == 4


def test_the_same_typed_seed_at_once_begins_one_session(probe: LiveServer) -> None:
    """NeMo Gym 0.7 repeats a request whose answer was lost, also while the first is being worked on."""
    if not hasattr(nemo, "ResourcesSeedSessionRequest"):
        return
    seed = typed_seed("twice", {**ROW, "start_seconds": 0.3})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: probe.client().post("/seed_session", json=seed), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers[COOKIE] for answer in answers}) == 1
    assert len(probe.server._sessions) == 1


# --------------------------------------------------------------------------------------------- nobody waits for others


@pytest.mark.parametrize("tool", ["wait", "block"])
def test_parallel_calls_of_one_session_are_applied_one_after_the_other(probe: LiveServer, tool: str) -> None:
    client = probe.client()
    client.seed(ROW)
    cookies = client.cookies

    def call(_: int) -> str:
        return probe.client().post(f"/{tool}", json={"seconds": 0.03}, cookies=cookies).json()["output"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    assert max(answers, key=len) == " ".join(["in out"] * 8)


@pytest.mark.parametrize("tool", ["wait", "block"])
def test_sessions_do_not_wait_for_each_other(probe: LiveServer, tool: str) -> None:
    def episode(_: int) -> None:
        client = probe.client()
        client.seed(ROW)
        client.tool(tool, seconds=0.3)

    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(episode, range(16)))
    assert time.monotonic() - started < 3  # one after the other: 4.8 s


@pytest.mark.parametrize("what", ["start_seconds", "grade_seconds", "block"])
def test_what_blocks_holds_up_nobody(probe: LiveServer, what: str) -> None:
    """`def new_episode`, `def grade` and `def` tools run off the event loop."""
    client, seconds = probe.client(), 1.0

    def slow() -> None:
        row = {**ROW, what: seconds}
        client.seed(row)
        if what == "block":
            client.tool("block", seconds=seconds)
        assert client.verdict(row)["reward"] == 1.0

    longest = 0.0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow)
        while not running.done():
            started = time.monotonic()
            assert probe.client().get("/health").status_code == 200
            longest = max(longest, time.monotonic() - started)
        running.result()
    assert longest < seconds / 2


def test_tools_that_hang_keep_no_episode_from_beginning_or_being_graded(serve: Serve) -> None:
    live = serve(ProbeServer, threads=2, tool_seconds=1)
    hanging = [live.client() for _ in range(4)]
    for client in hanging:
        client.seed(ROW)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.tool, "block", seconds=1.5) for client in hanging]
        time.sleep(0.2)
        client = live.client()
        started = time.monotonic()
        client.seed(ROW)
        assert client.verdict(ROW)["reward"] == 1.0
        assert time.monotonic() - started < 0.7
        assert all("took more than 1 seconds" in call.result() for call in calls)


# -------------------------------------------------------------------------------------------------------- time limits


@pytest.mark.parametrize("tool", ["wait", "block"])
def test_a_tool_that_takes_too_long_is_text_and_the_session_lives_on(serve: Serve, tool: str) -> None:
    client = serve(ProbeServer, tool_seconds=0.3).client()
    client.seed(ROW)
    assert "took more than 0.3 seconds" in client.tool(tool, seconds=0.9)
    if tool == "block":  # A thread cannot be stopped: its session waits for it, and says so.
        assert "still running" in client.tool(tool, seconds=0)
        time.sleep(0.8)
    assert client.tool(tool, seconds=0) == "in out in out"


def test_an_episode_that_takes_too_long_to_begin_is_refused_and_released(serve: Serve) -> None:
    live = serve(Releasing, tool_seconds=0.2)
    refused = live.client().post("/seed_session", json={**ROW, "start_seconds": 0.5})
    assert refused.status_code == 503
    assert "new_episode() took more than 0.2 seconds" in refused.json()["output"]
    assert len(live.server._sessions) == 0
    assert released(live) == [[]]


@pytest.mark.parametrize("by", ["the verdict", "a close"])
def test_a_grader_that_takes_too_long_gives_the_lowest_reward(serve: Serve, by: str) -> None:
    """And what it works on is released only when it has ended."""
    live = serve(Releasing, tool_seconds=0.2)
    client = live.client()
    row = {**ROW, "grade_seconds": 0.6}
    client.seed(row)
    if by == "a close":
        assert client.post("/close_session", json={}).status_code == 200
    verdict = client.verdict(row)
    assert (verdict["reward"], verdict["mask_sample"]) == (LOWEST, False)
    assert verdict["failure_kind"] == "verifier_error"
    assert verdict["failure_reason"] == "grade() took more than 0.2 seconds."
    assert live.server.released == []
    assert released(live) == [["graded"]]


def test_what_a_tool_still_works_on_is_released_when_the_tool_has_ended(serve: Serve) -> None:
    live = serve(Releasing, tool_seconds=0.2)
    client = live.client()
    client.seed(ROW)
    assert "took more than" in client.tool("block", seconds=0.8)
    verdict = client.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (LOWEST, False)
    assert live.server.released == []
    assert released(live) == [["in", "out"]]


def released(live: LiveServer) -> list[list[str]]:
    """What has been released, when something has."""
    deadline = time.monotonic() + 5
    while not live.server.released and time.monotonic() < deadline:
        time.sleep(0.02)
    return live.server.released


class Releasing(ProbeServer):
    """It keeps account of what has been released."""

    released: list[list[str]] = []  # noqa: RUF012  pydantic copies it for each server

    def end_episode(self, episode: Log) -> None:
        self.released.append(episode.log)


class Patient(ProbeServer):
    """Its grader is a coroutine function."""

    async def grade(self, episode: Log, row: Row, response: Response) -> float:
        await asyncio.sleep(row["grade_seconds"])
        return 0.5


def test_a_grader_may_wait_but_not_for_ever(serve: Serve) -> None:
    live = serve(Patient, tool_seconds=0.5)
    for seconds, reward in ((0.05, 0.5), (30, LOWEST)):
        client, row = live.client(), {**ROW, "grade_seconds": seconds}
        client.seed(row)
        verdict = client.verdict(row)
        assert (verdict["reward"], verdict["mask_sample"]) == (reward, False)


def test_a_tool_stops_when_its_client_has_gone(probe: LiveServer) -> None:
    client = probe.client()
    client.seed(ROW)
    with pytest.raises(Exception, match="timed out"):
        client.post("/wait", json={"seconds": 30}, timeout=0.3)
    started = time.monotonic()
    assert client.tool("wait", seconds=0) == "in out in out"
    assert time.monotonic() - started < 5


# ------------------------------------------------------------------------------------------------- what tools answer


def test_a_tool_that_raises_is_text_and_the_session_lives_on(client: Client) -> None:
    client.seed(ROW)
    response = client.post("/fail", json={})
    assert response.status_code == 200
    assert response.json() == {"output": "Error: fail failed: RuntimeError: the disk is full"}
    assert client.tool("nothing") == "done"


def test_an_answer_that_json_cannot_carry_is_text_all_the_same(client: Client) -> None:
    client.seed(ROW)
    assert client.tool("mangle") == "naïve ?"
    assert client.tool("mangle_and_fail") == "Error: mangle_and_fail failed: RuntimeError: naïve ?"
    assert client.tool("leak").startswith("Error: leak failed: Unable to serialize")
    assert client.tool("nothing") == "done"


def test_a_tool_may_answer_with_a_model_of_its_own(client: Client) -> None:
    client.seed(ROW)
    assert client.post("/count", json={}).json() == {"count": 0}


def test_a_long_output_has_its_middle_cut(serve: Serve) -> None:
    client = serve(ProbeServer, max_output_characters=1000).client()
    client.seed(ROW)
    output = client.tool("talk")
    assert len(output) < 1100
    assert "999,000 characters left out" in output


def test_a_call_without_a_cookie_begins_an_episode(probe: LiveServer, client: Client) -> None:
    answer = client.post("/count", json={})
    assert answer.json() == {"count": 0}
    assert answer.headers["X-Session-Note"] == "the cookie was missing"
    assert client.tool("wait", seconds=0) == "in out"
    assert len(probe.server._sessions) == 1


# ---------------------------------------------------------------------------------------------------------- grading


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), "much", None, []])
def test_a_grader_that_gives_no_number_gives_the_lowest_reward(serve: Serve, reward: Any) -> None:
    class Confused(ProbeServer):
        def grade(self, episode: Log, row: Row, response: Response) -> Any:
            return reward

    client = serve(Confused).client()
    client.seed(ROW)
    verdict = client.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (LOWEST, False)
    assert verdict["failure_kind"] == "verifier_error"


def test_a_grader_sees_the_whole_row_and_the_response(serve: Serve) -> None:
    class Curious(ProbeServer):
        def grade(self, episode: Log, row: Row, response: Response) -> float:
            assert row == {**ROW, "own": 0.75}
            return row["own"] if response.model == "test" else 0.0

    client = serve(Curious).client()
    client.seed({**ROW, "own": 0.75})
    assert client.verdict({**ROW, "own": 0.75})["reward"] == 0.75


@pytest.mark.parametrize("number", ["1e999", "NaN", "9" * 5000])
def test_a_number_that_cannot_be_sent_back_is_refused(client: Client, number: str) -> None:
    client.seed(ROW)
    text = json.dumps(verify_body(ROW) | {"temperature": "here"}).replace('"here"', number)
    assert client.post("/verify", data=text).status_code == 422
    assert client.verdict(ROW)["reward"] == 1.0


@pytest.mark.parametrize("cookie", ["forged", "forged.signature", "a" * 5000, ""])
def test_a_forged_cookie_masks_the_sample(probe: LiveServer, cookie: str) -> None:
    headers = {"Cookie": f"{probe.server.get_session_middleware_key()}={cookie}"}
    client = probe.client()
    response = client.post("/verify", json=verify_body(ROW), headers=headers)
    assert response.status_code == 200
    assert (response.json()["reward"], response.json()["failure_kind"]) == (0.0, "session_lost")
    tool = client.post("/count", json={}, headers=headers)
    assert tool.status_code == 410
    assert COOKIE not in tool.headers


def test_a_session_from_before_a_restart_masks_the_sample(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV_SESSION_SECRET", "the same before and after a restart")
    before, after = serve(ProbeServer), serve(ProbeServer)
    client = before.client()
    client.seed(ROW)
    client.base_url = after.url
    verdict = client.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (0.0, True, "session_lost")
    assert verdict["instance_config"]["mask_sample"] is True
    assert "does not know" in verdict["failure_reason"]


def test_a_transcript_is_graded_where_the_config_says_so(serve: Serve) -> None:
    row = {**ROW, "ground_truth": [{"expected_output": "crane"}]}
    call = {"type": "function_call", "id": "f", "call_id": "c", "name": "any", "arguments": "{}", "status": "completed"}
    live = serve(ProbeServer, grade_transcripts=True)
    for output, reward in (("it is crane", 1.0), ("it is not", 0.0)):
        answer = {"type": "function_call_output", "call_id": "c", "output": output}
        assert live.client().verdict(row, [call, answer])["reward"] == reward
    assert live.client().verdict(ROW)["mask_sample"] is True
