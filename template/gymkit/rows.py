# Part of the template: changes belong there (`copier update` merges this file).
"""Data rows: what a row is, its expected output, and the rows in data/. `gymkit.data` makes them from tasks."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gymkit.project import ROOT, ProjectError

Row = dict[str, Any]
"""A data row as NeMo Gym has it: `responses_create_params`, mostly `ground_truth`, and whatever else the task needs."""


def expected_output(row: Mapping[str, Any]) -> Any:
    """The answer in a row's ground truth, or None where it has none.

    The form is `ground_truth: [{"expected_output": ...}]`; a bare object and a bare value are understood too.
    """
    truth = row.get("ground_truth")
    if isinstance(truth, list):
        truth = truth[0] if truth else None
    if isinstance(truth, Mapping) and "expected_output" in truth:
        truth = truth["expected_output"]
    return truth


def data_path(split: str) -> Path:
    """The file of a split's rows."""
    return ROOT / "data" / f"{split}.jsonl"


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSONL file, at least one.

    Raises:
        ProjectError: it cannot be read, or holds something else.
    """
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ProjectError(f"{name}: {error.strerror}. `uv run gymkit data` writes the rows in data/.") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ProjectError(f"{name}, line {number}: this is no JSON ({error}).") from None
            if not isinstance(row, dict) or not isinstance(row.get("responses_create_params"), dict):
                raise ProjectError(f"{name}, line {number}: this is no data row: it has no `responses_create_params`.")
            rows.append(row)
    if not rows:
        raise ProjectError(f"{name} holds no rows. `uv run gymkit data` writes the rows in data/.")
    return rows


@cache
def demo_row() -> Row:
    """The public row that is played where no row is given: the first of data/demo.jsonl."""
    return read_rows(data_path("demo"))[0]
