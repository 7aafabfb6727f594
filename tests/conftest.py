"""Environments generated as a user generates them: each archetype, on each line of NeMo Gym."""

import signal
from collections.abc import Callable
from functools import cache

import pytest
from generated import LINES, Environment, Template, generate, interpreter_for

Environments = Callable[..., Environment]

# A job in the background of a shell ignores Ctrl+C, and so would the programs that are interrupted here.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
