# Part of the template: changes belong there (`copier update` merges this file).
"""The rows that are audited: those in data/, in an order that does not change."""

import re
from typing import NamedTuple

from gymkit.project import ROOT, ProjectError
from gymkit.rows import Row, data_path, read_rows

FIRST = ("example", "validation", "train")
MADE_BY_NEMO_GYM = re.compile(r".*_(prepare|metrics|rollouts)")


class Case(NamedTuple):
    """A row, and where it stands."""

    order: int
    place: str
    """Its split and number, as `--row` takes it."""
    row: Row

    @property
    def task_id(self) -> str:
        return str(self.row.get("task_id", "no task_id"))


def cases(only: str | None = None, most: int | None = None) -> list[Case]:
    """The rows of all splits.

    Args:
        only: The place of a row, `example:0`, or its task_id: that one alone.
        most: So many at most.

    Raises:
        ProjectError: there is no such row, or a file of rows is not as it has to be.
    """
    names = sorted(path.stem for path in (ROOT / "data").glob("*.jsonl") if not MADE_BY_NEMO_GYM.fullmatch(path.stem))
    splits = [name for name in FIRST if name in names] + [name for name in names if name not in FIRST]
    if not splits:
        raise ProjectError("data/ holds no rows: `uv run gymkit data` writes them.")
    found: list[Case] = []
    for split in splits:
        for number, row in enumerate(read_rows(data_path(split))):
            found.append(Case(len(found), f"{split}:{number}", row))
    if only is not None:
        found = [case for case in found if only in (case.place, case.task_id)][:1]
        if not found:
            raise ProjectError(f"No row {only!r} in data/: write its split and number, as example:0, or its task_id.")
    return found[:most]
