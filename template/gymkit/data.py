# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit data`: write the task rows in data/ from tasks.py and the server's own tool schemas."""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from gymkit.fixture import make_server
from gymkit.project import ROOT, ProjectError
from gymkit.rows import Row, data_path
from gymkit.schemas import tool_schemas

Task = Mapping[str, Any]
Splits = Mapping[str, list[Task]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is out of date")


def run(options: argparse.Namespace, server_class: type, splits: Splits) -> int:
    """Write `data/<split>.jsonl` for every split, or say which are out of date; the exit status."""
    tools = tools_of(server_class)
    stale = 0
    for split, tasks in splits.items():
        path = data_path(split)
        rows = [row(task, tools, split, number) for number, task in enumerate(tasks)]
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in rows)
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        if options.check and not same:
            stale += 1
            print(f"{path.relative_to(ROOT)} is out of date: run `uv run gymkit data`", file=sys.stderr)
        elif not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: {len(rows)} rows{' (unchanged)' if same else ''}")
    return 1 if stale else 0


def tools_of(server_class: type) -> list[dict[str, Any]]:
    """The tool schemas of a server class."""
    return tool_schemas(make_server(server_class).setup_webserver())


def row(task: Task, tools: list[dict[str, Any]], split: str, number: int) -> Row:
    """A data row as NeMo Gym reads it.

    Args:
        task: `prompt` (a text, or a list of Responses API input items); mostly `expected_output` (any JSON value) and
            `task_id` (else made from split and number); further keys stand in the row as they are, and reach
            `new_episode()` and `grade()`.
        tools: The tools that the agent may call.
        split: The split's name.
        number: The task's place in the split, from 0.

    Raises:
        ProjectError: the task has no prompt.
    """
    if not isinstance(task, Mapping) or "prompt" not in task:
        raise ProjectError(f"tasks.py: task {number} of the split {split} is no dict with a `prompt`.")
    prompt = task["prompt"]
    params: dict[str, Any] = {"input": [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt}
    if tools:  # Some endpoints refuse an empty list.
        params |= {"tools": tools, "parallel_tool_calls": False}
    made: Row = {"task_id": task.get("task_id", f"{split}-{number:04d}"), "responses_create_params": params}
    if "expected_output" in task:
        made["ground_truth"] = [{"expected_output": task["expected_output"]}]
    return made | {key: value for key, value in task.items() if key not in ("task_id", "prompt", "expected_output")}
