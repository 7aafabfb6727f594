"""The sandbox archetype as its user meets it, on both lines of NeMo Gym. (Its backend is tested by its own tests.)"""

import os

import pytest
from conftest import Environments
from generated import LINES, Environment, own_tests, run, run_ok


@pytest.fixture(params=LINES)
def sandbox(request: pytest.FixtureRequest, environments: Environments) -> Environment:
    """A sandbox environment called my_env on the NeMo Gym line of the parameter."""
    return environments("sandbox", request.param)


def test_the_first_rollout_solves_its_task_without_a_key(sandbox: Environment) -> None:
    output = run_ok("uv", "run", "python", "rollout.py", cwd=sandbox.path, **sandbox.environ())
    assert output.rstrip().endswith("Reward: 1"), output


# CI runs what is this archetype's own, with a local kernel on the newest line and with E2B on the oldest; the rest is
# alike in all archetypes. All of it passes on both.
@pytest.mark.parametrize("sandbox", LINES if "FULL" in os.environ else LINES[-1:], indirect=True)
def test_its_own_tests_pass(sandbox: Environment) -> None:
    if "FULL" in os.environ:
        assert own_tests(sandbox) > 180
    else:
        files = ("test_analysis.py", "test_sandbox.py", "test_confinement.py", "test_contract.py")
        assert own_tests(sandbox, *(f"tests/{name}" for name in files)) > 80


@pytest.mark.parametrize("line", LINES if "FULL" in os.environ else LINES[:1])
def test_the_same_tests_pass_through_e2bs_own_client(environments: Environments, line: str) -> None:
    environment = environments("sandbox", line, "use_e2b=true")
    assert not (environment.path / "confinement").exists()
    if "FULL" in os.environ:
        assert own_tests(environment) > 180
    else:
        wins = "tests/test_rollout.py::test_it_starts_the_environment_itself_and_wins"
        assert own_tests(environment, "tests/test_e2b.py", wins) > 40


@pytest.mark.parametrize("sandbox", LINES[:1], indirect=True)
def test_beyond_loopback_it_wants_a_key(sandbox: Environment) -> None:
    variables = sandbox.environ() | {"ENV_HOST": "0.0.0.0", "PORT": "12345", "ENV_API_KEY": ""}
    done = run(sandbox.python, "server.py", cwd=sandbox.path, **variables)
    assert done.returncode == 1
    assert "set ENV_API_KEY" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
