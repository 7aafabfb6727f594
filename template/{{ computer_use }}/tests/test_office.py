"""The tasks: what they begin with, when they are done, and that the player does them in the real application."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import LiveServer, played

from gymkit.rows import Row, data_path, read_rows
from office import OfficeTask, changed, initial_state
from tasks import KINDS, tasks

AT_ONCE = 4
"""Episodes that are played at the same time."""


def solved(task: OfficeTask) -> bytes:
    return json.dumps(task.wanted).encode()


def test_an_office_is_always_the_same_for_its_seed() -> None:
    assert initial_state(7) == initial_state(7)
    assert initial_state(7) != initial_state(8)


def test_every_task_changes_something_and_is_not_done_at_first() -> None:
    for split in tasks().values():
        for row in split:
            task = OfficeTask(row["office_seed"], row["expected_output"])
            for answer in ("", "done"):
                assert not task.fulfilled(None, answer)
                assert not task.fulfilled(json.dumps(task.initial).encode(), answer)
            assert task.fulfilled(solved(task), str(row["expected_output"].get("answer", "")))


def test_nothing_else_may_change() -> None:
    task = OfficeTask(1, {"settings/language": "Deutsch"})
    other = changed(task.wanted, {"note": "and this"})
    assert task.fulfilled(solved(task), "")
    assert not task.fulfilled(json.dumps(other).encode(), "")


def test_how_a_table_is_sorted_matters_only_where_the_task_says_so() -> None:
    view = {"view/sorted_by": "status"}
    task = OfficeTask(1, {"note": "new"})
    assert task.fulfilled(json.dumps(changed(task.wanted, view)).encode(), "")
    assert not OfficeTask(1, view).fulfilled(json.dumps(task.initial).encode(), "")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        *(("555-0100", True), (" 555-0100. ", True), ("555-0101", False), ("", False)),
        *(("555-0100 or 555-0101", False), ("It is 555-0100", False)),
    ],
)
def test_an_answer_is_compared_without_what_does_not_matter(answer: str, right: bool) -> None:
    assert OfficeTask(1, {"answer": "555-0100"}).fulfilled(None, answer) is right


@pytest.mark.parametrize("expected", [None, "note", [], {"nothing": 1}, {"contacts/99/phone": "1"}, {"note/x": 1}])
def test_changes_must_be_ones_that_the_application_can_have(expected: Any) -> None:
    with pytest.raises(ValueError, match="expected_output"):
        OfficeTask(1, expected)


@pytest.mark.parametrize("seed", [None, "1", 1.5, True])
def test_a_seed_is_a_number(seed: Any) -> None:
    with pytest.raises(ValueError, match="office_seed"):
        OfficeTask(seed, {"note": "new"})


def test_the_tasks_are_always_the_same() -> None:
    assert tasks() == tasks()


def rewards(served: LiveServer, rows: list[Row]) -> dict[str, float]:
    """The rewards of rows that the player has played, by their ids."""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(lambda row: played(served.client(), row), rows))
    return {verdict["task_id"]: verdict["reward"] for verdict in verdicts}


def test_the_player_does_a_task_of_each_kind(served: LiveServer) -> None:
    """By real clicks and keys, in the real application."""
    rows = read_rows(data_path("validation"))[: len(KINDS)]
    assert rewards(served, rows) == {row["task_id"]: 1.0 for row in rows}


def test_one_step_less_is_not_done(served: LiveServer, rows: list[Row]) -> None:
    shortened = [{**row, "oracle": [*row["oracle"][:-2], row["oracle"][-1]]} for row in rows]
    assert rewards(served, shortened) == {row["task_id"]: 0.0 for row in rows}


@pytest.mark.parametrize(("status", "reward"), [(None, 0.0), ("failure", 0.0), ("success", 1.0)])
def test_where_nothing_can_be_checked_the_agent_has_to_say_that_it_is_done(
    serve: Callable[..., LiveServer], rows: list[Row], status: str | None, reward: float
) -> None:
    """And only where the config trusts it."""
    row = {**rows[0], "ground_truth": [{"name": "office", "expected_output": {}}]}
    assert serve().client().post("/seed_session", json=row).status_code == 422
    client = serve(trust_terminate=True).client()
    client.seed(row)
    if status is not None:
        client.tool("terminate", status=status)
    assert client.verdict(row)["reward"] == reward
