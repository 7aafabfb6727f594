"""The generated environment as its user meets it, on both lines of NeMo Gym: gates, tests, checks."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from generated import (
    BEHIND_A_PROXY,
    DATA,
    FULL,
    LINES,
    Environment,
    Template,
    edited,
    generate,
    interpreter_for,
    run_ok,
    user_environ,
)
from processes import answers, started

GATE = "import os; os.environ.setdefault('E2B_API_KEY','x'); from server import MyEnvResourcesServer"

on_one_line = pytest.mark.parametrize("environment", LINES if FULL else LINES[-1:], indirect=True)
"""For what does not depend on the line of NeMo Gym."""


# A virtual environment takes a while. That of the newest line is made in test_readme.py.
@pytest.mark.parametrize("line", LINES if FULL else LINES[:1])
def test_the_hook_leaves_an_environment_that_runs(template: Template, tmp_path: Path, line: str) -> None:
    environment = generate(template, tmp_path / "my_env", line, interpreter_for(line))
    assert f"NeMo Gym {environment.line}" in environment.copy_output
    assert "cd my_env" in environment.copy_output
    assert "uv run python rollout.py" in environment.copy_output
    assert "Traceback" not in environment.copy_output
    assert environment.run_ok("uv", "run", "python", "rollout.py").rstrip().endswith("Reward: 1")
    # With the programs that it has installed, and the same rows.
    environment.run_ok(*DATA, "--check")


def test_gate_1_import(environment: Environment) -> None:
    environment.run_ok("uv", "run", "python", "-c", GATE)


@contextmanager
def server(environment: Environment, log: Path) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    """`uv run python server.py` on port 11000, and the seconds until it answered."""
    began = time.monotonic()
    command = ["uv", "run", "python", "server.py"]
    ready = answers("http://localhost:11000/health")
    with started(command, environment.path, user_environ() | environment.environ(), log, ready) as process:
        yield process, time.monotonic() - began


@pytest.mark.alone  # for its port, and its time
@pytest.mark.xdist_group("alone")
def test_gates_2_and_3_a_local_server_that_seeds_sessions(environment: Environment, tmp_path: Path) -> None:
    seconds = []
    for _ in range(2):
        with server(environment, tmp_path / "server.log") as (process, answered):
            seconds.append(answered)
            seeded = requests.post("http://localhost:11000/seed_session", timeout=30)  # no body, as by `curl -X POST`
            assert seeded.status_code == 200
            assert next(cookie.name for cookie in seeded.cookies).startswith("MyEnvResourcesServer___")
            family = processes_of_session(process.pid)
            assert any("server.py" in command for command in family)
            assert not [command for command in family if "raylet" in command or "gcs_server" in command]
    print(f"\nNeMo Gym {environment.line}: server.py answered after {', '.join(f'{s:.2f}' for s in seconds)} s")
    assert min(seconds) < 5


def processes_of_session(session: int) -> list[str]:
    """The command lines of all processes of a session."""
    commands = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if int(stat.rsplit(")", 1)[1].split()[3]) == session:
                commands.append(command)
    return commands


def test_gate_4_a_rollout_of_three_turns(environment: Environment) -> None:
    assert "Reward: " in environment.run_ok("uv", "run", "python", "rollout.py", env={"MAX_TURNS": "3"})


@pytest.mark.long
@on_one_line
def test_behind_a_proxy_this_machine_is_reached_without(environment: Environment) -> None:
    output = environment.run_ok("uv", "run", "python", "rollout.py", env=BEHIND_A_PROXY)
    assert output.rstrip().endswith("Reward: 1")
    tests = ["tests/test_check.py", "tests/test_rollout.py"]
    environment.run_ok("uv", "run", "pytest", "-q", *tests, env=BEHIND_A_PROXY)


def test_its_own_tests_pass(environment: Environment) -> None:
    assert environment.own_tests() > 150


@on_one_line
def test_its_own_checks_pass_and_leave_it_clean(environment: Environment) -> None:
    """What its workflow and its pre-commit hooks run, offline, in a fresh git repository."""
    run_ok("git", "init", "-q", cwd=environment.path)
    run_ok("git", "add", "-A", cwd=environment.path)
    environment.run_ok("uv", "run", "pre-commit", "run", "--all-files", env={"UV_OFFLINE": "1"})
    environment.run_ok(*DATA)
    assert run_ok("git", "diff", "--stat", cwd=environment.path) == ""
    added = run_ok("git", "ls-files", cwd=environment.path).splitlines()
    assert not [name for name in added if ".venv" in name or "__pycache__" in name or name.endswith(".egg-info")]


@on_one_line
def test_a_stale_row_fails_its_checks(environment: Environment) -> None:
    rows = environment.path / "data" / "example.jsonl"
    with edited(rows, rows.read_text(encoding="utf-8").replace("Guess the word.", "Guess a word.")):
        done = environment.run(*DATA, "--check")
    assert done.returncode == 1
    assert "data/example.jsonl is out of date" in done.stderr


DEFECTS = {
    "test_the_verifier_cases_hold": ("float(episode.solved)", "1.0"),
    "test_no_tool_output_holds_the_word_before_it_is_found": (
        "game.guess(body.word)",
        "f'{game._secret} {game.guess(body.word)}'",
    ),
    "test_every_row_lists_the_tools_of_the_server": ('"""Guess the word.', '"""Guess a word.'),
}
"""What the environment's tests have to notice: the test, and the change of server.py."""


@pytest.mark.parametrize("environment", LINES[:1], indirect=True)
def test_a_broken_server_fails_its_tests(environment: Environment) -> None:
    """A generous grader, a leaked secret, a changed schema: each by the test that is there for it."""
    server_file = environment.path / "server.py"
    broken = server_file.read_text(encoding="utf-8")
    for old, new in DEFECTS.values():
        assert old in broken
        broken = broken.replace(old, new)
    with edited(server_file, broken):
        done = environment.run("uv", "run", "pytest", "-q", "-k", " or ".join(DEFECTS))
    assert done.returncode == 1
    for failing in DEFECTS:
        assert re.search(rf"^FAILED .*::{failing}\b", done.stdout, re.MULTILINE), done.stdout
