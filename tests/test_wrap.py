"""`gymkit wrap`: domains of each shape, wrapped by one command, and what cannot be.

In CI two of them, one on each line; with FULL=1 all, on both lines, with the real packages.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from conftest import Attach
from generated import DATA, FULL, LINES, ROOT, Environment, Template, copy_command, run_ok
from gym_servers import head_server, policy_overrides, servers

DOMAINS = Path(__file__).with_name("wrapped_domains")
WRAP = ("uv", "run", "gymkit", "wrap")
MATE = json.dumps({"fen": "6k1/5ppp/8/8/8/8/8/R6K w - - 0 1"})


@dataclass(frozen=True)
class Domain:
    """What is wrapped by one command, and a player that solves its tasks."""

    arguments: tuple[str, ...]
    moves: tuple[str, ...] = ()
    """What `play(row)` yields; empty where the first player solves the tasks."""
    packages: tuple[str, ...] = ()


WRAPPED = {
    "orders": Domain(("orders.py:OrdersTask", "--reward", "score"), ('"answer", {"value": 60.0}',)),
    "functions": Domain(("calculator.py:",)),
    "mate": Domain(
        ("mate.py:MateInOne", "--reward", "solved", "--task", MATE), ('"move", {"uci": "a1a8"}',), ("chess",)
    ),
    "gymnasium": Domain(
        ("maze.py:CorridorEnv",), tuple(['"step", {"action": 1}'] * 3), ("gymnasium", "numpy", "cloudpickle")
    ),
    "dataset": Domain(("reasoning_gym.arithmetic.basic_arithmetic:BasicArithmeticDataset",), (), ("reasoning-gym",)),
}
IN_CI = [("orders", LINES[-1]), ("functions", LINES[0])]
CASES = [(name, line) for name in WRAPPED for line in LINES] if FULL else IN_CI
GROUPS = [pytest.mark.xdist_group(f"wrap {name} {line}") for name, line in CASES]
on_each = pytest.mark.parametrize(
    ("name", "line"), [pytest.param(*case, marks=group) for case, group in zip(CASES, GROUPS, strict=True)]
)

Wrapped = Callable[[str, str], Environment]


@pytest.fixture(scope="session")
def games(template: Template, attach: Attach, tmp_path_factory: pytest.TempPathFactory) -> Wrapped:
    """A function that gives an environment with a domain's file beside it, committed, before it is wrapped."""

    def get(name: str, line: str) -> Environment:
        folder = tmp_path_factory.mktemp(name) / "my_env"
        run_ok(*copy_command(template, folder), "--skip-tasks", cwd=folder.parent)
        file = WRAPPED[name].arguments[0].partition(":")[0]
        if file.endswith(".py"):
            shutil.copy(DOMAINS / file, folder)
        environment = attach(folder, line)
        if WRAPPED[name].packages:
            site = [*("uv", "pip", "install", "-q", "--python", environment.python, "--target", folder / "site")]
            run_ok(*site, *WRAPPED[name].packages, cwd=folder)
            (folder / ".gitignore").write_text((folder / ".gitignore").read_text() + "/site/\n")
            environment = With(folder, line, environment.interpreter, shares_venv=True)
        commit(folder)
        return environment

    return get


class With(Environment):
    """An environment whose further packages stand in a folder of their own, and not in the .venv that all share."""

    def environ(self) -> dict[str, str]:
        found = super().environ()
        return found | {"PYTHONPATH": f"{self.path}:{self.path / 'site'}"}


@pytest.fixture(scope="session")
def wrapped(games: Wrapped) -> Wrapped:
    """A function that gives an environment that has been wrapped by one command."""

    @cache
    def get(name: str, line: str) -> Environment:
        environment = games(name, line)
        environment.run_ok(*WRAP, *WRAPPED[name].arguments)
        return environment

    return get


def commit(folder: Path) -> None:
    run_ok("git", "init", "-q", cwd=folder)
    run_ok("git", "add", "-A", cwd=folder)
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    run_ok("git", *author, "commit", "-qm", "A state", cwd=folder)


def solve(environment: Environment, name: str) -> None:
    """Write the player by which the tasks are solved."""
    moves = WRAPPED[name].moves
    if not moves:
        return
    text = "def play(row):\n" + "".join(f"    yield {move}\n" for move in moves)
    (environment.path / "policy.py").write_text(f'"""Solves the tasks."""\n\n\n{text}')
    tests = next((environment.path / "tests").glob(f"test_*{WRAPPED[name].arguments[0].split('.py:')[0]}.py"))
    tests.write_text(re.sub(r"@pytest.mark.xfail\(.*\)\n", "", tests.read_text()).replace("import pytest\n", ""))
    environment.run_ok("uv", "run", "gymkit", "cases")


# -------------------------------------------------------------------------------------------------------- what is made


@on_each
def test_what_is_written_is_clean_and_its_tests_pass(wrapped: Wrapped, name: str, line: str) -> None:
    environment = wrapped(name, line)
    environment.run_ok("uv", "run", "ruff", "check", "--no-cache")
    environment.run_ok("uv", "run", "ruff", "format", "--check", "--no-cache")
    assert environment.run_ok(*DATA, "--check") == ""
    assert environment.run_ok(*WRAP, "--check") == ""
    own = [path.name for path in (environment.path / "tests").glob("test_*.py")]
    quick = [f"tests/{each}" for each in own if each == "test_contract.py" or "test_wrapped" in each]
    domain = WRAPPED[name].arguments[0].split(":")[0].removesuffix(".py").split(".")[-1]
    assert environment.own_tests(*([] if FULL else [*quick, f"tests/test_{domain}.py"])) > 20


@on_each
def test_nothing_of_the_sample_is_left(wrapped: Wrapped, name: str, line: str) -> None:
    folder = wrapped(name, line).path
    shared = ("gymkit/", "docs/", "site/", ".venv")
    files = run_ok("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=folder).split()
    for file in files:
        path = folder / file
        if path.is_file() and not file.startswith(shared):
            found = re.search(r"(?i)wordle|crane|five-letter", path.read_text(encoding="utf-8"))
            assert found is None, (file, found)


@on_each
def test_a_player_solves_the_tasks_and_the_audit_passes(wrapped: Wrapped, name: str, line: str) -> None:
    environment = wrapped(name, line)
    before = environment.run_ok("git", "diff", "HEAD", "--", "policy.py")
    solve(environment, name)
    try:
        said = environment.run_ok("uv", "run", "python", "rollout.py", "--episodes", "5")
        assert "Mean reward: 1.000 over 5 graded episodes" in said
        said = environment.run_ok("uv", "run", "gymkit", "audit", env={"COLUMNS": "200"})
        assert " passed, 0 failed" in said, said
    finally:
        assert before
        environment.run_ok(*WRAP)
