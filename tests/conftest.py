"""Environments generated as a user generates them, one for each line of NeMo Gym."""

from collections.abc import Iterator

import pytest
from generated import LINES, Environment, Template, generate, interpreter_for


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A clone of the working tree, committed and tagged: Copier records a commit that exists."""
    return Template.clone(tmp_path_factory.mktemp("template") / "nemo-env-template")


@pytest.fixture(scope="session", params=LINES)
def environment(
    request: pytest.FixtureRequest, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """A game called my_env, generated with its hook, on the NeMo Gym line of the parameter."""
    line: str = request.param
    folder = tmp_path_factory.mktemp(f"line_{line.replace('.', '_')}") / "my_env"
    yield generate(template, folder, line, interpreter_for(line))
