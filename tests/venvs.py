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

from generated import ARCHETYPES, ASKS_JUDGE, USES_E2B, check_line, interpreter_for, run_ok
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

KINDS = [
    *ARCHETYPES,
    *(f"{archetype} at E2B" for archetype in USES_E2B),
    *(f"{archetype} with a judge" for archetype in ASKS_JUDGE),
]
"""Every archetype, and those that can be at E2B, or have a judge, so as well."""

Project = dict[str, Any]
"""A pyproject.toml."""


def shared_venv(line: str, cache: Path, scratch: Path) -> Path:
    """The line's virtual environment, made where there is none yet with these dependencies.

    Args:
        line: Of NeMo Gym.
        cache: A folder that outlives a test run.
        scratch: A folder that all workers of this run have in common.
    """
    projects = [folder / "pyproject.toml" for folder in rendered_kinds(scratch).values()]
    wanted = union([tomllib.loads(project.read_text(encoding="utf-8")) for project in projects])
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


def rendered_kinds(scratch: Path) -> dict[str, Path]:
    """A rendered environment called my_env for each of `KINDS`. They are not to be changed."""
    folders = {kind: scratch / "kinds" / kind / "my_env" for kind in KINDS}
    with locked(scratch / "kinds.lock"):
        for kind, folder in folders.items():
            if not folder.exists():
                archetype, _, more = kind.partition(" ")
                answers = {"at E2B": {"use_e2b": "true"}, "with a judge": {"use_judge": "true"}}
                render(archetype, folder, **answers.get(more, {}))
    return folders


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
