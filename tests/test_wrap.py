"""`gymkit wrap`: domains of each shape, wrapped by one command, and what cannot be.

In CI one of them; with FULL=1 all, on both lines, with the real packages.
"""

import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from conftest import Attach
from generated import (
    DATA,
    FULL,
    LINES,
    Environment,
    Template,
    copier,
    copy_command,
    generate,
    interpreter_for,
    run,
    run_ok,
)
from gym_servers import head_server, policy_overrides, servers
from test_adopting import DOMAIN, HAND_MADE, PLAYER, PROMPT, TOOL_BODY

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
    archetype: str = "game"
    """Of the environment that it is wrapped in."""


WRAPPED = {
    "orders": Domain(("orders.py:OrdersTask", "--reward", "score"), ('"answer", {"value": 60.0}',)),
    "functions": Domain(("calculator.py:",), archetype="tools"),
    "mate": Domain(
        ("mate.py:MateInOne", "--reward", "solved", "--task", MATE), ('"move", {"uci": "a1a8"}',), ("chess",)
    ),
    "gymnasium": Domain(
        ("maze.py:CorridorEnv",), tuple(['"step", {"action": 1}'] * 3), ("gymnasium", "numpy", "cloudpickle")
    ),
    "dataset": Domain(
        ("reasoning_gym.arithmetic.basic_arithmetic:BasicArithmeticDataset",), (), ("reasoning-gym",), "question"
    ),
}
IN_CI = [("orders", LINES[-1])]
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
        archetype = f"archetype={WRAPPED[name].archetype}"
        run_ok(*copy_command(template, folder, archetype), "--skip-tasks", cwd=folder.parent)
        file = WRAPPED[name].arguments[0].partition(":")[0]
        if file.endswith(".py"):
            shutil.copy(DOMAINS / file, folder)
        environment = attach(folder, line)
        if WRAPPED[name].packages:
            site = [*("uv", "pip", "install", "-q", "--python", environment.python, "--target", folder.parent / "site")]
            run_ok(*site, *WRAPPED[name].packages, cwd=folder)
            environment = With(folder, line, environment.interpreter, shares_venv=True)
        commit(folder)
        return environment

    return get


class With(Environment):
    """An environment whose further packages stand in a folder of their own, and not in the .venv that all share."""

    def environ(self) -> dict[str, str]:
        found = super().environ()
        return found | {"PYTHONPATH": f"{self.path}:{self.path.parent / 'site'}"}


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
def test_what_is_written_is_clean_and_its_tests_pass(wrapped: Wrapped, name: str, line: str, tmp_path: Path) -> None:
    environment = wrapped(name, line)
    environment.run_ok("uv", "run", "ruff", "check", "--no-cache")
    environment.run_ok("uv", "run", "ruff", "format", "--check", "--no-cache")
    assert environment.run_ok(*WRAP, "--check") == ""
    if FULL:
        assert environment.run_ok(*DATA, "--check") == ""
        check_types(environment, tmp_path)
        assert environment.own_tests() > 100
        return
    quick = "tool or player or row or cases or description or dataset or claimed"
    assert environment.own_tests("tests/test_contract.py", "tests/test_orders.py", "-k", quick) > 12


def check_types(environment: Environment, scratch: Path) -> None:
    """By the environment's own settings, and with the packages that stand beside it."""
    path = environment.path
    settings = tomllib.loads((path / "pyproject.toml").read_text())["tool"]["pyright"]
    settings |= {
        "include": [str(path / name) for name in ("server.py", "tasks.py", "task_data.py", "policy.py", "tests")],
        "venvPath": str(path),
        "extraPaths": [str(path), str(path / "tests"), str(path.parent / "site")],
        "exclude": [],
    }
    (scratch / "pyrightconfig.json").write_text(json.dumps(settings))
    done = run(sys.executable, "-m", "pyright", "-p", scratch, cwd=scratch)
    assert done.returncode == 0, done.stdout


@on_each
def test_nothing_of_the_sample_is_left(wrapped: Wrapped, name: str, line: str) -> None:
    folder = wrapped(name, line).path
    sample = re.compile(
        r"(?i)wordle|crane|five-letter|weather|tavily|search_|assistant\.py|questions\.py|constraints|langid"
        r"|docs/(tools|questions)\.md"
    )
    files = run_ok("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=folder).split()
    for file in files:
        path = folder / file
        if path.is_file() and not file.startswith("gymkit/"):
            found = sample.search(path.read_text(encoding="utf-8"))
            assert found is None, (file, found)
    assert not (folder / "search").exists()


@pytest.mark.full
@on_each
def test_a_player_solves_the_tasks_and_the_audit_passes(wrapped: Wrapped, name: str, line: str) -> None:
    environment = wrapped(name, line)
    files = [environment.path / "policy.py", *(environment.path / "tests").glob("*")]
    before = {path: path.read_bytes() for path in files if path.is_file()}
    solve(environment, name)
    try:
        said = environment.run_ok("uv", "run", "python", "rollout.py", "--episodes", "5")
        assert "Mean reward: 1.000 over 5 graded episodes" in said
        said = environment.run_ok("uv", "run", "gymkit", "audit", env={"COLUMNS": "200"})
        assert " passed, 0 failed" in said, said
    finally:
        for path, content in before.items():
            path.write_bytes(content)


# ------------------------------------------------------------------------------------------------------ wrapped again


@pytest.mark.full
def test_a_changed_class_is_noticed_and_what_was_edited_stays(wrapped: Wrapped) -> None:
    environment = wrapped(*IN_CI[0])
    folder = environment.path
    domain, server = folder / "orders.py", folder / "server.py"
    texts = {path: path.read_text() for path in (domain, server, folder / "tests" / "wrapped.json")}
    domain.write_text(
        domain.read_text()
        .replace("def query(self, sql: str)", "def query(self, sql: str, most: int = 100)")
        .replace("def answer(self, value: float)", "def answer(self, value: float, unit: str)")
        .replace("def score(", 'def help(self) -> str:\n        """Say what the tables are."""\n'
                 '        return "orders(id, price)"\n\n    def score(')
    )  # fmt: skip
    try:
        done = environment.run(*WRAP, "--check")
        assert done.returncode == 1
        for change in ("answer: parameters changed", "query: parameters changed", "help is new"):
            assert f"orders.py: {change}" in done.stderr
        mine = "output=episode.answer(value=body.value * 1.0, unit='USD')"
        server.write_text(server.read_text().replace("output=episode.answer(value=body.value)", mine))
        said = environment.run_ok(*WRAP)
        assert "server.py: answer: left as it is, because you have edited it" in said
        text = server.read_text()
        assert "episode.answer(value=body.value * 1.0," in text
        assert "most: int = Field(default=100" in text
        assert "most=body.most" in text
        assert "    unit: str = Field(" in text
        assert 'app.post("/help")(self.help)' in text
        assert environment.run_ok(*WRAP, "--check") == ""
        environment.run_ok("uv", "run", "ruff", "check", "--no-cache")
        again = environment.run_ok(*WRAP)
        assert "answer: left as it is" in again
        assert server.read_text() == text
    finally:
        for path, before in texts.items():
            path.write_text(before)
        environment.run_ok(*WRAP)


# ---------------------------------------------------------------------------------------------------------- bad input

BAD = """\
class Wants:
    done: bool = False

    def __init__(self, key: str) -> None:
        self.key = key

    def go(self) -> None: ...


class Two:
    def __init__(self) -> None:
        self.moves = 0
        self.won = False

    @property
    def share(self) -> float:
        return 0.5

    def go(self) -> None: ...


class Breaks:
    def __init__(self, size: int = 0) -> None:
        self.share = 1 / size
        self.done = False

    def go(self) -> None: ...


class Rich:
    def __init__(self) -> None:
        self.gold = 7

    def go(self) -> None: ...
"""

# What is wrong with a class itself is tried where it is read (of_gymkit/test_wrapping.py).
REFUSED = {
    "no_such.py:Thing": "There is no file no_such.py",
    "no_such_module:Thing": "There is no module no_such_module: name a file beside server.py, or install its package",
    "bad": "write module:Class or path:Class",
    "bad:Wants --reward done": "bad.py: Wants(key) has no default: give the first task's with --task '{",
    "bad:Two": "bad.py: Two earns what? Name the reward with --reward. Bools and numbers: share, moves, won.",
    "bad:Rich --reward gold": "a first player has earned 7, and the reward is declared as 0 to 1: give its range with",
    "gone:Thing": "gone ends the process when it is imported: put what it does under `if __name__ == '__main__':`.",
    "waits:Thing": "waits takes more than 2 seconds to import: put what waits into a function.",
}
if FULL:
    REFUSED |= {
        "bad:Two --reward wons": "Two has no member wons that is one?",
        "bad:Two --reward won --methods fly": "bad.py has no method fly. Its methods: go.",
        "bad:Two --reward won --task {": "--task: this is no JSON",
        "bad:Breaks --reward done": "ZeroDivisionError: division by zero",
    }
MODULES = {
    "bad.py": BAD,
    "gone.py": "import os\n\nprint('hello')\nos._exit(0)\n",
    "waits.py": "import time\n\ntime.sleep(100)\n",
}

ASK = """
import json, shlex, sys
from argparse import ArgumentParser
from gymkit import wrap
from gymkit.wrapping import reading
from gymkit.wrapping.interface import WrapError

said = {}
for line in json.loads(sys.argv[1]):
    reading.SECONDS = 2 if line.startswith("waits") else 60
    parser = ArgumentParser()
    wrap.add_arguments(parser)
    try:
        wrap.run(parser.parse_args(shlex.split(line)), lambda: ())
        said[line] = "wrapped"
    except WrapError as error:
        said[line] = str(error)
print(json.dumps(said))
"""


def test_what_cannot_be_wrapped_is_said_in_one_line_and_nothing_is_written(games: Wrapped) -> None:
    environment = games("functions", LINES[0])
    for name, text in MODULES.items():
        (environment.path / name).write_text(text)
    commit(environment.path)
    said = json.loads(environment.run_ok(environment.python, "-c", ASK, json.dumps(list(REFUSED))))
    for line, wanted in REFUSED.items():
        assert wanted in said[line], (line, said[line])
        assert "\n" not in said[line]
    assert run_ok("git", "status", "--porcelain", cwd=environment.path) == ""
    # Nor is lost what git does not have.
    tasks = environment.path / "tasks.py"
    tasks.write_text(tasks.read_text() + "\n# mine\n")
    said = json.loads(environment.run_ok(environment.python, "-c", ASK, '["calculator:"]'))
    assert said["calculator:"].startswith("tasks.py would be replaced, and git does not have it as it is: commit it")


# --------------------------------------------------------------------------------------- with Copier, and with NeMo Gym


@pytest.mark.full
@pytest.mark.parametrize(("name", "reward"), [("orders", 0), ("functions", 1)])
def test_a_class_that_is_named_to_copier_is_wrapped_and_plays(
    template: Template, tmp_path: Path, name: str, reward: float
) -> None:
    domain = WRAPPED[name]
    target, *rest = domain.arguments
    shutil.copy(DOMAINS / target.partition(":")[0], tmp_path)
    answers = [f"archetype={domain.archetype}", f"wrap_class=./{target}", *(f"wrap_reward={each}" for each in rest[1:])]
    environment = generate(template, tmp_path / "my_env", LINES[-1], interpreter_for(LINES[-1]), *answers)
    assert "Wrapping " in environment.copy_output
    assert "Ready. Play a first episode" in environment.copy_output
    said = environment.run_ok("uv", "run", "python", "rollout.py")
    assert said.rstrip().endswith(f"Reward: {reward}"), said  # A player that calls at random does not solve `orders`.
    assert environment.run_ok(*WRAP, "--check") == ""


@pytest.mark.full
def test_an_update_leaves_the_server_of_a_wrapped_class(template: Template, attach: Attach, tmp_path: Path) -> None:
    source = Template.clone(tmp_path / "nemo-env-template")
    folder = tmp_path / "my_env"
    run_ok(*copy_command(source, folder), "--skip-tasks", cwd=tmp_path)
    shutil.copy(DOMAINS / "orders.py", folder)
    environment = attach(folder, LINES[-1])
    commit(folder)
    environment.run_ok(*WRAP, *WRAPPED["orders"].arguments)
    commit(folder)
    server = (folder / "server.py").read_text()
    sample = source.path / "template" / "{{ game }}" / "server.py.jinja"
    sample.write_text(sample.read_text().replace("Guess the word.", "Guess a word."))
    page = source.path / "template" / "README.md.jinja"
    page.write_text(page.read_text().replace("## Updates", "## New releases"))
    source.release("v0.2.0")
    # The hook after an update installs: not into the .venv that all tests share.
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\nexit 0\n")
    uv.chmod(0o755)
    env = {"PATH": f"{uv.parent}{os.pathsep}{os.environ['PATH']}", "UV_PYTHON": sys.executable, "UV": str(uv)}
    run_ok(*copier(), "update", "--trust", "--skip-answered", "--defaults", cwd=folder, env=env)
    assert (folder / "server.py").read_text() == server
    assert "## New releases" in (folder / "README.md").read_text()
    assert not (folder / "wordle.py").exists()
    assert environment.run_ok(*WRAP, "--check") == ""


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest, wrapped: Wrapped) -> Environment:
    """For the fixtures of conftest.py: a wrapped domain on the parameter's line."""
    name, line = request.param
    return wrapped(name, line)


BY_NEMO_GYM = [(name, line) for name in ("orders", "functions") for line in LINES]


@pytest.mark.full
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", BY_NEMO_GYM, indirect=True, ids=lambda case: "-".join(case))
def test_nemo_gym_collects_rollouts(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    """By `ng_run` on 0.4, by `gym eval run` on 0.7."""
    output = environment.path / "results" / "rollouts.jsonl"
    if environment.line == "0.7":
        environment.run_ok(
            *("gym", "eval", "run", "--environment", "my_env", "--split", "validation"),
            *("--output", "results/rollouts.jsonl", "--model-type", "vllm_model", "--model", "standin"),
            *("--model-url", policy[0], "--model-api-key", "none", *venv_of_servers, *head_server()),
            timeout=300,
            env=environment.activated(),
        )
    else:
        head = head_server()
        configs = "configs/my_env.yaml,responses_api_models/openai_model/configs/openai_model.yaml"
        start = ["ng_run", f"+config_paths=[{configs}]", *policy_overrides(policy[0]), *venv_of_servers, *head]
        with servers(environment, tmp_path / "servers.log", *start):
            environment.run_ok(
                *("ng_collect_rollouts", "+agent_name=my_env_simple_agent"),
                *("+input_jsonl_fpath=data/validation.jsonl", "+output_jsonl_fpath=results/rollouts.jsonl", *head),
                timeout=180,
                env=environment.activated(),
            )
    results = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(results) == 5
    assert all(0 <= result["reward"] <= 1 and result["mask_sample"] is False for result in results)


# ------------------------------------------------------------------------------------------------- a hand-made server

GRADE = """\
    def grade(self, episode: Any, row: Row, response: Response) -> Verdict:
        return Verdict(reward=float(episode["game"].found))
"""
EPISODE = 'NumberGame(int(row["ground_truth"][0]["expected_output"][11:-1]))'
"""What is written by hand afterwards: a grade by state, and an episode that is the row's."""


@pytest.mark.full
@pytest.mark.parametrize("line", LINES)
def test_a_hand_made_server_is_adopted(template: Template, attach: Attach, tmp_path: Path, line: str) -> None:
    old = tmp_path / "number_game"
    (old / "data").mkdir(parents=True)
    (old / "server.py").write_text(HAND_MADE)
    (old / "number_game.py").write_text(DOMAIN)
    prompt = {"input": [{"role": "user", "content": PROMPT}]}
    answers = [f"Yes, it is {number}." for number in range(1, 7)]
    rows = [{"responses_create_params": prompt, "ground_truth": [{"expected_output": each}]} for each in answers]
    (old / "data" / "example.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "my_env"
    run_ok(*copy_command(template, folder), "--skip-tasks", cwd=tmp_path)
    environment = attach(folder, line)
    commit(folder)
    environment.run_ok("uv", "run", "gymkit", "adopt", "../number_game")
    server = (folder / "server.py").read_text()
    assert TOOL_BODY in server
    assert "NumberGame(7)" in server
    graded = re.sub(r"    def grade\(.*?\n(?=\n)", lambda _: GRADE, server, flags=re.DOTALL)
    (folder / "server.py").write_text(graded.replace("NumberGame(7)", EPISODE))
    (folder / "policy.py").write_text(PLAYER)
    tests = folder / "tests" / "test_number_game.py"
    tests.write_text(re.sub(r"@pytest.mark.xfail\(.*\)\n", "", tests.read_text()).replace("import pytest\n", ""))
    environment.run_ok("uv", "run", "ruff", "check", "--fix", "-q", "--no-cache")
    environment.run_ok("uv", "run", "gymkit", "cases")
    assert environment.own_tests() > 100
    said = environment.run_ok("uv", "run", "gymkit", "audit", env={"COLUMNS": "200"})
    assert " passed, 0 failed" in said, said
