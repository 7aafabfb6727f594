# Part of the template: changes belong there (`copier update` merges this file).
"""What stands in the files that are given, and a line for each thing that had to be left out of them.

A file is of one kind, which its first readable part tells: rollouts, a curve of a training run, or an audit report.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROLLOUTS, CURVE, AUDIT = "rollouts", "a curve", "an audit report"

_WHOLE = 64 * 1024 * 1024
"""So large may a file be that is no JSONL: a report is read as a whole."""
_SHOWN = 5
"""So many of a file's bad lines are named; the others are counted."""


@dataclass
class Notes:
    """What was left out, and why: a line for each."""

    lines: list[str] = field(default_factory=list)
    _counts: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path, number: int, why: str) -> None:
        """A line of a file was left out."""
        count = self._counts[path] = self._counts.get(path, 0) + 1
        if count <= _SHOWN:
            self.lines.append(f"{path}, line {number}: left out: {why}")

    def file(self, path: Path, why: str) -> None:
        """Nothing of a file is shown."""
        self.lines.append(f"{path}: left out: {why}")

    def end(self, path: Path) -> None:
        """The file has been read to its end."""
        more = self._counts.get(path, 0) - _SHOWN
        if more > 0:
            self.lines.append(f"{path}: left out: {more} lines more")


@dataclass(frozen=True)
class Line:
    """A JSON object on a line of a file."""

    number: int
    """Counted from 1."""
    offset: int
    """Where it begins, in bytes."""
    value: Json


@dataclass(frozen=True)
class Contents:
    """A file that has been understood."""

    path: Path
    kind: str
    lines: Iterator[Line]
    """Those of its kind. A report is one line."""


def opened(path: Path, notes: Notes) -> Contents | None:
    """What a file holds; None, and a note, where there is nothing to show."""
    try:
        size = path.stat().st_size
        whole = None if size > _WHOLE else _document(path)
    except OSError as error:
        notes.file(path, f"it cannot be read ({error.strerror or error})")
        return None
    if size == 0:
        notes.file(path, "it is empty")
        return None
    lines = iter([Line(1, 0, whole)]) if isinstance(whole, dict) else _objects(path, notes)
    first = next(lines, None)
    if first is None:
        notes.end(path)
        notes.file(path, "no line of it can be read" if whole is None else "it holds no JSON object")
        return None
    kind = _kind(first.value)
    if kind not in (ROLLOUTS, CURVE, AUDIT):
        notes.file(
            path, f"it holds {kind or 'nothing that is known here'}: rollouts, curves and audit reports are shown"
        )
        return None
    return Contents(path, kind, _of_kind(kind, path, first, lines, notes))


def read_at(path: Path, offset: int) -> Json:
    """The JSON object on the line that begins there."""
    with path.open("rb") as file:
        file.seek(offset)
        return _loads(file.readline())


def _document(path: Path) -> Any:
    """A file that is one JSON document over several lines; None where it is none."""
    with path.open("rb") as file:
        first = file.readline()
        try:
            _loads(first)
        except (ValueError, RecursionError):
            try:
                return _loads(first + file.read())
            except (ValueError, RecursionError):
                return None
    return None


def _objects(path: Path, notes: Notes) -> Iterator[Line]:
    """The JSON objects of a JSONL file."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            begins, offset = offset, offset + len(line)
            if not line.strip():
                continue
            try:
                value = _loads(line)
            except UnicodeDecodeError as error:
                notes.line(path, number, f"this is no UTF-8 text ({error.reason} at byte {error.start})")
            except RecursionError:
                notes.line(path, number, "it is nested too deeply")
            except ValueError as error:
                cut_off = "" if line.endswith(b"\n") else "it is cut off, as when a run is interrupted: "
                notes.line(path, number, f"{cut_off}this is no JSON ({error})")
            else:
                if isinstance(value, dict):
                    yield Line(number, begins, value)
                else:
                    notes.line(path, number, "this is no JSON object")


def _of_kind(kind: str, path: Path, first: Line, others: Iterator[Line], notes: Notes) -> Iterator[Line]:
    yield first
    for line in others:
        found = _kind(line.value)
        if found == kind:
            yield line
        else:
            notes.line(path, line.number, f"this is not of {kind}, as the lines before it are")
    notes.end(path)


def _kind(value: Mapping[str, Any]) -> str | None:
    if isinstance(value.get("checks"), list) and "environment" in value:
        return AUDIT
    failed = "_ng_failure_class" in value or "failure_kind" in value
    if "response" in value or failed or ("reward" in value and "responses_create_params" in value):
        return ROLLOUTS
    if "step" in value:
        return CURVE
    return "data rows, which nobody has played yet" if "responses_create_params" in value else None


def _loads(text: bytes) -> Any:
    """JSON without NaN and infinities, which are no JSON: they become texts."""
    return json.loads(text.decode("utf-8-sig"), parse_constant=str)
