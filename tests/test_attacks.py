"""A policy cannot steer its own grade: a model that tries to (standins/attacking_model.py), through NeMo Gym's agents.

Every episode must come back with the reward that its play deserves, and none masked. What each request does in each
state of a session is tested in tests/of_gymkit/test_states.py and the environment's own tests/test_control_calls.py.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attacking_model import MARK, PLANS, deserved, plan_in
from generated import FULL, LINES, ROOT, Environment
from gym_servers import collect_rollouts, gym_eval_run, standin, started_by_ng_run
from standin_model import text_of

pytestmark = pytest.mark.xdist_group("ray")

ATTACKER = ROOT / "standins" / "attacking_model.py"

# Each run takes half a minute. In CI, 0.4 shows what its agents do with a lost cookie, 0.7 what typed seeds do.
BY_NG_RUN = LINES if FULL else LINES[:1]


FOR_ANY_TOOLS = ("seeds the demo row", "verifies it by nothing but a response", "closes it", "loses its cookie")
"""Attacks that are none on the game alone."""


@contextmanager
def attacked(environment: Environment, folder: Path, plans: list[str]) -> Iterator[tuple[Environment, str]]:
    """A copy of an environment with a validation row for each plan, and the URL of the model that follows them."""
    path = folder / "my_env"
    # NeMo Gym refuses rows that do not fit the metrics which it wrote beside them in another test.
    left = shutil.ignore_patterns("results", "__pycache__", "*_metrics*.json")
    shutil.copytree(environment.path, path, symlinks=True, ignore=left)
    (path / "results").mkdir()
    rows = path / "data" / "validation.jsonl"
    before = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    rows.write_text("".join(attack_row(before, number, plan) for number, plan in enumerate(plans)), encoding="utf-8")
    copy = replace(environment, path=path)
    with standin(ATTACKER, copy, folder / "requests.jsonl") as url:
        yield copy, url


def attack_row(rows: list[dict[str, Any]], number: int, plan: str) -> str:
    """A line with a row whose prompt names a plan."""
    row = json.loads(json.dumps(rows[number % len(rows)]))
    message = row["responses_create_params"]["input"][-1]
    message["content"] = text_of(message["content"]) + MARK + plan
    return json.dumps(row | {"task_id": f"attack-{number}", "row_key": f"{number:016x}"}) + "\n"


def check_rewards(output: Path, plans: list[str]) -> str:
    """Every plan came back with what it deserves; all that the tools have answered."""
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    by_plan = {
        plan_in(text_of(result["responses_create_params"]["input"][-1]["content"])): result for result in results
    }
    assert len(results) == len(plans)
    assert set(by_plan) == set(plans)
    wrong = {
        plan: (result["reward"], result["mask_sample"], result.get("failure_kind"))
        for plan, result in by_plan.items()
        if (result["reward"], result["mask_sample"]) != (deserved(plan), False)
    }
    assert not wrong, f"{len(wrong)} of {len(plans)}: {json.dumps(wrong, indent=1)}"
    items = [item for result in results for item in result["response"]["output"]]
    return "\n".join(text_of(item["output"]) for item in items if item["type"] == "function_call_output")


def by_ng_run(environment: Environment, venv_of_servers: list[str], folder: Path, agent: str, plans: list[str]) -> str:
    """Collect an episode of each plan; all that the tools have answered."""
    with attacked(environment, folder, plans) as (copy, url):
        output = copy.path / "results" / "attacks.jsonl"
        with started_by_ng_run(copy, folder / "servers.log", url, "openai_model", *venv_of_servers) as head:
            collect_rollouts(copy, agent, "data/validation.jsonl", output, head)
        return check_rewards(output, plans)


@pytest.mark.long
@pytest.mark.parametrize("environment", BY_NG_RUN, indirect=True)
def test_by_ng_run(environment: Environment, venv_of_servers: list[str], tmp_path: Path) -> None:
    check_that_it_attacked(by_ng_run(environment, venv_of_servers, tmp_path, "my_env_simple_agent", PLANS))


@pytest.mark.full
@pytest.mark.parametrize("environment", [f"computer_use {line}" for line in LINES], indirect=True)
def test_an_agent_of_the_environments_own(environment: Environment, venv_of_servers: list[str], tmp_path: Path) -> None:
    """agent.py posts to no name that is not a tool's: a model that closes its session does not even freeze it."""
    plans = [f"{when} {name}" for name in FOR_ANY_TOOLS for when in ("lost", "early", "won")]
    outputs = by_ng_run(environment, venv_of_servers, tmp_path, "my_env_agent", plans)
    for text in ("there is no tool 'seed_session'", "there is no tool 'verify'", "there is no tool 'close_session'"):
        assert text in outputs
    assert "cannot be begun anew" not in outputs


@pytest.mark.long
@pytest.mark.parametrize("environment", [line for line in LINES if line == "0.7"], indirect=True)
def test_by_gym_eval_run(environment: Environment, venv_of_servers: list[str], tmp_path: Path) -> None:
    """With typed seeds, and a close after the verdict."""
    with attacked(environment, tmp_path, PLANS) as (copy, url):
        output = copy.path / "results" / "attacks.jsonl"
        gym_eval_run(copy, output, url, "openai_model", *venv_of_servers)
        check_that_it_attacked(check_rewards(output, PLANS))


def check_that_it_attacked(outputs: str) -> None:
    """The calls have reached the server, or the rewards would prove nothing."""
    for text in ("cannot be begun anew", "this session has ended", "Invalid HTTP request", "there is no tool"):
        assert text in outputs


def test_the_architecture_has_the_tables_of_states_that_are_tested() -> None:
    tested = (ROOT / "tests" / "of_gymkit" / "test_states.py").read_text(encoding="utf-8")
    tables = tested.split('TABLES = """\n')[1].split('"""')[0].strip().split("\n\n")
    assert len(tables) == 2
    document = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for table in tables:
        assert table in document
