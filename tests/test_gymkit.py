"""gymkit's own tests (tests/of_gymkit), which run inside a generated game.

They are about what all environments share, on a small server of their own (the template's tests/probe.py): so they
are not among the tests that every environment gets.
"""

import shutil
import sys
from pathlib import Path

import pytest
from conftest import Attach
from generated import LINES, ROOT, Environment, run
from render import render

OWN = ROOT / "tests" / "of_gymkit"


@pytest.fixture
def game(attach: Attach, tmp_path: Path, line: str) -> Environment:
    """A game, with gymkit's tests among its own."""
    folder = tmp_path / "my_env"
    render("game", folder)
    shutil.copytree(OWN, folder / "tests", dirs_exist_ok=True)
    return attach(folder, line)


@pytest.mark.parametrize("line", LINES)
def test_gymkits_own_tests_pass(game: Environment) -> None:
    files = sorted(f"tests/{path.name}" for path in OWN.glob("test_*.py"))
    # As an environment runs its own: more processes than cores, since many of them wait.
    assert game.own_tests("-n", "3", "--dist", "loadfile", *files) > 400


@pytest.mark.needs("Node.js")
@pytest.mark.parametrize("line", LINES[-1:])
def test_their_types_are_right(game: Environment) -> None:
    done = run(sys.executable, "-m", "pyright", "tests", cwd=game.path)
    assert done.returncode == 0, done.stdout + done.stderr
