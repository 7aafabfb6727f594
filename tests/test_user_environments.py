"""Environments of users: the files of a generated game that are the user's own, replaced by those of another idea.

Each folder of tests/user_environments/ is one; what is special about it:

quiz     no tools, no state; text is graded; answers that are "2" or "B", stand in every prompt and are shared by rows
bank     rewards from -1 to 10, of which the player earns 7; solved by one call; a tool with a response model of its
         own; rows without ground_truth; a base class of the user's, imported into server.py
vault    an object as the expected output; calls and texts, in turns, graded together; coroutines

All have a domain module of another name, and a server class of another name. No file of the template's is edited.
"""

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from conftest import Attach
from generated import CASES, CHECK, DATA, FULL, LINES, Environment, Template, copy_command, run_ok
from gym_servers import collect_rollouts, gym_eval_run, serving, started_by_ng_run

FOLDERS = Path(__file__).with_name("user_environments")
USERS_FILES = ("wordle.py", "task_data.py", "tests/test_wordle.py", "tests/cheats.py")
REWARDS = {"quiz": "1", "bank": "7", "vault": "1"}

UserEnvironments = Callable[[str, str], Environment]


@pytest.fixture(scope="session")
def user_environments(template: Template, attach: Attach, tmp_path_factory: pytest.TempPathFactory) -> UserEnvironments:
    """A function that gives an environment of tests/user_environments/ on a line, its data written."""

    @cache
    def get(name: str, line: str) -> Environment:
        folder = tmp_path_factory.mktemp(f"{name}_{line.replace('.', '_')}") / "my_env"
        run_ok(*copy_command(template, folder), "--skip-tasks", cwd=folder.parent)
        for file in (*USERS_FILES, *(f"data/{path.name}" for path in (folder / "data").iterdir())):
            (folder / file).unlink()
        shutil.copytree(FOLDERS / name, folder, dirs_exist_ok=True)
        if name == "bank":
            manifest = folder / "environments" / "my_env" / "manifest.yaml"
            manifest.write_text(manifest.read_text().replace("range: [0.0, 1.0]", "range: [-1, 10]"))
        environment = attach(folder, line)
        environment.run_ok(*DATA)
        environment.run_ok(*CASES)
        return environment

    return get


# Each environment on each line; in CI each environment, and each line. Those of one environment go to one worker.
ALL_CASES = [(name, line) for name in REWARDS for line in LINES]
CASES_OF_CI = [(name, LINES[number % len(LINES)]) for number, name in enumerate(REWARDS)]


def on(cases: list[tuple[str, str]]) -> pytest.MarkDecorator:
    """For each of these, or for each that there is where all is tested."""
    cases = ALL_CASES if FULL else cases
    groups = [pytest.mark.xdist_group(f"user {name} {line}") for name, line in cases]
    marked = [pytest.param(*case, marks=group) for case, group in zip(cases, groups, strict=True)]
    return pytest.mark.parametrize(("name", "line"), marked)


on_each = on(CASES_OF_CI)


@pytest.mark.long
@on(CASES_OF_CI[:2])  # One without tools, and one with rewards of its own.
def test_its_own_tests_pass(user_environments: UserEnvironments, name: str, line: str) -> None:
    assert user_environments(name, line).own_tests() > 150


@on_each
def test_its_player_plays_and_its_commands_work(user_environments: UserEnvironments, name: str, line: str) -> None:
    environment = user_environments(name, line)
    assert environment.run_ok(*DATA, "--check") == ""
    said = environment.run_ok("uv", "run", "python", "rollout.py", "--episodes", "5")
    assert f"Mean reward: {float(REWARDS[name]):.3f} over 5 graded episodes" in said
    with serving(environment) as url:
        said = environment.run_ok(*CHECK, url)
    assert re.search(r"1[12] passed, 0 failed", said), said
    assert f"{REWARDS[name]} in " in said


@pytest.mark.long
@on_each
def test_it_is_audited_without_a_word_of_configuration(
    user_environments: UserEnvironments, name: str, line: str
) -> None:
    environment = user_environments(name, line)
    said = environment.run_ok("uv", "run", "gymkit", "audit", env={"COLUMNS": "200"})
    rows = sum(len(path.read_text().splitlines()) for path in (environment.path / "data").glob("*.jsonl"))
    assert re.search(rf"pass\s+player\s.*\s{rows}\s+{REWARDS[name]}\s", said), said
    assert " passed, 0 failed" in said


# ------------------------------------------------------------------------------------- text alone, through NeMo Gym


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest, user_environments: UserEnvironments) -> Environment:
    """For the fixtures of conftest.py: the stand-in model plays the quiz, on the parameter's line."""
    return user_environments("quiz", request.param)


def check_answers(environment: Environment, output: Path, split: str) -> None:
    """Each row was answered once, by text, and got the reward of what was said: right answers and wrong ones."""
    rows = [json.loads(row) for row in (environment.path / "data" / f"{split}.jsonl").read_text().splitlines()]
    results = [json.loads(result) for result in output.read_text().splitlines()]
    assert len(results) == len(rows)
    for result in results:
        said = [item for item in result["response"]["output"] if item["type"] == "message"][-1]["content"][0]["text"]
        right = said == f"{result['ground_truth'][0]['expected_output']}."
        assert result["reward"] == float(right), result
        assert result["mask_sample"] is False
    assert {result["reward"] for result in results} == {0.0, 1.0}


# One cluster at a time: each takes what the machine has. `gym eval run` grades text in test_question.py as well.
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", LINES if FULL else LINES[:1], indirect=True)
def test_a_grader_of_the_final_message_gets_its_rewards_through_nemo_gym(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    """By `ng_run` on 0.4, by `gym eval run` on 0.7."""
    output = environment.path / "results" / "answers.jsonl"
    if environment.line == "0.7":
        said = gym_eval_run(environment, output, policy[0], "vllm_model", *venv_of_servers)
        check_answers(environment, output, "validation")
        for endpoint in ("seed_session", "close_session"):
            assert said.count(f'"POST /{endpoint} HTTP/1.1" 200') == len(output.read_text().splitlines())
        return
    log = tmp_path / "servers.log"
    with started_by_ng_run(environment, log, policy[0], "openai_model", *venv_of_servers) as head:
        collect_rollouts(environment, "my_env_simple_agent", "data/validation.jsonl", output, head, timeout=180)
    check_answers(environment, output, "validation")


# ------------------------------------------------------------------------------ files that are not as they have to be

SPOILED = {
    "no server class": ("server.py", lambda text: "x = 1\n", "server.py must define one subclass of EnvironmentServer"),
    "two server classes": (
        "server.py",
        lambda text: text.replace(
            "\n\nVERIFIER_FIXTURE", "\n\nclass Other(EnvironmentServer):\n    pass\n\n\nVERIFIER_FIXTURE"
        ),
        "it defines MyEnvResourcesServer, Other",
    ),
    "an import that fails": (
        "server.py",
        lambda text: "import no_such_module\n" + text,
        "server.py cannot be imported: ModuleNotFoundError: No module named 'no_such_module' (server.py, line 1)",
    ),
    "a syntax error": ("server.py", lambda text: text + "def\n", "server.py cannot be imported: SyntaxError"),
    "no tasks()": ("tasks.py", lambda text: "x = 1\n", "tasks.py defines no tasks()"),
    "no demo task": ("tasks.py", lambda text: "def tasks():\n    return {}\n", "tasks.py: tasks() must have a split"),
    "a tasks() that fails": (
        "tasks.py",
        lambda text: "def tasks():\n    return {}['train']\n",
        "tasks.py: tasks() fails: KeyError: 'train' (tasks.py, line 2)",
    ),
    "a task without a prompt": (
        "tasks.py",
        lambda text: "def tasks():\n    return {'demo': [{'question': 1}]}\n",
        "tasks.py: task 0 of the split demo is no dict with a `prompt`",
    ),
    "no play()": ("policy.py", lambda text: "x = 1\n", "policy.py defines no play()"),
    "no policy.py": ("policy.py", None, "policy.py is missing"),
    "no YAML": ("configs/my_env.yaml", lambda text: text + "\n: [", "configs/my_env.yaml, line "),
    "no manifest": ("environments/my_env/manifest.yaml", None, "environments/my_env/manifest.yaml: No such file"),
}
NEEDS = {
    "server.py": ("data", "cases", "deploy"),
    "tasks.py": ("data",),
    "policy.py": ("cases", "check", "deploy", "rollout"),
    "configs/my_env.yaml": ("data", "cases", "describe"),
    "environments/my_env/manifest.yaml": ("cases", "describe"),
}
"""The programs that need a file."""
FIRST = {name: what for what, (name, _, _) in reversed(SPOILED.items())}
"""By each file, the first way in which it is spoiled."""


@pytest.fixture(scope="module")
def game(template: Template, attach: Attach, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A generated game whose files may be spoiled."""
    folder = tmp_path_factory.mktemp("spoiled") / "my_env"
    run_ok(*copy_command(template, folder), "--skip-tasks", cwd=folder.parent)
    return attach(folder, LINES[-1])


@pytest.mark.xdist_group("spoiled files")
@pytest.mark.parametrize("what", SPOILED)
def test_a_file_that_is_not_as_it_has_to_be_is_named_in_one_line(game: Environment, what: str) -> None:
    name, change, says = SPOILED[what]
    path = game.path / name
    before = path.read_text(encoding="utf-8")
    if change is None:
        path.unlink()
    else:
        path.write_text(change(before), encoding="utf-8")
    try:
        # How a program is told does not depend on what is wrong.
        for program in NEEDS[name] if FULL or what == FIRST[name] else NEEDS[name][:1]:
            command = ("python", "rollout.py") if program == "rollout" else ("gymkit", program)
            done = game.run("uv", "run", *command, *(("--dry-run",) if program == "deploy" else ()))
            assert done.returncode != 0, program
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            assert len(lines) == 1, (program, lines)
            assert says in lines[0], program
            assert "Traceback" not in done.stderr
        if name == "server.py" and says.startswith("server.py cannot"):
            for done in (game.run("uv", "run", "python", "rollout.py"), game.run("uv", "run", "pytest", "-q")):
                assert done.returncode != 0
                assert "no_such_module" in done.stdout + done.stderr or "SyntaxError" in done.stdout + done.stderr
    finally:
        path.write_text(before, encoding="utf-8")
