"""The sandbox archetype as its user meets it, on both lines of NeMo Gym. (Its backend is tested by its own tests.)"""

import pytest
from conftest import Environments
from generated import FULL, LINES, PLAYS, Environment

on_the_oldest_line = pytest.mark.parametrize("environment", [f"sandbox {LINES[0]}"], indirect=True)
on_the_newest_line = pytest.mark.parametrize(
    "environment", [f"sandbox {line}" for line in (LINES if FULL else LINES[-1:])], indirect=True
)


@on_the_oldest_line
def test_the_first_rollout_solves_its_task_without_a_key(environment: Environment) -> None:
    assert environment.run_ok("uv", "run", "python", "rollout.py").rstrip().endswith("Reward: 1")


# CI runs what is this archetype's own, with a local kernel on the newest line and with E2B on the oldest; the rest is
# alike in all archetypes. All of it passes on both.
@pytest.mark.needs("bubblewrap")
@on_the_newest_line
def test_its_own_tests_pass(environment: Environment) -> None:
    if FULL:
        assert environment.own_tests() > 180
    else:
        files = ("test_analysis.py", "test_sandbox.py", "test_confinement.py", "test_forks.py", "test_contract.py")
        assert environment.own_tests(*(f"tests/{name}" for name in files)) > 80


@pytest.mark.long
@pytest.mark.parametrize("line", LINES if FULL else LINES[:1])
def test_the_same_tests_pass_through_e2bs_own_client(environments: Environments, line: str) -> None:
    environment = environments("sandbox", line, "use_e2b=true")
    assert not (environment.path / "sandbox" / "confinement").exists()
    if FULL:
        assert environment.own_tests() > 180
    else:
        assert environment.own_tests("tests/test_e2b.py", PLAYS) > 40


@on_the_oldest_line
def test_beyond_loopback_it_wants_a_key(environment: Environment) -> None:
    variables = {"ENV_HOST": "0.0.0.0", "PORT": "12345", "ENV_API_KEY": ""}
    done = environment.run(environment.python, "server.py", env=variables)
    assert done.returncode == 1
    assert "set ENV_API_KEY" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
