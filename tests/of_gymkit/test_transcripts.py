"""`/verify` takes the responses that agents really send, on both lines of NeMo Gym.

transcripts.json holds what five agents of NeMo Gym 0.7 make of an episode, by their own code.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Client, LiveServer, says, verify_body
from probe import ROW, Log, ProbeServer

from gymkit.answers import final_answer
from gymkit.responses import OtherItem, Response, read_response
from gymkit.rows import Row

Serve = Callable[..., LiveServer]

TRANSCRIPTS: dict[str, Row] = json.loads(Path(__file__).with_name("transcripts.json").read_text(encoding="utf-8"))
SAID = "The answer is crane."


class Listening(ProbeServer):
    """What is said last, and which items there are, decide."""

    def grade(self, episode: Log, row: Row, response: Response) -> float:
        assert [item.type for item in response.output] == row["kinds"]
        return float(final_answer(response).endswith(SAID))


@pytest.fixture(scope="module")
def client(serve_for_all: Serve) -> Client:
    return serve_for_all(Listening).client()


def verified(client: Client, response: Row) -> Row:
    row = {**ROW, "kinds": [item["type"] for item in response["output"]]}
    client.seed(row)
    body = {**verify_body(row), "response": response}
    answered = client.post("/verify", json=body)
    assert answered.status_code == 200, answered.text
    verdict = answered.json()
    assert verdict["response"] == response
    assert (verdict["reward"], verdict["mask_sample"]) == (1.0, False), verdict.get("failure_reason")
    return verdict


@pytest.mark.parametrize("agent", TRANSCRIPTS)
def test_what_an_agent_of_nemo_gym_makes_is_graded(client: Client, agent: str) -> None:
    assert len(TRANSCRIPTS[agent]["output"]) > 1
    verified(client, TRANSCRIPTS[agent])


SPEECH = {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": SAID}]}


@pytest.mark.parametrize(
    ("output", "fields"),
    [
        ([SPEECH], {}),
        ([{**SPEECH, "status": None, "id": None}], {}),
        ([{**SPEECH, "content": SAID}], {}),
        ([{"type": "message", "role": "assistant", "content": None}, SPEECH], {}),
        ([{"type": "reasoning", "summary": None, "id": None}, SPEECH], {}),
        ([{"type": "function_call", "call_id": "c", "name": "x", "arguments": "{}", "status": None}, SPEECH], {}),
        ([{"type": "function_call_output", "call_id": "c", "output": None}, SPEECH], {}),
        ([{"type": "kind_of_next_year", "own": [1]}, SPEECH], {}),
        ([says(SAID)], {"usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}),
        ([says(SAID)], {"usage": {"input_tokens": None, "input_tokens_details": None}}),
        ([says(SAID)], {"tools": [{"type": "kind_of_next_year"}], "tool_choice": None, "id": None}),
        (
            [says(SAID)],
            {"status": "of_next_year", "created_at": None, "metadata": {"n": 1}, "parallel_tool_calls": None},
        ),
    ],
)
def test_what_has_no_part_in_the_grade_refuses_no_verdict(client: Client, output: list[Any], fields: Row) -> None:
    verified(client, {**verify_body(ROW)["response"], "output": output, **fields})


def test_an_item_of_an_unknown_kind_keeps_its_fields() -> None:
    [item] = read_response({"output": [{"type": "kind_of_next_year", "own": [1]}]}).output
    assert isinstance(item, OtherItem)
    assert item.model_dump() == {"type": "kind_of_next_year", "own": [1]}


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (None, "response: it has no list `output`"),
        ({}, "response: it has no list `output`"),
        ({"output": {}}, "response: it has no list `output`"),
        ({"output": [says(SAID), 7]}, "response.output.1: an item is an object with a `type`"),
        ({"output": [{"own": 1}]}, "response.output.0: an item is an object with a `type`"),
    ],
)
def test_what_is_no_response_is_refused_in_a_line(client: Client, response: Any, says: str) -> None:
    client.seed(ROW)
    refused = client.post("/verify", json={**verify_body(ROW), "response": response})
    assert refused.status_code == 422
    assert says in refused.json()["output"]
