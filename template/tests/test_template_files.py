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
    lists = sorted((ROOT / "gymkit" / "template_files").glob("*.sha256"))
    assert lists
    for line in "".join(path.read_text(encoding="utf-8") for path in lists).splitlines():
        digest, pattern = line.split("  ")
        found = list(ROOT.glob(pattern))
        for path in found:
            name = path.relative_to(ROOT).as_posix()
            if name not in own and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                edited.append(name)
        if not found and pattern not in own:
            missing.append(pattern)
    assert not edited and not missing, f"edited: {', '.join(edited) or 'none'}; missing: {', '.join(missing) or 'none'}"


def test_no_conflict_is_left_open() -> None:
    assert conflicts(files(ROOT)) == []
