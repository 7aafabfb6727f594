# Part of the template: changes belong there (`copier update` merges this file).
"""Which row of data/ an episode was played on, so that it can be played again."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from gymkit.project import ROOT

_NAMES = ("row_key", "task_id")
"""What a row is found by, the surest first."""


class Rows:
    """The rows in data/, by what names them."""

    def again(self, result: Mapping[str, Any]) -> str | None:
        """The command that plays an episode's row; None where data/ does not have it."""
        for name in _NAMES:
            place = self._places.get((name, str(result.get(name))))
            if place is not None:
                return f"uv run python rollout.py --data {place[0]} --row {place[1]}"
        return None

    @cached_property
    def _places(self) -> dict[tuple[str, str], tuple[str, int]]:
        found: dict[tuple[str, str], tuple[str, int]] = {}
        for path in sorted((ROOT / "data").glob("*.jsonl")):
            try:
                lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
                rows = [json.loads(line) for line in lines]
            except (OSError, ValueError, RecursionError):
                continue  # No row of it can be played.
            for number, row in enumerate(rows):
                for name in _NAMES:
                    if isinstance(row, dict) and isinstance(row.get(name), str):
                        found.setdefault((name, row[name]), (path.relative_to(ROOT).as_posix(), number))
        return found
