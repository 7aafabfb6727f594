"""The tasks, their rules, and the player."""

import asyncio
import json

import pytest
from harness import Client

from analysis import Notebook, same_answer, same_content
from gymkit.forms import Expression
from gymkit.rows import Row, data_path, expected_output, read_rows
from policy import play
from sandbox import Sandbox, cell_text, command_text
from sandbox.backend import SandboxSettings, make_sandbox
from tasks import KINDS, stands_in, tasks


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
        ("0" * 199 + "7", 7, True),
        ("0" * 200 + "7", 7, False),
        ("12.505", 12.5, True),
        ("12.506", 12.5, False),
        ("12.494", 12.5, False),
        ("1000000000.9", 1e9, True),
        ("1000000001.9", 1e9, False),
        ("-1000000000.9", -1e9, True),
        ("ember", "ember", True),
        (" Ember ", "ember", True),
        ("embers", "ember", False),
        ("ember oak", "ember", False),
        ("oak, ember", "ember", False),
        ("amber", "ember", False),
        ("", "ember", False),
        ("\x00", "ember", False),
    ],
)
def test_the_whole_of_an_answer_counts(given: str, expected: float | str, same: bool) -> None:
    assert same_answer(given, expected) is same


@pytest.mark.parametrize(
    "given", ["nan", "inf", "1e999", "1" + "0" * 400, "7" * 5000], ids=["nan", "inf", "1e999", "401 digits", "too long"]
)
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
        ("a.csv", b"x,y\nleft,1.50,\n", False),
        ("a.csv", b"x,y\nleft , 1.50\n", True),
        ("a.csv", b"x,y\nlefs,1.50\n", False),
        ("a.csv", b"x,y\nlefu,1.50\n", False),
        ("a.csv", b"x,y\n", False),
        ("a.csv", b"", False),
        ("a.csv", b"\x00\xff" * 10, False),
        ("a.json", b'{"b": 2.0, "a": ["x"]}', True),
        ("a.json", b'{"b": 2, "a": ["x", "x"]}', False),
        ("a.json", b'{"b": true, "a": ["x"]}', False),
        ("a.json", b'{"b": "2", "a": ["x"]}', False),
        ("a.json", b'{"b": 2, "a": ["x"], "c": 1}', False),
        ("a.json", b'{"b": 2, "a": "x"}', False),
        ("a.json", b'{"b": 2, "a": ["w"]}', False),
        ("a.json", b'{"b": 2, "a": ["y"]}', False),
        ("a.json", b'{"b": 2}', False),
        ("a.json", b'[2, ["x"]]', False),
        ("a.json", b"[" * 100_000, False),
        ("a.json", b"no json", False),
        ("a.json", b'{"b": 2.0, "a": ["x"]}' + b" " * 100_000, True),
        ("a.json", b'{"b": 2.0, "a": ["x"]}' + b" " * 200_000, False),
    ],
)
def test_files_are_compared_by_what_they_say(name: str, given: bytes, same: bool) -> None:
    expected = "x,y\nleft,1.50\n" if name.endswith(".csv") else '{"a": ["x"], "b": 2}'
    assert same_content(name, given, expected) is same


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("[true, null, 1]", True),
        ("[false, null, 1]", False),
        ("[true, 0, 1]", False),
        ("[1, null, 1]", False),
        ("[true, null]", False),
    ],
)
def test_values_of_json_are_of_one_kind(given: str, same: bool) -> None:
    assert same_content("a.json", given.encode(), "[true, null, 1]") is same


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_file_may_be_so_large(name: str) -> None:
    expected = "x,y\nleft,1.50\nup,22\n" if name == "a.csv" else '{"a": ["x"], "b": 2}'
    most = 100_000 + 10 * len(expected)
    filling = "\n" if name == "a.csv" else " "
    for more, same in ((0, True), (1, False)):
        assert same_content(name, (expected + filling * (most - len(expected) + more)).encode(), expected) is same


def test_a_file_may_have_many_rows() -> None:
    rows = "n\n" + "".join(f"{number}\n" for number in range(300))
    assert same_content("a.csv", rows.encode(), rows)
    assert not same_content("a.csv", rows.encode(), rows + "300\n")


def test_what_was_run_is_kept() -> None:
    notebook = Notebook({"a.txt": "1"}, "one")
    notebook.note("1 + 1", "2")
    assert (notebook.files, notebook.cells) == ({"a.txt": "1"}, [("1 + 1", "2")])
    assert "The episode is over" in notebook.submit("One")
    assert notebook.score(b"not asked for") == 1.0


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
    ("form", "expected", "right", "wrong"),
    [
        (
            "fraction",
            "355/113",
            ["355/113", r"\frac{355}{113}"],
            ["710/226", "3.1415929", "356/113", "355/113 + 0", ""],
        ),
        ("integer", "2704156", ["2704156", "2,704,156"], ["2704157", "2704155+1", "comb(24,12)", "2704156.0"]),
        (
            "polynomial",
            "3x^4-7x^3+5",
            ["3*x^4 - 7*x^3 + 5", "5-7x^3+3x^4"],
            ["3x^4-7x^3+6", "x^3(3x-7)+5", "3x^4-7x^3+5+1-1"],
        ),
    ],
)
def test_mathematics_is_compared_by_value_and_form(
    form: str, expected: str, right: list[str], wrong: list[str]
) -> None:
    def score(answer: str) -> float:
        notebook = Notebook({}, expected, None, lambda given, _: Expression(expected, form).is_met_by([given]) is True)
        notebook.submit(answer)
        return notebook.score(None)

    assert [score(answer) for answer in right] == [1.0] * len(right)
    assert [score(answer) for answer in wrong] == [0.0] * len(wrong)


@pytest.mark.parametrize("row", [{"form": "roman"}, {"form": "integer", "ground_truth": [{"expected_output": "1+1"}]}])
def test_a_bad_row_of_mathematics_gets_422(client: Client, rows: list[Row], row: Row) -> None:
    mathematics = next(each for each in rows if each.get("form") == "fraction")
    response = client.post("/seed_session", json=mathematics | row)
    assert response.status_code == 422
    assert "form" in response.json()["output"]


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
        ({}, [7, "x", "y"], "a.csv"),
        ({}, [7], "a.csv"),
        ({}, "7x", "a.csv"),
        ({}, ["", "x"], "a.csv"),
        ({}, [None, "x"], "a.csv"),
    ],
)
def test_a_bad_row_is_refused(files: object, expected: object, result_file: object) -> None:
    with pytest.raises(ValueError, match=r"`|ground_truth"):
        Notebook(files, expected, result_file)


def test_the_tasks_are_always_the_same() -> None:
    made = tasks()
    assert made == tasks()
    assert sum(map(len, made.values())) >= 40


def test_no_answer_stands_in_a_prompt() -> None:
    for split in tasks().values():
        for task in split:
            expected = task["expected_output"]
            answer = expected[0] if "result_file" in task else expected
            question = task["prompt"].split("\n\n")[1]
            assert not stands_in(answer, question), task["task_id"]


def test_the_player_solves_a_task_of_every_kind(rows: list[Row]) -> None:
    """By the tools alone: of the row, it is shown neither answer nor files. All in one sandbox, emptied in between."""
    assert [row["kind"] for row in rows] == list(KINDS)

    async def solve() -> dict[str, float]:
        sandbox = make_sandbox(SandboxSettings())
        await sandbox.start()
        try:
            return {row["task_id"]: await score_of_player(sandbox, row) for row in rows}
        finally:
            await sandbox.close()

    assert asyncio.run(solve()) == {row["task_id"]: 1.0 for row in rows}


async def score_of_player(sandbox: Sandbox, row: Row) -> float:
    """Play a row in an emptied sandbox, without a server, and score it."""
    await sandbox.run_command("rm -rf ./*", seconds=30)
    await sandbox.run_cell("%reset -f", seconds=30)
    same = None
    if "form" in row:
        expression = Expression(expected_output(row), row["form"])
        same = lambda given, _: expression.is_met_by([given]) is True  # noqa: E731
    notebook = Notebook(row["files"], expected_output(row), row.get("result_file"), same)
    for name, text in notebook.files.items():
        await sandbox.write_file(name, text.encode())
    moves = play({"kind": row["kind"], "parameters": row["parameters"]})
    move = next(moves, None)
    while move is not None:
        assert not isinstance(move, str)
        name, arguments = move
        if name == "run_python":
            output = cell_text(await sandbox.run_cell(arguments["code"], seconds=30), 10_000)
        elif name == "run_shell":
            output = command_text(await sandbox.run_command(arguments["command"], seconds=30), 10_000)
        else:
            assert name == "submit_answer"
            output = notebook.submit(arguments["answer"])
        try:
            move = moves.send(output)
        except StopIteration:
            move = None
    return notebook.score(await sandbox.read_file(notebook.result_file) if notebook.result_file else None)


def test_a_result_file_is_read_from_the_sandbox(client: Client) -> None:
    row = next(row for row in read_rows(data_path("validation")) if "result_file" in row)
    answer, content = row["ground_truth"][0]["expected_output"]
    for path, reward in ((None, 0.0), ("another.txt", 0.0), (row["result_file"], 1.0)):
        client.seed(row)
        if path is not None:
            client.tool("write_file", path=path, content=content)
        client.tool("submit_answer", answer=json.dumps(answer))
        assert client.verdict(row)["reward"] == reward


def test_nothing_is_run_after_the_answer(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    client.tool("submit_answer", answer="1")
    assert "the episode is over" in client.tool("run_python", code="1")
    assert client.verdict(rows[0])["reward"] == 0.0
