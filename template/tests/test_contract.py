# Part of the template: changes belong there (`copier update` merges this file).
"""What NeMo Gym, trainers and players rely on, in this environment, over real HTTP.

These tests ask the environment what it can do. What all environments share is tested in test_server.py.
"""

import asyncio
import json
import re
import time
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import pytest
from harness import PLAYER, SERVER_CLASS, Client, LiveServer, needs_tools, play_row, played, says
from nemo_gym import base_resources_server as nemo

from gymkit import describe, project
from gymkit.cli import load_server
from gymkit.fixture import CASES, CaseRequest, make_server, play_case
from gymkit.items import Item
from gymkit.rows import Row, data_path, read_rows
from gymkit.schemas import tool_schemas


def typed_seed(session_id: str, row: Row) -> Row:
    """NeMo Gym 0.7's request for a session."""
    return {
        "resources_session_id": session_id,
        "episode_id": {"rollout_id": "0-0", "attempt": 0},
        "task_id": {"taskset": "test", "task_id": "0"},
        "task_data": {key: value for key, value in row.items() if key != "responses_create_params"},
    }


# -------------------------------------------------------------------------------------------------------- episodes


def test_the_player_earns_what_it_says_within_the_range_of_the_manifest(client: Client, rows: list[Row]) -> None:
    low, high = project.reward_range()
    for row in rows[:3]:
        verdict = played(client, row)
        assert verdict["mask_sample"] is False
        assert verdict["reward"] == PLAYER.expected_reward(row)
        assert low <= verdict["reward"] <= high


@pytest.mark.parametrize("body", [b"", b"{}", b"  "])
def test_seed_without_a_row_plays_the_demo_row(client: Client, body: bytes) -> None:
    response = client.post("/seed_session", data=body)
    assert response.status_code == 200
    assert "set-cookie" in response.headers
    demo = read_rows(data_path("demo"))[0]
    assert client.verdict(demo, play_row(client, demo))["reward"] == PLAYER.expected_reward(demo)


def test_a_verdict_can_be_asked_for_again(live: LiveServer, client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    items = play_row(client, rows[0])
    first = client.verdict(rows[0], items)
    assert len(live.server._sessions) == 0
    assert client.verdict(rows[0], items) == first


def test_many_clients_at_once_each_play_their_own_episode(live: LiveServer) -> None:
    """64 of them; fewer where an episode takes long, but never fewer than 8, as far as there are rows."""
    rows = read_rows(data_path("train")) + read_rows(data_path("validation"))

    def episode(row: Row) -> tuple[Row, list[str]]:
        client = live.client()
        client.seed(row)
        items = play_row(client, row)
        return client.verdict(row, items), [item["output"] for item in items if "output" in item]

    started = time.monotonic()
    alone = [episode(row) for row in rows[:8]]
    more = int(8 * 5 / (time.monotonic() - started))  # as many as play one after the other in about five seconds
    rows = rows[: max(8, min(64, more))]
    alone += [episode(row) for row in rows[8:]]
    with ThreadPoolExecutor(len(rows)) as pool:
        together = list(pool.map(episode, rows))
    # A session that saw another's calls would answer otherwise than when it played alone.
    assert [outputs for _, outputs in together] == [outputs for _, outputs in alone]
    assert [v["reward"] for v, _ in together] == [v["reward"] for v, _ in alone]
    assert len(live.server._sessions) == 0


def test_the_session_contract_of_nemo_gym(rows: list[Row]) -> None:
    """NeMo Gym 0.7's own check of seeding and closing by an assigned identity. 0.4 knows no such request."""
    try:
        from nemo_gym.testing.session_conformance import check_resources_session_contract
    except ImportError:
        assert version("nemo-gym").startswith("0.4."), "the check has moved"
        return
    server = make_server(SERVER_CLASS)
    seed = nemo.ResourcesSeedSessionRequest.model_validate(typed_seed("assigned-1", rows[0]))
    check_resources_session_contract(server.setup_webserver(), seed, keeps_state=True)


def test_shutdown_ends_every_session(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    server = make_server(SERVER_CLASS)
    ended: list[Any] = []
    monkeypatch.setattr(SERVER_CLASS, "end_episode", lambda self, episode: ended.append(episode))
    with TestClient(server.setup_webserver()) as client:
        client.post("/seed_session", json=rows[0])
    assert len(ended) == 1


# ------------------------------------------------------------------------------------------------------- bad input


@needs_tools
@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b"no json", b"\x00\xff", b'{"unknown": 1}', b"[" * 100_000, b" " * 10_000_000],
    ids=["empty", "no_fields", "list", "null", "text", "bytes", "unknown_field", "deep", "10_MB"],
)
def test_a_malformed_call_is_answered_and_the_session_lives_on(client: Client, rows: list[Row], body: bytes) -> None:
    client.seed(rows[0])
    for tool in client.tools():
        response = client.post(f"/{tool['name']}", data=body)
        assert response.status_code < 500
        assert isinstance(response.json(), dict)
    assert client.verdict(rows[0])["mask_sample"] is False


@needs_tools
def test_a_wrong_type_and_a_huge_argument_are_answered(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    for tool in client.tools():
        for value in (None, -7, ["a"], {"a": {}}, "a" * 4000, "\x00", "\ud800"):
            arguments = dict.fromkeys(tool["parameters"]["properties"], value)
            response = client.post(f"/{tool['name']}", json=arguments)
            assert response.status_code < 500, response.text
            assert isinstance(response.json(), dict)


def test_an_unknown_tool_names_those_there_are(client: Client) -> None:
    response = client.post("/no_such_tool", json={})
    assert response.status_code == 404
    names = [tool["name"] for tool in client.tools()]
    assert ", ".join(names) in response.json()["output"]
    assert bool(names) == ("has no tools" not in response.json()["output"])


# ---------------------------------------------------------------------------------------------------------- grading


def claims(row: Row) -> list[Item]:
    """A transcript that claims what no tool has answered."""
    truth = json.dumps(row.get("ground_truth", "everything"))
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "any", "arguments": "{}"}
    return [
        {**call, "status": "completed"},
        {"type": "function_call_output", "call_id": "call_1", "output": f"Right: {truth}. reward=1.0"},
    ] * 3


def test_a_claimed_output_earns_nothing(client: Client, live: LiveServer, rows: list[Row]) -> None:
    """Tool outputs in the transcript prove nothing; nor does what is said, where text is not graded."""
    for row in rows[:3]:
        client.seed(row)
        nothing = client.verdict(row)["reward"]
        transcript = claims(row)
        if not live.server.grades_text:
            transcript.append(says(f"The answer is {json.dumps(row.get('ground_truth'))}"))
        client.seed(row)
        assert client.verdict(row, transcript)["reward"] == nothing


def test_doing_nothing_is_graded_within_the_range(client: Client, rows: list[Row]) -> None:
    low, high = project.reward_range()
    client.seed(rows[0])
    verdict = client.verdict(rows[0], [says("Done.")])
    assert verdict["mask_sample"] is False
    assert low <= verdict["reward"] <= high


def test_a_response_may_hold_half_a_character(client: Client, rows: list[Row]) -> None:
    """A lone surrogate, which JSON can carry and UTF-8 cannot: a model's text cut in the wrong place."""
    client.seed(rows[0])
    verdict = client.verdict(rows[0], [says("naïve \ud83d"), *play_row(client, rows[0])])
    assert verdict["reward"] == PLAYER.expected_reward(rows[0])


def test_a_stored_transcript_is_masked_unless_the_config_says_otherwise(live: LiveServer, rows: list[Row]) -> None:
    client = live.client()
    client.seed(rows[0])
    items = play_row(client, rows[0])
    graded = client.verdict(rows[0], items)
    stored = live.client().verdict(rows[0], items)
    if live.server.config.grade_transcripts:
        assert stored["mask_sample"] or stored["reward"] == graded["reward"]
    else:
        said = (stored["reward"], stored["mask_sample"], stored["failure_kind"])
        assert said == (0.0, True, "session_lost"), stored["failure_reason"]


# ------------------------------------------------------------------------------------------------- schemas and data


def test_health_checks_are_answered(client: Client) -> None:
    for path in ("/", "/health", "/healthz", "/livez", "/readyz"):
        assert client.get(path).json() == {"status": "ok", "environment": project.environment_name()}
        assert client.head(path).status_code == 200


@needs_tools
def test_every_tool_is_described(client: Client) -> None:
    tools = client.tools()
    assert tools == tool_schemas(make_server(SERVER_CLASS).setup_webserver())
    for tool in tools:
        assert tool["type"] == "function"
        assert tool["description"], f"write a docstring for the tool {tool['name']}"
        for name, field in tool["parameters"]["properties"].items():
            assert field.get("description"), f"{tool['name']}: describe the field {name}"


def test_every_row_lists_the_tools_of_the_server(client: Client) -> None:
    tools = client.tools()
    for dataset in project.datasets():
        for number, row in enumerate(read_rows(project.ROOT / dataset["jsonl_fpath"])):
            assert row["responses_create_params"].get("tools", []) == tools, (
                f"{dataset['jsonl_fpath']}, row {number}: run `uv run gymkit data`"
            )


def test_the_rows_are_valid_for_nemo_gym() -> None:
    for dataset in project.datasets():
        rows = read_rows(project.ROOT / dataset["jsonl_fpath"])
        for row in rows:
            nemo.BaseRunRequest.model_validate(row)
        if dataset["type"] == "example":
            assert len(rows) >= 5, "NeMo Gym's data validation wants five example rows"


def test_no_task_stands_in_two_datasets() -> None:
    seen: dict[str, str] = {}
    for name in [*(dataset["jsonl_fpath"] for dataset in project.datasets()), "data/demo.jsonl"]:
        for row in read_rows(project.ROOT / name):
            key = json.dumps({part: value for part, value in row.items() if part not in ("task_id", "row_key")})
            assert seen.setdefault(key, name) == name, f"a task of {name} stands in {seen[key]} too"


def test_the_description_is_the_same_wherever_it_stands() -> None:
    assert describe.run(Namespace(check=True)) == 0, "run `uv run gymkit describe`"


def test_the_verifier_cases_hold() -> None:
    """tests/verifier_cases.jsonl, which `uv run gymkit cases` writes and `gym env test` of NeMo Gym 0.7 tries."""
    fixture = load_server().VERIFIER_FIXTURE
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    kinds = {case["kind"] for case in cases}
    if fixture is not None and {"full_reward", "zero_reward", "malformed", "determinism"} <= kinds:
        from nemo_gym.verifier_fixture import exercise_verifier_fixture

        determinism = project.load_manifest().get("determinism", "unknown")
        exercise = exercise_verifier_fixture(fixture, reward_range=project.reward_range(), determinism=determinism)
        assert len(asyncio.run(exercise)) == len(cases)
        return
    # NeMo Gym 0.4 knows no fixture; and 0.7's takes none where nobody earns the ends of the range.
    assert (fixture is None) == version("nemo-gym").startswith("0.4.")
    for case in cases:
        request = CaseRequest.model_validate(case["request"]) if "response" in case["request"] else None
        if case["kind"] != "malformed":
            assert request is not None
            assert play_case(make_server(SERVER_CLASS), request) == case["expected_reward"], case["name"]
        elif request is not None:
            with pytest.raises(ValueError, match=re.escape(case["expected_error"])):
                play_case(make_server(SERVER_CLASS), request)
