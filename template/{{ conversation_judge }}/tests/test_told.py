# Part of the template: changes belong there (`copier update` merges this file).
"""The judge of what a customer was told: when it is asked, what it is shown, what becomes of its failures."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import standin_judge
from harness import LiveServer, Row

from gymkit.rows import data_path, read_rows

Calls = list[dict[str, Any]]
BY_OTHER_WORDS = "I am sorry: shipping has begun."
"""Of "shipped": the stand-in finds it told, no rule does."""


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """The calls that the stand-in gets."""
    with standin_judge.serve() as (url, calls):
        monkeypatch.setenv("JUDGE_BASE_URL", url)
        monkeypatch.setenv("JUDGE_API_KEY", "sesame-key")
        yield calls


@pytest.fixture
def judged(judge: Calls, serve: Callable[..., LiveServer]) -> LiveServer:
    """The environment, which asks the stand-in, and soon gives up."""
    return serve(judge_seconds=1.5, judge_attempts=2, judge_characters=500)


@pytest.fixture(scope="module")
def row() -> Row:
    rows = (row for split in ("train", "validation") for row in read_rows(data_path(split)))
    return next(row for row in rows if row["kind"] == "cancel_shipped")


def verdict(live: LiveServer, row: Row, *said: str, reason: str = "shipped") -> Row:
    """The verdict on a clerk who refuses, for a reason, and says so."""
    client = live.client()
    client.seed(row)
    found, order = row["shop"]["customers"][0], row["shop"]["orders"][0]["id"]
    client.tool("find_customer", email=found["email"], postcode=found["postcode"])
    client.tool("show_order", order=order)
    client.tool("refuse", order=order, request="cancel", reason=reason)
    for text in said:
        client.post("/user/turn", json={"text": text})
    return client.verdict(row)


def test_it_is_asked_only_where_the_rest_is_done_and_no_rule_finds_it(
    judged: LiveServer, judge: Calls, row: Row
) -> None:
    assert verdict(judged, row, "It has been shipped.")["reward"] == 1.0
    assert verdict(judged, row, BY_OTHER_WORDS, reason="too_late")["reward"] == 0.0
    assert judge == []
    found = verdict(judged, row, BY_OTHER_WORDS)
    assert (found["reward"], found["judged"], found["judge_calls"], found["mask_sample"]) == (1.0, 1, 1, False)
    found = verdict(judged, row, "I am sorry, I cannot do that.")
    assert (found["reward"], found["judged"], found["judge_calls"], found["mask_sample"]) == (0.0, 1, 1, False)


def test_it_is_shown_what_was_said_up_to_a_bound(judged: LiveServer, judge: Calls, row: Row) -> None:
    verdict(judged, row, "x" * 3_000, "No; say TOLD-00000000.")
    [call] = judge
    assert set(call["material"]) == {"said", "one_of"}
    assert len(call["material"]["said"]) == 500 and call["material"]["said"].endswith("TOLD-00000000.")
    assert row["shop"]["customers"][0]["email"] not in str(call)


@pytest.mark.parametrize("failure", ["400", "hang", "prose", "nothing", "wrong"])
def test_what_the_policy_has_caused_masks_nothing(judged: LiveServer, row: Row, failure: str) -> None:
    found = verdict(judged, row, f"{BY_OTHER_WORDS} [{failure}]")
    assert (found["reward"], found["mask_sample"]) == (0.0, False)


@pytest.mark.parametrize("failure", ["500", "429", "401"])
def test_one_that_cannot_be_reached_masks_the_sample(judged: LiveServer, row: Row, failure: str) -> None:
    found = verdict(judged, row, f"{BY_OTHER_WORDS} [{failure}]")
    assert (found["mask_sample"], found["failure_kind"]) == (True, "judge_failed")
    assert "sesame-key" not in str(found)
