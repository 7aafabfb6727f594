"""Carry a user's edits over to a file's new name, after an update to the release that has moved it.

    python move_file.py --run-by-copier TEMPLATE OLD NEW

Copier itself deletes the old file, edits and all, and writes the new one. This merges the edits into the new one: the
user's file is that of the last commit, and what he began with is rendered anew, from the release that he comes from.
(`git mv` before the update would conflict whenever the release changes the file too, edited or not.)
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import copier
import yaml
from stopping import RUN_BY_COPIER


def committed(name: str) -> bytes | None:
    """A file as it stands in the last commit; None where there is none."""
    shown = subprocess.run(["git", "show", f"HEAD:./{name}"], capture_output=True, check=False)
    return shown.stdout if shown.returncode == 0 else None


def rendered_before(template: str, name: str, folder: Path) -> bytes | None:
    """A file as the release that the user comes from has written it; None where that had no such file."""
    answers = yaml.safe_load(committed(".copier-answers.yml") or b"") or {}
    release = answers.pop("_commit")
    answers = {key: value for key, value in answers.items() if not key.startswith("_")}
    target = folder / Path.cwd().name
    copier.run_copy(
        template, target, data=answers, vcs_ref=release, defaults=True, skip_tasks=True, unsafe=True, quiet=True
    )
    path = target / name
    return path.read_bytes() if path.is_file() else None


def main() -> None:
    template, old, new = [argument for argument in sys.argv[1:] if argument != RUN_BY_COPIER]
    if not Path(new).is_file():
        return
    users = committed(old)
    if users is None:  # A file that the user has deleted stays deleted.
        Path(new).unlink()
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        before = rendered_before(template, old, folder)
        if before is None or before == users:
            return
        (folder / "before").write_bytes(before)
        (folder / "users").write_bytes(users)
        (folder / "after").write_bytes(Path(new).read_bytes())
        labels = [part for label in ("before updating", "last update", "after updating") for part in ("-L", label)]
        merge = ["git", "merge-file", "-p", *labels, *(str(folder / name) for name in ("users", "before", "after"))]
        Path(new).write_bytes(subprocess.run(merge, capture_output=True, check=False, env=os.environ).stdout)


if __name__ == "__main__":
    main()
