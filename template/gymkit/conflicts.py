# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit conflicts`: the places of the conflict markers that an update has left."""

import argparse
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gymkit.project import ROOT

MARKERS = (b"<<<<<<< ", b">>>>>>> ")
NOT_OURS = {"results", "cache", "outputs", "__pycache__"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="*", type=Path, help="look there (default: everywhere)")


def run(options: argparse.Namespace) -> int:
    """Print the places; the exit status is 1 where there are any."""
    places = conflicts(options.file or files(ROOT))
    print("\n".join(f"conflict marker: {place}" for place in places))
    return 1 if places else 0


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
