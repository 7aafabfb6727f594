"""Pyright (basic) finds nothing in a generated environment, the user's server.py included."""

import sys

import pytest
from conftest import Environments
from generated import ARCHETYPES, LINES, USES_E2B, run

pytestmark = pytest.mark.needs("Node.js")

KINDS = [(archetype, ()) for archetype in ARCHETYPES] + [(archetype, ("use_e2b=true",)) for archetype in USES_E2B]
KINDS += [("question", ("use_judge=true",))]


@pytest.mark.parametrize(("archetype", "answers"), KINDS, ids=[" ".join((kind, *more)) for kind, more in KINDS])
def test_pyright_is_clean(environments: Environments, archetype: str, answers: tuple[str, ...]) -> None:
    environment = environments(archetype, LINES[-1], *answers)
    done = run(sys.executable, "-m", "pyright", cwd=environment.path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_type_is_found(environments: Environments) -> None:
    environment = environments("game", LINES[-1])
    wrong = environment.path / "wrong.py"
    wrong.write_text("from wordle import WordleGame\n\nWordleGame(7).gess('crane')\n")
    try:
        done = run(sys.executable, "-m", "pyright", "wrong.py", cwd=environment.path)
    finally:
        wrong.unlink()
    assert done.returncode == 1
    assert "2 errors" in done.stdout
