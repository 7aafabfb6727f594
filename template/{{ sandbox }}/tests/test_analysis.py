"""The tasks, their rules, and the player."""

import json

import pytest
from harness import Client, Row, play_row, read_rows

import analysis
from analysis import KINDS, Notebook, same_answer, same_content


@pytest.mark.parametrize(
    ("given", "expected", "same"),
    [
        ("12.5", 12.5, True),
        (" 12.50\n", 12.5, True),
        ("12.504", 12.5, True),
        ("12.51", 12.5, False),
        ("1,234.50", 1234.5, True),
        ("1234.5", 1234.5, True),
        ("1,2,3,4.5", 1234.5, False),
        ("1e3", 1000, True),
        ("+7", 7, True),
        ("7.0", 7, True),
        ("-7", 7, False),
        ("7 8", 7, False),
        ("7 or 8", 7, False),
        ("The answer is 7", 7, False),
        ("0x7", 7, False),
        ("٧", 7, False),
        ("nan", 7, False),
        ("inf", 7, False),
        ("-inf", 7, False),
        ("1e999", 7, False),
        ("", 7, False),
        ("7" + " " * 500, 7, True),
        ("0" * 500 + "7", 7, False),
        ("ember", "ember", True),
        (" Ember ", "ember", True),
        ("embers", "ember", False),
        ("ember oak", "ember", False),
        ("oak, ember", "ember", False),
        ("", "ember", False),
        ("\x00", "ember", False),
    ],
)
def test_the_whole_of_an_answer_counts(given: str, expected: float | str, same: bool) -> None:
    assert same_answer(given, expected) is same


@pytest.mark.parametrize("given", ["nan", "inf", "1e999"])
def test_a_number_that_is_none_is_no_answer_in_a_file(given: str) -> None:
    assert not same_content("a.csv", f"n\n{given}\n".encode(), "n\n7\n")
    constant = {"nan": "NaN", "inf": "Infinity"}.get(given, given)
    assert not same_content("a.json", f"[{constant}]".encode(), "[7]")


@pytest.mark.parametrize(
    ("name", "given", "same"),
    [
        ("a.csv", b"x,y\nleft,1.50\n", True),
        ("a.csv", b"\xef\xbb\xbfx,y\r\nleft,1.5\r\n\r\n", True),
        ("a.csv", b"x,y\nleft,1.6\n", False),
        ("a.csv", b"x,y\nleft,1.50\nleft,1.50\n", False),
        ("a.csv", b"x,y\nleft\n", False),
        ("a.csv", b"", False),
        ("a.csv", b"\x00\xff" * 10, False),
        ("a.json", b'{"b": 2.0, "a": ["x"]}', True),
        ("a.json", b'{"b": 2, "a": ["x", "x"]}', False),
        ("a.json", b'{"b": true, "a": ["x"]}', False),
        ("a.json", b'{"b": "2", "a": ["x"]}', False),
        ("a.json", b'{"b": 2, "a": ["x"], "c": 1}', False),
        ("a.json", b"[" * 100_000, False),
        ("a.json", b"no json", False),
    ],
)
def test_files_are_compared_by_what_they_say(name: str, given: bytes, same: bool) -> None:
    expected = "x,y\nleft,1.50\n" if name.endswith(".csv") else '{"a": ["x"], "b": 2}'
    assert same_content(name, given, expected) is same


def test_the_first_answer_counts() -> None:
    notebook = Notebook({}, 7)
    assert notebook.score(None) == 0.0
    notebook.submit("8")
    assert "only the first one counts" in notebook.submit("7")
    assert notebook.score(None) == 0.0


def test_a_result_file_is_wanted_beside_the_answer() -> None:
    notebook = Notebook({}, [7, "n\n7\n"], "a.csv")
    notebook.submit("7")
    assert [notebook.score(result) for result in (None, b"", b"n\n8\n", b"n\n7\n")] == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("files", "expected", "result_file"),
    [
        (None, 7, None),
        ([], 7, None),
        ({"a": 1}, 7, None),
        ({"../a": ""}, 7, None),
        ({"a/b": ""}, 7, None),
        ({}, None, None),
        ({}, "", None),
        ({}, [7], None),
        ({}, True, None),
        ({}, 7, "a.csv"),
        ({}, [7, 8], "a.csv"),
        ({}, [7, "x"], 5),
    ],
)
def test_a_bad_row_is_refused(files: object, expected: object, result_file: object) -> None:
    with pytest.raises(ValueError, match=r"`|ground_truth"):
        Notebook(files, expected, result_file)


def test_the_tasks_are_always_the_same() -> None:
    assert analysis.tasks() == analysis.tasks()
    assert sum(map(len, analysis.tasks().values())) >= 40


def test_no_answer_stands_in_a_prompt() -> None:
    for split in analysis.tasks().values():
        for task in split:
            expected = task["expected_output"]
            answer = expected[0] if "result_file" in task else expected
            question = task["prompt"].split("\n\n")[1]
            assert not analysis.stands_in(answer, question), task["task_id"]


def test_the_player_solves_a_task_of_every_kind(client: Client, rows: list[Row]) -> None:
    """By the tools alone: of the row, it is shown neither answer nor files."""
    assert [row["kind"] for row in rows] == list(KINDS)
    for row in rows:
        client.seed(row)
        items = play_row(client, {"kind": row["kind"], "parameters": row["parameters"]})
        assert client.verdict(row, items)["reward"] == 1.0, row["task_id"]


def test_a_result_file_is_read_from_the_sandbox(client: Client) -> None:
    row = next(row for row in read_rows("validation") if "result_file" in row)
    answer, content = row["ground_truth"][0]["expected_output"]
    for written, reward in ((None, 0.0), ("x", 0.0), (content, 1.0)):
        client.seed(row)
        if written is not None:
            client.tool("write_file", path=row["result_file"], content=written)
        client.tool("submit_answer", answer=json.dumps(answer))
        assert client.verdict(row)["reward"] == reward


def test_nothing_is_run_after_the_answer(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    client.tool("submit_answer", answer="1")
    assert "the episode is over" in client.tool("run_python", code="1")
    assert client.verdict(rows[0])["reward"] == 0.0
