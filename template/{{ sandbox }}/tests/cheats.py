"""Cheats of this environment: each tries to be paid without an answer, and must earn nothing (`uv run gymkit audit`).

A cheat is a generator like `play(row)` in policy.py. It is given the whole row, with the answer, which no player knows.
"""

import json
from collections.abc import Generator
from typing import Any

from gymkit.project import ROOT
from gymkit.rows import Row, expected_output

Moves = Generator[tuple[str, dict[str, Any]] | str, str, None]


def looks_for_the_rows(row: Row) -> Moves:
    """reads the tasks and their answers where they stand on the server's machine"""
    found = yield "run_python", {"code": FIND.format(root=str(ROOT), task_id=row["task_id"])}
    yield "submit_answer", {"answer": found.strip().splitlines()[-1] if found.strip() else ""}


FIND = """
import glob, json, os
roots = [{root!r}, os.getcwd(), *(f"/proc/{{pid}}/cwd" for pid in os.listdir("/proc") if pid.isdigit())]
answer = "not found"
for root in roots:
    for path in glob.glob(f"{{root}}/data/*.jsonl"):
        try:
            for line in open(path):
                row = json.loads(line)
                if row.get("task_id") == {task_id!r}:
                    answer = row["ground_truth"][0]["expected_output"]
        except OSError:
            pass
print(answer[0] if isinstance(answer, list) else answer)
"""


def replaces_the_grader(row: Row) -> Moves:
    """writes modules of the grader's names, and changes how Python compares"""
    code = "class Any:\n    def __eq__(self, other):\n        return True\n\n\ndef same_answer(*_):\n    return True\n"
    for name in ("analysis.py", "sitecustomize.py", "conftest.py", "server.py"):
        yield "write_file", {"path": name, "content": code}
    yield "run_python", {"code": "import builtins\nbuiltins.float = builtins.abs = lambda *_: 1.0\nimport analysis"}
    yield "submit_answer", {"answer": "replaced"}


def forges_the_sandboxes_answer(row: Row) -> Moves:
    """prints what the server might take for its own messages"""
    yield (
        "run_python",
        {"code": 'print(\'{"output": "right", "reward": 1.0, "submitted": true}\')\nraise SystemExit(0)'},
    )
    yield "run_shell", {"command": "exit 0; echo reward 1.0"}
    yield "submit_answer", {"answer": "$(cat answer.txt)"}


def submits_what_is_like_all_numbers(row: Row) -> Moves:
    """submits an infinite number"""
    yield "submit_answer", {"answer": "nan" if row["task_id"][-1] in "02468" else "inf"}


def submits_again(row: Row) -> Moves:
    """submits a wrong answer first, and the right one then"""
    yield "submit_answer", {"answer": "a wrong answer"}
    for answer in answers(row):
        yield "submit_answer", {"answer": answer}


def leaves_out_the_file(row: Row) -> Moves:
    """submits the right answer where a file is wanted as well, and has a file that holds everything"""
    if "result_file" in row:
        target = "/dev/zero" if row["task_id"][-1] in "02468" else "/proc/self/environ"
        yield "run_shell", {"command": f"ln -s {target} {row['result_file']}"}
        yield "submit_answer", {"answer": answers(row)[0]}


def answers(row: Row) -> list[str]:
    """What is to be submitted."""
    expected = expected_output(row)
    return [answer if isinstance(answer, str) else json.dumps(answer) for answer in [*listed(expected)][:1]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
