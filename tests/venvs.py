"""One virtual environment for each line of NeMo Gym, which all rendered environments share.

It holds what any archetype depends on. To install that for each of them again, and above all to compile it to bytecode
again, would take most of the tests' time. What it hides, a dependency that an archetype uses and does not name, is
looked for in test_layers.py; environments with a virtual environment of their own are made where that is the subject.
"""

import hashlib
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

from generated import ARCHETYPES, USES_E2B, check_line, interpreter_for, run_ok
from locks import locked
from render import render

PYPROJECT = """\
[project]
name = "shared"
version = "0"
requires-python = "{requires_python}"
dependencies = {dependencies}

[dependency-groups]
dev = {dev}

[tool.uv]
package = false
"""

# Of an editable install: which environment it is that `gymkit` comes from, PYTHONPATH says.
SCRIPT = """\
#!{python}
import sys

from {module} import {function}

sys.exit({function}())
"""

Project = dict[str, Any]


def shared_venv(line: str, cache: Path, scratch: Path) -> Path:
    """The line's virtual environment, made where there is none yet with these dependencies.

    Args:
        line: Of NeMo Gym.
        cache: A folder that outlives a test run.
        scratch: A folder that all workers of this run have in common.
    """
    wanted = union(dependencies_of_all(scratch))
    interpreter = interpreter_for(line)
    text = PYPROJECT.format(**{name: json.dumps(value) for name, value in wanted["lists"].items()}, **wanted["texts"])
    digest = hashlib.sha256(json.dumps([text, wanted["scripts"], str(interpreter)]).encode()).hexdigest()[:16]
    folder, done = cache / line, cache / line / digest
    with locked(cache / f"{line}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "pyproject.toml").write_text(text)
            run_ok("uv", "sync", "--python", interpreter, cwd=folder)
            check_line(folder / ".venv/bin/python", line)
            for name, entry in wanted["scripts"].items():
                module, function = entry.split(":")
                script = folder / ".venv/bin" / name
                script.write_text(SCRIPT.format(python=folder / ".venv/bin/python", module=module, function=function))
                script.chmod(0o755)
            done.touch()
    return folder / ".venv"


def dependencies_of_all(scratch: Path) -> list[Project]:
    """The pyproject.toml of every archetype, with E2B and without."""
    stored = scratch / "projects.json"
    with locked(scratch / "projects.lock"):
        if not stored.exists():
            kinds = [(each, "false") for each in ARCHETYPES] + [(each, "true") for each in USES_E2B]
            folders = [scratch / "projects" / f"{archetype}_{use_e2b}" / "my_env" for archetype, use_e2b in kinds]
            for (archetype, use_e2b), folder in zip(kinds, folders, strict=True):
                render(archetype, folder, use_e2b=use_e2b)
            projects = [tomllib.loads((folder / "pyproject.toml").read_text("utf-8")) for folder in folders]
            stored.write_text(json.dumps(projects))
    return json.loads(stored.read_text())


def union(projects: list[Project]) -> dict[str, Any]:
    """What at least one of the projects asks for."""
    [requires_python] = {project["project"]["requires-python"] for project in projects}
    dependencies = {each for project in projects for each in project["project"]["dependencies"]}
    groups = {each for project in projects for group in project["dependency-groups"].values() for each in group}
    scripts = {name: entry for each in projects for name, entry in each["project"].get("scripts", {}).items()}
    return {
        "lists": {"dependencies": sorted(dependencies), "dev": sorted(groups)},
        "texts": {"requires_python": requires_python},
        "scripts": scripts,
    }
