"""The sandbox archetype as its user meets it, on both lines of NeMo Gym. (Its backend is tested by its own tests.)"""

import re

import pytest
from conftest import Environments
from generated import LINES, Environment, run, run_ok


@pytest.fixture(params=LINES)
def sandbox(request: pytest.FixtureRequest, environments: Environments) -> Environment:
    """A sandbox environment called my_env on the NeMo Gym line of the parameter."""
    return environments("sandbox", request.param)


def test_the_first_rollout_solves_its_task_without_a_key(sandbox: Environment) -> None:
    output = run_ok("uv", "run", "python", "rollout.py", cwd=sandbox.path, **sandbox.environ())
    assert output.rstrip().endswith("Reward: 1"), output


def test_its_own_tests_pass(sandbox: Environment) -> None:
    output = run_ok("uv", "run", "pytest", "-q", cwd=sandbox.path, timeout=1200, **sandbox.environ())
    passed = re.search(r"^(\d+) passed", output.splitlines()[-1])
    assert passed, output
    assert int(passed[1]) > 180
    assert "skipped" not in output.splitlines()[-1]


@pytest.mark.parametrize("sandbox", LINES[:1], indirect=True)
def test_beyond_loopback_it_wants_a_key(sandbox: Environment) -> None:
    variables = sandbox.environ() | {"ENV_HOST": "0.0.0.0", "PORT": "12345", "ENV_API_KEY": ""}
    done = run(sandbox.python, "server.py", cwd=sandbox.path, **variables)
    assert done.returncode == 1
    assert "set ENV_API_KEY" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
