# Part of the template: changes belong there (`copier update` merges this file).
"""The task rows in data/: made from the environment's tasks and the server's own tool schemas, never by hand."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from gymkit import project
from gymkit.fixture import make_server
from gymkit.tools import tool_schemas


def tools_of(server_class: type) -> list[dict[str, Any]]:
    """The tool schemas of a server class."""
    return tool_schemas(make_server(server_class).setup_webserver())


def row(task: Mapping[str, Any], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """A data row as NeMo Gym reads it.

    Args:
        task: `task_id`, `prompt` (a text, or a list of Responses API input items), `expected_output`; further keys
            stand in the row as they are, and reach `new_episode()`.
        tools: The tools that the agent may call.
    """
    prompt = task["prompt"]
    extra = {key: value for key, value in task.items() if key not in ("task_id", "prompt", "expected_output")}
    return {
        "task_id": task["task_id"],
        "responses_create_params": {
            "input": [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt,
            "tools": tools,
            "parallel_tool_calls": False,
        },
        "ground_truth": [{"expected_output": task["expected_output"]}],
        **extra,
    }


def main(server_class: type, splits: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write `data/<split>.jsonl` for every split; with `--check`, only say which files are out of date."""
    parser = argparse.ArgumentParser(description="Write the task rows in data/ from the tasks and the tool schemas.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is out of date")
    arguments = parser.parse_args()
    tools = tools_of(server_class)
    stale = 0
    for split, tasks in splits.items():
        path = project.ROOT / "data" / f"{split}.jsonl"
        rows = [row(task, tools) for task in tasks]
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in rows)
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        if arguments.check and not same:
            stale += 1
            print(f"{path.relative_to(project.ROOT)} is out of date: run `uv run python make_data.py`", file=sys.stderr)
        elif not arguments.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(project.ROOT)}: {len(rows)} rows{' (unchanged)' if same else ''}")
    sys.exit(1 if stale else 0)
