"""`gymkit audit` on generated environments: it passes as they are, and names the right row of one that is spoiled.

Each flaw that an audit is there for is made on purpose, in one row where it can be, and the audit has to name that row.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from generated import ARCHETYPES, LINES, Environment, user_environ

AUDIT = ("uv", "run", "gymkit", "audit")

pytestmark = [pytest.mark.xdist_group("audit"), pytest.mark.long]

on_newest = pytest.mark.parametrize("environment", LINES[-1:], indirect=True)


@contextmanager
def copied(environment: Environment, folder: Path) -> Iterator[Environment]:
    """A copy of an environment, whose files may be spoiled."""
    path = folder / "my_env"
    shutil.copytree(environment.path, path, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "results"))
    yield replace(environment, path=path)


def edit(environment: Environment, name: str, old: str, new: str) -> None:
    """Replace a text, which must be there, in a file."""
    path = environment.path / name
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{name} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def edit_row(environment: Environment, number: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Change an example row."""
    path = environment.path / "data" / "example.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(rows[number])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def report(environment: Environment, *options: str, status: int) -> dict[str, Any]:
    """What an audit with this exit status has found."""
    done = environment.run(*AUDIT, "--json", *options)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


# ------------------------------------------------------------------------------------------------------ it passes


@on_newest
def test_a_game_passes(environment: Environment) -> None:
    found = report(environment, "--rows", "30", status=0)
    assert found["passed"]
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["player"]["mean_reward"] == 1.0
    for name in ("apart", "silent", "random-arguments", "other-answers", "right-one-last", "guesses-once-more"):
        assert (checks[name]["rows"], checks[name]["mean_reward"]) == (30, 0.0)
    assert checks["leaks"]["rows_not_tried"] == 0


ON_TWO_ROWS = ("--rows", "4", "--cheats", "2")


@pytest.mark.parametrize("environment", [f"sandbox {LINES[-1]}", f"computer_use {LINES[0]}"], indirect=True)
def test_the_others_pass(environment: Environment) -> None:
    assert report(environment, *ON_TWO_ROWS, status=0)["passed"]


@pytest.mark.full
@pytest.mark.parametrize(
    "environment", [f"{archetype} {line}" for archetype in ("sandbox", "computer_use") for line in LINES], indirect=True
)
def test_the_others_pass_as_in_their_own_ci(environment: Environment) -> None:
    assert report(environment, "--cheats", "20", status=0)["passed"]


# ------------------------------------------------------------------------------------- it fails, and names the row

SERVER = "server.py"
GRADE = "        return Verdict(reward=float(episode.solved), metrics"
NEW_EPISODE = "            return WordleGame(str(expected_output(row)))\n"
ANSWER = "        return ToolResponse(output=game.guess(body.word))\n"
IMPORTS = "from wordle import WordleGame\n"

# Each spoils the environment for the rows whose task_id ends in a text.


def generous(environment: Environment, task: str) -> None:
    """It is paid to whoever asks."""
    paid = f'        if row["task_id"].endswith("{task}"):\n            return Verdict(1.0)\n'
    edit(environment, SERVER, GRADE, paid + GRADE)


def leaking_prompt(environment: Environment, task: str) -> None:
    """The prompt holds the answer."""

    def tell(row: dict[str, Any]) -> None:
        row["responses_create_params"]["input"][0]["content"] += f"\n({row['ground_truth'][0]['expected_output']})"

    edit_row(environment, int(task[-3:]), tell)


def leaking_output(environment: Environment, task: str) -> None:
    """The output of the first call holds the answer."""
    told = f'        if self.session_of(request).row["task_id"].endswith("{task}"):\n'
    told += "            return ToolResponse(output=game.guess(body.word) + game._secret)\n"
    edit(environment, SERVER, ANSWER, told + ANSWER)


def masking(environment: Environment, task: str) -> None:
    """A game that is lost is masked."""
    edit(environment, SERVER, IMPORTS, "from gymkit.server import EnvironmentFailed\n" + IMPORTS)
    masked = f'        if episode.over and not episode.solved and row["task_id"].endswith("{task}"):\n'
    edit(environment, SERVER, GRADE, f'{masked}            raise EnvironmentFailed("no more words")\n{GRADE}')


def missing_player(environment: Environment, task: str) -> None:
    """The player gives up."""
    given_up = f'    if row["task_id"].endswith("{task}"):\n        return\n'
    edit(environment, "policy.py", "    solver = Solver()\n", given_up + "    solver = Solver()\n")


def out_of_range(environment: Environment, task: str) -> None:
    """It is paid double, and the player says so."""
    paid = f'        if row["task_id"].endswith("{task}"):\n            return Verdict(2.0 * episode.solved)\n'
    edit(environment, SERVER, GRADE, paid + GRADE)
    with (environment.path / "policy.py").open("a") as policy:
        policy.write(f'\n\ndef expected_reward(row):\n    return 2.0 if row["task_id"].endswith("{task}") else 1.0\n')


def shared(environment: Environment, task: str) -> None:
    """All its sessions share a game."""
    edit(environment, SERVER, IMPORTS, IMPORTS + "\nGAMES: dict = {}\n")
    kept = f'            if row["task_id"].endswith("{task}"):\n'
    kept += '                return GAMES.setdefault("the one", WordleGame(str(expected_output(row))))\n'
    edit(environment, SERVER, NEW_EPISODE, kept + NEW_EPISODE)


def failing_grader(environment: Environment, task: str) -> None:
    """The grader raises."""
    raised = f'        if row["task_id"].endswith("{task}"):\n            raise KeyError("answer")\n'
    edit(environment, SERVER, GRADE, raised + GRADE)


def changing_verdict(environment: Environment, task: str) -> None:
    """The verdict is made anew each time that it is asked for."""
    edit(environment, SERVER, "from fastapi import", "import json\nimport time\n\nfrom fastapi import")
    anew = ANEW.format(task=task)
    edit(environment, SERVER, "    # --- the tools ---\n", f"{anew}\n    # --- the tools ---\n")


ANEW = """\
    async def verify(self, request: Request):
        answer = await super().verify(request)
        row = json.loads(answer.body)
        return row | {{"asked": time.monotonic()}} if row.get("task_id", "").endswith("{task}") else answer
"""

FLAWS: dict[Callable[[Environment, str], None], tuple[str, str, str]] = {
    generous: ("example-000", "silent", "it earns 1, and 0 is the most that it should"),
    leaking_prompt: ("example-001", "leaks", "the expected output stands in the prompt"),
    leaking_output: ("example-002", "leaks", "the expected output stands in the output of a first call"),
    masking: ("example-003", "other-answers", "the sample is masked (provider_unavailable: no more words)"),
    missing_player: ("example-004", "player", "the player earns 0, not 1"),
    out_of_range: ("validation-000", "player", "the reward 2 is outside of the manifest's range, 0 to 1"),
    shared: ("validation-001", "apart", "it earns 1, not 0, though nobody plays it"),
    failing_grader: ("validation-002", "player", "the grader failed (verifier_error: KeyError: 'answer')"),
    changing_verdict: ("validation-003", "verdict-twice", "the second verdict differs in asked"),
}
"""Each flaw with the row that has it, and how it is found: by which check, and what that says."""


@pytest.fixture(scope="module")
def flawed(environments: Callable[[str, str], Environment], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is found in a game that has every flaw, each in a row of its own."""
    with copied(environments("game", LINES[-1]), tmp_path_factory.mktemp("flawed")) as copy:
        for spoil, (task, _, _) in FLAWS.items():
            spoil(copy, task)
        return report(copy, "--rows", "12", status=1)


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.__name__)
def test_a_flaw_of_one_row_is_found_in_that_row(flawed: dict[str, Any], flaw: Callable[..., None]) -> None:
    task, name, says = FLAWS[flaw]
    [check] = [check for check in flawed["checks"] if check["name"] == name]
    [found] = [one for one in check["findings"] if one["task_id"] == f"wordle-{task}"]
    split, number = task.split("-")
    assert found["row"] == f"{split}:{int(number)}"
    assert found["what"].startswith(says)
    assert found["again"] == f"uv run gymkit audit --row {found['row']} --only {AGAIN.get(name, name)}"


AGAIN = {"apart": "player", "verdict-twice": "player"}
"""Of what is seen while another check plays: that one."""


def test_rows_without_a_flaw_are_not_named(flawed: dict[str, Any]) -> None:
    named = {one["task_id"] for check in flawed["checks"] for one in check["findings"]}
    assert named == {f"wordle-{task}" for task, _, _ in FLAWS.values()}


def weak_comparison(environment: Environment) -> None:
    """A verdict is given to who sends the row's `task_id`."""
    rows = "gymkit/row_keys.py"
    edit(environment, rows, "keys = tuple(sorted(digests))", 'keys = ("task_id",)')
    edit(environment, rows, '"row_key" in digests and "row_key" not in keys', "not keys")


@on_newest
def test_a_weakened_comparison_of_rows_is_found(environment: Environment, tmp_path: Path) -> None:
    """In every row. The table says which is the first, and the command that plays it again fails in the same way."""
    with copied(environment, tmp_path) as copy:
        weak_comparison(copy)
        done = copy.run(*AUDIT, "--rows", "4", env={"COLUMNS": "200"})
        assert done.returncode == 1
        said = "example:0 (wordle-example-000): verifies-parts: verify without the whole row was given a verdict"
        assert said in done.stdout
        again = re.search(r"again: (uv run gymkit audit --row example:0 --only verifies-parts)\n", done.stdout)
        assert again, done.stdout
        once_more = copy.run(*again[1].split(), env={"COLUMNS": "200"})
        assert once_more.returncode == 1
        assert said in once_more.stdout
        assert 'verify {"' in once_more.stdout  # What it calls is shown.


@on_newest
def test_guesses_are_held_to_chance(environment: Environment, tmp_path: Path) -> None:
    """A grader that pays a guess in two: too much by itself, and what it should be where the tasks declare it."""
    with copied(environment, tmp_path) as copy:
        lucky = 'episode.solved or len(episode.guesses) % 2 == int(row["row_key"], 16) % 2 and bool(episode.guesses)'
        edit(copy, SERVER, GRADE, f"        return Verdict(reward=float({lucky}), metrics")
        options = ("--rows", "40", "--only", "random-arguments")
        [one] = report(copy, *options, status=1)["checks"]
        assert "chance is 0.05" in one["findings"][0]["what"]
        path = copy.path / "data" / "example.jsonl"
        for name in ("example", "validation", "train"):
            path = copy.path / "data" / f"{name}.jsonl"
            path.write_text(path.read_text().replace('"row_key"', '"chance": 0.6, "row_key"'))
        report(copy, *options, status=0)


# ---------------------------------------------------------------------------------------------------------- bad input


def one_line(environment: Environment, *options: str) -> str:
    """The only line that an audit which cannot begin says."""
    done = environment.run(*AUDIT, *options)
    assert done.returncode == 1
    [line] = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return line


@on_newest
def test_what_cannot_be_audited_is_said_in_one_line(environment: Environment, tmp_path: Path) -> None:
    with copied(environment, tmp_path) as copy:
        assert "No row 'example:99' in data/" in one_line(copy, "--row", "example:99")
        assert "no check is called 'nothing'" in one_line(copy, "--only", "nothing")
        assert "Nothing answers at http://127.0.0.1:9" in one_line(copy, "--url", "http://127.0.0.1:9")
        with another_environment() as url:
            assert f"At {url} answers the environment 'another', not 'my_env'" in one_line(copy, "--url", url)
        (copy.path / "tests" / "cheats.py").write_text("def cheat(row):\n    yield from nothing(\n")
        assert "tests/cheats.py cannot be imported: SyntaxError" in one_line(copy)
        (copy.path / "policy.py").write_text("x = 1\n")
        assert "policy.py defines no play()" in one_line(copy)


@contextmanager
def another_environment() -> Iterator[str]:
    """A server that says it is the environment `another`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok", "environment": "another"}')

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@on_newest
def test_players_and_rows_that_fail_are_named(environment: Environment, tmp_path: Path) -> None:
    with copied(environment, tmp_path) as copy:
        raising = '    if row["task_id"].endswith("example-001"):\n        raise LookupError("no idea")\n'
        edit(copy, "policy.py", "    solver = Solver()", raising + "    solver = Solver()")
        edit_row(copy, 2, lambda row: row.update(ground_truth=[{"expected_output": "cranes"}]))
        with (copy.path / "tests" / "cheats.py").open("a") as cheats:
            cheats.write('\n\ndef fails(row):\n    """raises"""\n    yield "x"\n    raise ValueError("odd")\n')
        found = report(copy, "--rows", "3", status=1)
        what = {check["name"]: check["findings"] for check in found["checks"]}
        assert [(one["row"], one["what"]) for one in what["player"]] == [
            ("example:1", "policy.py raises LookupError: no idea (policy.py, line 17)"),
            ("example:2", what["player"][1]["what"]),
        ]
        assert what["player"][1]["what"].startswith("no episode can be made from the row: ")
        assert what["fails"][0]["what"].startswith("it raises ValueError: odd (tests/cheats.py, line ")


@on_newest
def test_a_server_that_dies_leaves_a_partial_table(environment: Environment, tmp_path: Path) -> None:
    with copied(environment, tmp_path) as copy:
        dying = '        import os\n        if row["task_id"].endswith("example-004"):\n            os._exit(3)\n'
        edit(copy, SERVER, GRADE, dying + GRADE)
        done = copy.run(*AUDIT, "--rows", "20", "--concurrency", "1", env={"COLUMNS": "200"})
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert re.search(r"pass\s+player\s+.*\s4\s+1\s*\n", done.stdout), done.stdout
        lines = done.stdout.splitlines()
        assert sum("does not answer any more" in line for line in lines) == 1


@on_newest
def test_ctrl_c_leaves_a_partial_table(environment: Environment, tmp_path: Path) -> None:
    with copied(environment, tmp_path) as copy:
        note = '    with open("played", "a") as played:\n        print("x", file=played)\n'
        edit(copy, "policy.py", "    solver = Solver()\n", note + "    solver = Solver()\n")
        process = subprocess.Popen(
            [*AUDIT, "--concurrency", "1"],
            cwd=copy.path,
            env=user_environ() | copy.environ() | {"COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not (copy.path / "played").exists() or len((copy.path / "played").read_text()) < 20:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert "Interrupted: this is what had been seen until then." in said
        assert re.search(r"pass\s+player\s", said), said


# ------------------------------------------------------------------------------------------------------------ mutants


@on_newest
def test_changes_that_no_test_notices_are_listed(environment: Environment, tmp_path: Path) -> None:
    """As it is, and with tests that do not look: the same changes, drawn by the seed."""
    with copied(environment, tmp_path) as copy:
        few = ("--mutants", "--count", "8", "--json", "--seed", "3")
        done = copy.run(*AUDIT, *few)
        found = json.loads(done.stdout)
        assert done.returncode == 0, found
        assert (found["tried"], found["noticed"], found["survivors"]) == (8, 8, [])
        (copy.path / "tests" / "test_wordle.py").write_text("def test_nothing() -> None:\n    pass\n")
        (copy.path / "tests" / "test_contract.py").write_text("def test_nothing() -> None:\n    pass\n")
        done = copy.run(*AUDIT, *few)
        assert done.returncode == 1
        unseen = json.loads(done.stdout)
        assert (unseen["tried"], unseen["of"]) == (8, found["of"])
        assert len(unseen["survivors"]) >= 7  # One that does not even compile is noticed by nothing but its import.
        assert all(one["path"] == "wordle.py" and one["diff"] for one in unseen["survivors"])
        # The files that were changed are those of a copy.
        assert (copy.path / "wordle.py").read_text() == (environment.path / "wordle.py").read_text()
        (copy.path / "tests" / "test_wordle.py").write_text("def test_nothing() -> None:\n    assert False\n")
        assert "the tests fail without any change" in one_line(copy, *few)


@pytest.mark.full
@pytest.mark.parametrize("environment", [f"{archetype} {LINES[-1]}" for archetype in ARCHETYPES], indirect=True)
def test_nearly_all_changes_are_noticed(environment: Environment) -> None:
    environment.run_ok(*AUDIT, "--mutants", timeout=3600)
