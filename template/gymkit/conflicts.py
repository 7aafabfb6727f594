# Part of the template: changes belong there (`copier update` merges this file).
"""Conflict markers that an update has left: `python -m gymkit.conflicts [FILE ...]` names their places."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

MARKERS = (b"<<<<<<< ", b">>>>>>> ")
NOT_OURS = {"results", "cache", "outputs", "__pycache__"}


def files(root: Path) -> Iterator[Path]:
    """The files below a folder, without hidden folders (.git, .venv) and what NeMo Gym writes."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_OURS]
        yield from (Path(folder) / name for name in names)


def conflicts(paths: Iterable[Path]) -> list[str]:
    """The places of all conflict markers, as `file:line`."""
    return [
        f"{path}:{number}"
        for path in paths
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if line.startswith(MARKERS)
    ]


if __name__ == "__main__":
    places = conflicts(map(Path, sys.argv[1:])) if len(sys.argv) > 1 else conflicts(files(Path()))
    print("\n".join(f"conflict marker: {place}" for place in places))
    sys.exit(1 if places else 0)
