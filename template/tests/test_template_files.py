# Part of the template: changes belong there (`copier update` merges this file).
"""The template's own files: none lost, none edited without your knowing, no conflict left open by an update."""

import hashlib
import tomllib

from gymkit.conflicts import conflicts, files
from gymkit.project import ROOT


def test_the_templates_files_are_as_the_template_has_them() -> None:
    """An edited file will be merged at the next update, a deleted one stays deleted, and fixes no longer reach it.

    If that is what you want, list the file in pyproject.toml: `[tool.gymkit]`, `own = ["rollout.py"]`.
    """
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    own = set(pyproject.get("tool", {}).get("gymkit", {}).get("own", []))
    edited, missing = [], []
    for line in (ROOT / "gymkit" / "template_files.sha256").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        path = ROOT / name
        if name in own:
            continue
        if not path.is_file():
            missing.append(name)
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            edited.append(name)
    assert not edited and not missing, f"edited: {', '.join(edited) or 'none'}; missing: {', '.join(missing) or 'none'}"


def test_no_conflict_is_left_open() -> None:
    assert conflicts(files(ROOT)) == []
