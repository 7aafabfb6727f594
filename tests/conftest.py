"""Environments generated as a user generates them: each archetype, on each line of NeMo Gym."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from generated import LINES, Environment, Template, free_port, generate, interpreter_for
from gym_servers import MODEL_TYPES

Environments = Callable[..., Environment]

STANDIN = Path(__file__).with_name("standin_model.py")

# A job in the background of a shell ignores Ctrl+C, and so would the programs that are interrupted here.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `FULL=1` alone runs: it is not run, and so not counted, not even as skipped."""
    if "FULL" not in os.environ:
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A clone of the working tree, committed and tagged: Copier records a commit that exists."""
    return Template.clone(tmp_path_factory.mktemp("template") / "nemo-env-template")


@pytest.fixture(scope="session")
def environments(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """A function that gives an environment called my_env, generated with its hook when it is first asked for."""

    @cache
    def get(archetype: str, line: str, *answers: str) -> Environment:
        folder = tmp_path_factory.mktemp(f"{archetype}_{line.replace('.', '_')}") / "my_env"
        return generate(template, folder, line, interpreter_for(line), f"archetype={archetype}", *answers)

    return get


@pytest.fixture(scope="session", params=LINES)
def environment(request: pytest.FixtureRequest, environments: Environments) -> Environment:
    """The environment of the parameter: a NeMo Gym line for a game, `sandbox 0.7` for another archetype."""
    archetype, _, line = request.param.rpartition(" ")
    return environments(archetype or "game", line)


@pytest.fixture
def policy(environment: Environment, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The stand-in model: its base URL, and the log of all requests that it got."""
    port, log = free_port(), tmp_path / "requests.jsonl"
    process = subprocess.Popen([environment.python, STANDIN, str(port), environment.path, log])
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1", log
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def shared_venv(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides by which all servers use the environment's own virtual environment."""
    root = tmp_path_factory.mktemp("venvs")
    servers = [
        "resources_servers/my_env",
        "responses_api_agents/simple_agent",
        "responses_api_agents/my_env_agent",
        "environment_servers/single_agent_turn_legacy",
        "environment_servers/legacy_agent",
        *(f"responses_api_models/{name}" for name in MODEL_TYPES),
    ]
    for server in servers:
        (root / server).mkdir(parents=True)
        (root / server / ".venv").symlink_to(environment.path / ".venv")
    return ["+skip_venv_if_present=true", f"+uv_venv_dir={root}", "+uvicorn_logging_show_200_ok=true"]
