"""Pyright (basic) finds nothing in a generated environment, the user's server.py included."""

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import Environments
from generated import ARCHETYPES, ASKS_JUDGE, LINES, USES_E2B, run

pytestmark = pytest.mark.needs("Node.js")

KINDS = [(archetype,) for archetype in ARCHETYPES] + [(archetype, "use_e2b=true") for archetype in USES_E2B]
KINDS += [(archetype, "use_judge=true") for archetype in ASKS_JUDGE]


def test_pyright_is_clean(environments: Environments) -> None:
    """All kinds of environments in one run: most of its time goes to the packages that they have in common."""
    paths = [environments(archetype, LINES[-1], *answers).path for archetype, *answers in KINDS]
    own = [tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"] for path in paths]
    settings = own[0]
    assert all(each == settings for each in own)
    left_out = {name.removeprefix("**/") for name in settings["exclude"]}
    folder = Path(os.path.commonpath(paths))
    inside = [path.relative_to(folder).as_posix() for path in paths]  # Absolute ones Pyright would leave out.
    settings |= {
        "include": inside,
        "exclude": [f"{path}/{name}" for path in inside for name in settings["exclude"]],
        "venvPath": str(paths[0]),
        "executionEnvironments": [each for path in inside for each in roots(path)],
    }
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    done = run(sys.executable, "-m", "pyright", "-p", config, "--outputjson", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    modules = [each.relative_to(path) for path in paths for each in path.rglob("*.py")]
    looked_at = [each for each in modules if not left_out & set(each.parts)]
    assert json.loads(done.stdout)["summary"]["filesAnalyzed"] == len(looked_at)


def roots(path: str) -> list[dict[str, Any]]:
    """As an environment's own settings have them: what training depends on is not installed."""
    training = {"root": f"{path}/train", "extraPaths": [path], "reportMissingImports": False}
    return [training, {"root": path, "extraPaths": [f"{path}/tests"]}]


def test_a_wrong_type_is_found(environments: Environments) -> None:
    """By the environment's own settings."""
    environment = environments("game", LINES[-1])
    wrong = environment.path / "wrong.py"
    wrong.write_text("from wordle import WordleGame\n\nWordleGame(7).gess('crane')\n")
    try:
        done = run(sys.executable, "-m", "pyright", cwd=environment.path)
    finally:
        wrong.unlink()
    assert done.returncode == 1
    assert "2 errors" in done.stdout
