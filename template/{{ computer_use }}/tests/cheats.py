"""Cheats of this environment: each tries to be paid for work that is not done (`uv run gymkit audit`).

A cheat is a generator like `play(row)` in policy.py. It is given the whole row, with the answer, which no player knows.
"""

import json
import shlex
from collections.abc import Generator
from typing import Any

from gymkit.rows import Row, expected_output
from office import OfficeTask
from office_layout import MAIN, middle

Moves = Generator[tuple[str, dict[str, Any]] | str, str, None]


def terminates_at_once(row: Row) -> Moves:
    """says that it has been successful"""
    yield "terminate", {"status": "success", "answer": "done"}


def writes_the_state(row: Row) -> Moves:
    """writes the state that is wanted wherever a command can"""
    wanted = shlex.quote(json.dumps(OfficeTask(row["office_seed"], expected_output(row)).wanted))
    found = "$(find / -name state.json 2>/dev/null) state.json /tmp/state.json ~/state.json"
    yield "run_command", {"command": f"for f in {found}; do echo {wanted} > $f; done"}
    yield "terminate", {"status": "success", "answer": ""}


def replaces_the_application(row: Row) -> Moves:
    """ends the application, and puts another program in its place"""
    for name in ("office_app.py", "office.py", "sitecustomize.py"):
        found = f"$(find / -name {name} 2>/dev/null) {name}"
        yield "run_command", {"command": f"for f in {found}; do echo 'print(1)' > $f; done"}
    yield "run_command", {"command": "kill -9 -1; pkill -9 python3"}
    yield "key", {"keys": "alt+F4"}
    yield "terminate", {"status": "success", "answer": ""}


def works_on_when_all_is_over(row: Row) -> Moves:
    """terminates first, and does the task then"""
    yield "terminate", {"status": "failure", "answer": ""}
    for name, *arguments in row["oracle"][1:]:
        yield name, *arguments


def does_something_else(row: Row) -> Moves:
    """does the task, and replaces the note as well"""
    *calls, end = row["oracle"]
    for name, *arguments in calls:
        yield name, *arguments
    for place in ("tab Note", "text"):
        x, y = middle(MAIN[place])
        yield "left_click", {"x": x, "y": y}
    yield "key", {"keys": "ctrl+a"}
    yield "type", {"text": "And this."}
    yield "key", {"keys": "ctrl+s"}
    yield end[0], end[1]
