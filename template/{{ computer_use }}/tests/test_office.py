"""The tasks: what they begin with, when they are done, and that the player does them in the real application."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import SERVER_CLASS, LiveServer, played

from desktop import DesktopLost, ProviderLost
from gymkit.cli import load_server
from gymkit.fixture import make_server
from gymkit.rows import Row, data_path, read_rows
from gymkit.server import EnvironmentFailed
from office import COMMAND, STATE_FILE, OfficeTask, changed, initial_state
from tasks import KINDS, tasks

AT_ONCE = 4
"""Episodes that are played at the same time."""


def solved(task: OfficeTask) -> bytes:
    return json.dumps(task.wanted).encode()


def test_an_office_is_always_the_same_for_its_seed() -> None:
    assert initial_state(7) == initial_state(7)
    assert initial_state(7) != initial_state(8)


def test_the_offices_are_those_of_the_rows() -> None:
    """A row holds the seed alone: where this fails, what a seed makes has changed, and `gymkit data` has to be run."""
    offices = json.dumps([initial_state(seed) for seed in range(50)], sort_keys=True)
    assert hashlib.sha256(offices.encode()).hexdigest()[:16] == "960c96cee0868ad2"


@pytest.mark.parametrize("split", ["demo", "example", "validation", "train"])
def test_the_rows_are_those_of_the_tasks(split: str) -> None:
    made = tasks()[split]
    rows = read_rows(data_path(split))
    assert [row["ground_truth"][0]["expected_output"] for row in rows] == [task["expected_output"] for task in made]
    assert [row["oracle"] for row in rows] == [task["oracle"] for task in made]


def test_the_application_begins_with_the_office_of_its_task() -> None:
    files = OfficeTask(7, {"note": "new"}).files()
    assert json.loads(files.pop(STATE_FILE)) == initial_state(7)
    assert set(files) == {COMMAND[-1], "office_layout.py"}
    assert all(b"SCREEN" in program for program in files.values())


def test_what_is_deleted_is_gone_and_nothing_else() -> None:
    before = initial_state(7)
    after = changed(before, {"contacts/3": None, "orders/1001/quantity": 7, "contacts/99": {"name": "New"}})
    assert after["contacts"].keys() == before["contacts"].keys() - {"3"} | {"99"}
    assert after["orders"]["1001"] == before["orders"]["1001"] | {"quantity": 7}
    assert "3" in before["contacts"]
    for key in ("todo", "note", "settings", "view"):
        assert after[key] == before[key]


@pytest.mark.parametrize("saved", [b"", b"no json", b"[]", b"5", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_state_is_not_done(saved: bytes) -> None:
    assert not OfficeTask(1, {"answer": "1"}).fulfilled(saved, "1")


def test_a_task_without_changes_has_no_state() -> None:
    assert not OfficeTask(1, {}).has_state
    assert OfficeTask(1, {"answer": "5"}).has_state
    assert OfficeTask(1, {"answer": 5}).fulfilled(None, "5")


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


@pytest.mark.parametrize(
    ("seed", "expected"), [("1" * 1000, {}), (1, "x" * 1000), (1, {"x" * 1000: 1})], ids=["seed", "expected", "path"]
)
def test_a_long_mistake_is_not_repeated_in_full(seed: Any, expected: Any) -> None:
    with pytest.raises(ValueError, match=r"office_seed|expected_output") as raised:
        OfficeTask(seed, expected)
    assert len(str(raised.value)) == 200


# ----------------------------------------------------------------------------------------------------------- the grade


class NoFile:
    """A desktop from which nothing can be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def when_still(self, quiet: float, limit: float, look: Any) -> Any:
        raise DesktopLost("it is gone")

    async def read_file(self, name: str) -> bytes:
        raise self.error


@pytest.mark.parametrize("error", [FileNotFoundError("no file"), DesktopLost("it is gone")])
def test_a_state_that_cannot_be_read_earns_nothing(error: Exception) -> None:
    verdict = graded(NoFile(error))
    assert (verdict.reward, verdict.masked, verdict.failure_kind) == (0.0, False, "verifier_error")


def test_a_provider_that_is_lost_masks_the_sample() -> None:
    with pytest.raises(EnvironmentFailed, match="no answer"):
        graded(NoFile(ProviderLost("no answer")))


def graded(desktop: Any) -> Any:
    """The verdict on an episode with a desktop."""
    episode = load_server().Episode(OfficeTask(1, {"note": "new"}), pictures=False, desktop=desktop)
    return asyncio.run(make_server(SERVER_CLASS).grade(episode, {}, None))


@pytest.mark.parametrize(("status", "reward"), [("success", 1.0), ("failure", 0.0), (None, 0.0)])
def test_a_task_without_a_state_is_done_when_the_agent_says_so(
    serve: Callable[..., LiveServer], rows: list[Row], status: str | None, reward: float
) -> None:
    """Where the config trusts it."""
    client = serve(trust_terminate=True).client()
    row = {**rows[0], "ground_truth": [{"expected_output": {}}]}
    client.seed(row)
    if status is not None:
        client.tool("terminate", status=status, answer="")
    verdict = client.verdict(row)
    assert (verdict["reward"], verdict.get("failure_kind")) == (reward, None)


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
