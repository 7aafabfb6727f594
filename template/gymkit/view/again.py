# Part of the template: changes belong there (`copier update` merges this file).
"""Playing an episode's row again: which row of data/ it was, and `rollout.py` on it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from gymkit.errors import CommandError
from gymkit.project import ROOT

_NAMES = ("row_key", "task_id")
"""What a row is found by, the surest first."""


class Place(NamedTuple):
    """A row of data/."""

    file: str
    """Relative to the environment's root."""
    row: int

    @property
    def arguments(self) -> list[str]:
        return ["--data", self.file, "--row", str(self.row)]

    @property
    def command(self) -> str:
        return f"uv run python rollout.py {' '.join(self.arguments)}"


class Rows:
    """The rows in data/, by what names them."""

    def place(self, result: Mapping[str, Any]) -> Place | None:
        """Where an episode's row is; None where data/ does not have it."""
        found = (self._places.get((name, str(result.get(name)))) for name in _NAMES)
        return next((place for place in found if place), None)

    @cached_property
    def _places(self) -> dict[tuple[str, str], Place]:
        found: dict[tuple[str, str], Place] = {}
        for path in sorted((ROOT / "data").glob("*.jsonl")):
            try:
                lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
                rows = [json.loads(line) for line in lines]
            except (OSError, ValueError, RecursionError):
                continue  # No row of it can be played.
            for number, row in enumerate(rows):
                for name in _NAMES:
                    if isinstance(row, dict) and isinstance(row.get(name), str):
                        found.setdefault((name, row[name]), Place(path.relative_to(ROOT).as_posix(), number))
        return found


def play(place: Place, output: Path) -> None:
    """Play a row by `rollout.py`: by policy.py, or by the model that the environment's variables name.

    Args:
        place: Of the row.
        output: Where its trajectory goes.

    Raises:
        CommandError: the episode was not played to its end. The message is the last line that it said.
    """
    command = [sys.executable, "rollout.py", *place.arguments, "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise CommandError(said[-1] if said else f"rollout.py ended with {done.returncode}")
