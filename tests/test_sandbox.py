"""The sandbox archetype as its user meets it, on both lines of NeMo Gym. (Its backend is tested by its own tests.)"""

import re
from collections.abc import Iterator

import pytest
from generated import LINES, Environment, Template, generate, interpreter_for, run, run_ok


@pytest.fixture(scope="module", params=LINES)
def sandbox(
    request: pytest.FixtureRequest, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """A sandbox environment called my_env, generated with its hook, on the NeMo Gym line of the parameter."""
    line: str = request.param
    folder = tmp_path_factory.mktemp(f"sandbox_{line.replace('.', '_')}") / "my_env"
    yield generate(template, folder, line, interpreter_for(line), "archetype=sandbox")


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
