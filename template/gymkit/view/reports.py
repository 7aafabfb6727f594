# Part of the template: changes belong there (`copier update` merges this file).
"""Curves of training runs, and audit reports: what of them is shown.

A curve is JSONL: each line has a `step` and a `reward`, both numbers, and may have further numbers (`loss`, `kl`).
"""

from typing import Any

from gymkit.view.files import Contents, Json, Notes
from gymkit.view.statistics import finite
from gymkit.view.transcripts import mapping, sequence


def curve(contents: Contents, name: str, notes: Notes) -> Json | None:
    """The points of a curve in the order of their steps; None where there is none."""
    points: list[dict[str, float]] = []
    for line in contents.lines:
        if finite(line.value.get("step")) and finite(line.value.get("reward")):
            points.append({name: float(value) for name, value in line.value.items() if finite(value)})
        else:
            notes.line(contents.path, line.number, "a point of a curve has a `step` and a `reward`, both numbers")
    if not points:
        return None
    points.sort(key=lambda point: point["step"])
    return {"file": name, "points": points}


def audit(contents: Contents, name: str) -> Json:
    """An audit, as `gymkit audit --json` prints it."""
    report = next(contents.lines).value
    return {
        "file": name,
        "environment": str(report.get("environment")),
        "passed": bool(report.get("passed")),
        "broken_off": _text(report.get("broken_off")),
        "episodes": report["episodes"] if finite(report.get("episodes")) else None,
        "seconds": report["seconds"] if finite(report.get("seconds")) else None,
        "checks": [_check(mapping(check)) for check in sequence(report.get("checks"))],
    }


def _check(check: Any) -> Json:
    return {
        "name": str(check.get("name")),
        "says": str(check.get("says", "")),
        "rows": check["rows"] if finite(check.get("rows")) else 0,
        "mean": check["mean_reward"] if finite(check.get("mean_reward")) else None,
        "findings": [
            {name: str(mapping(one).get(name, "")) for name in ("row", "task_id", "what", "again")}
            for one in sequence(check.get("findings"))
        ],
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
