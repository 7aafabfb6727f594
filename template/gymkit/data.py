# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit data`: write the task rows in data/ from tasks.py and the server's own tool schemas.

    gymkit data                                     data/<split>.jsonl, for every split of tasks.py
    gymkit data --from FILE --map question=prompt,answer=target
                                                    data/<FILE's name>.jsonl, from a data set (.jsonl, .csv, .parquet)
    gymkit data --from FILE --map question=q,answer=key,options=A+B+C+D

A record makes the task that `imported(fields)` in tasks.py returns; where there is no such function, a task with the
question as prompt, the answer as expected output, and the other fields as they are. What makes no row is refused, and
said why; so is a row that is not as task_data.py says, or of which new_episode() reads more than that declares.
"""

import argparse
import contextlib
import json
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gymkit.fixture import make_server
from gymkit.project import ROOT, ProjectError
from gymkit.records import BadRecord, Record, fields_of, mapping, read_records
from gymkit.rows import Row, data_path
from gymkit.schemas import tool_schemas
from gymkit.server import InvalidRow

Task = Mapping[str, Any]
Splits = Mapping[str, list[Task]]
Importer = Callable[[Record], Task]

PROMPT = "responses_create_params"
"""The part of a row that is the model's, and that NeMo Gym's own schema covers."""
SHOWN = 20
"""So many refused records are named one by one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is out of date")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="make rows of a data set")
    parser.add_argument("--map", default="", metavar="FIELD=COLUMN,...", help="which columns make which fields")
    parser.add_argument("--split", help="with --from: the rows go into data/SPLIT.jsonl (default: the file's name)")


def run(
    options: argparse.Namespace,
    server_class: type,
    splits: Splits,
    imported: Importer | None,
    schema: TypeAdapter[Any] | None,
) -> int:
    """Write `data/<split>.jsonl` for every split, or say which are out of date; the exit status."""
    server = make_server(server_class)
    tools = tool_schemas(server.setup_webserver())
    checks = RowChecks(server, schema)
    if options.source:
        return from_data_set(options, checks, tools, splits, imported or as_it_is)
    made = {
        split: [row(task, tools, split, number) for number, task in enumerate(tasks)] for split, tasks in splits.items()
    }
    problems = [
        f"data/{split}.jsonl, {item['task_id']}: {problem}"
        for split, rows in made.items()
        for item in rows
        if (problem := checks.problem_of(item))
    ]
    if problems:
        print("\n".join([*problems, "Nothing was written: mend these tasks in tasks.py."]), file=sys.stderr)
        return 1
    stale = 0
    for split, rows in made.items():
        path = data_path(split)
        add_keys(rows, path)
        text = text_of(rows)
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        if options.check and not same:
            stale += 1
            print(f"{path.relative_to(ROOT)} is out of date: run `uv run gymkit data`", file=sys.stderr)
        elif not options.check:
            write(path, text)
            print(f"{path.relative_to(ROOT)}: {len(rows)} rows{' (unchanged)' if same else ''}")
    return 1 if stale else 0


def text_of(rows: list[Row]) -> str:
    """Rows as they stand in a file."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in rows)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


class RowChecks:
    """What is checked of a row before it is written.

    Args:
        server: Begins an episode on it, where that costs nothing (`check_row`).
        schema: What a row holds, from task_data.py; None where there is no such file.
    """

    def __init__(self, server: Any, schema: TypeAdapter[Any] | None) -> None:
        self._server = server
        self._schema = schema
        self._declared = None if schema is None else _properties(schema.json_schema())

    def problem_of(self, made: Row) -> str | None:
        """Why a row is not to be written; None where all is well."""
        seen = _SeenRow(made)
        try:
            self._server.check_row(seen)
            if self._schema is not None:
                self._schema.validate_python({key: value for key, value in made.items() if key != PROMPT})
        except InvalidRow as error:
            return str(error)
        except ValidationError as error:
            issue = error.errors(include_url=False, include_context=False, include_input=False)[0]
            return f"{'.'.join(map(str, issue['loc']))}: {issue['msg']} (task_data.py)"
        missing = seen.read - self._declared - {PROMPT} if self._declared is not None else set()
        if missing:
            return f"new_episode() reads what task_data.py does not declare: {', '.join(sorted(missing))}"
        return None


class _SeenRow(Row):
    """A row that notes which of its keys are read."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


def _properties(schema: dict[str, Any]) -> set[str]:
    """The keys of a row that a schema declares: of all its kinds, where it is a union."""
    models = [schema, *(schema["$defs"][part["$ref"].rpartition("/")[2]] for part in schema.get("oneOf", []))]
    return {name for model in models for name in model.get("properties", {})}


def from_data_set(
    options: argparse.Namespace,
    checks: RowChecks,
    tools: list[dict[str, Any]],
    splits: Splits,
    imported: Importer,
) -> int:
    """Write the rows that the records of a file make, and say which make none; the exit status."""
    split = options.split or options.source.stem
    if split in splits or not split.replace("-", "_").replace(".", "_").isidentifier():
        reason = "tasks.py makes that split's rows" if split in splits else "that is no name for a split"
        raise ProjectError(f"{split}: {reason}. Choose another name with --split.")
    columns = mapping(options.map)
    rows: list[Row] = []
    refused: Counter[str] = Counter()
    for number, record in read_records(options.source):
        try:
            if isinstance(record, BadRecord):
                raise record
            made = row(imported(fields_of(record, columns)), tools, split, len(rows))
            problem = checks.problem_of(made)
            if problem:
                raise BadRecord(problem)
            json.dumps(made, allow_nan=False).encode()
        except (ValueError, ProjectError) as error:
            if refused.total() < SHOWN:
                print(f"{options.source.name}, record {number}: {error}", file=sys.stderr)
            refused[str(error)] += 1
        else:
            rows.append(made)
    if refused.total() > SHOWN:
        print(f"... and {refused.total() - SHOWN} more; most often: {refused.most_common(1)[0][0]}", file=sys.stderr)
    path = data_path(split)
    print(f"{path.relative_to(ROOT)}: {len(rows)} rows, {refused.total()} records refused")
    if not rows:
        print("Nothing was written.", file=sys.stderr)
        return 1
    add_keys(rows, path)
    write(path, text_of(rows))
    print(f"To play the first: uv run python rollout.py --data {path.relative_to(ROOT)}")
    return 0


def as_it_is(fields: Record) -> Task:
    """The task of a record where tasks.py has no `imported()`."""
    if not isinstance(fields.get("question"), str):
        raise BadRecord("question: a text is wanted")
    task = {key: value for key, value in fields.items() if key not in ("question", "answer")}
    task["prompt"] = fields["question"]
    return task | ({"expected_output": fields["answer"]} if "answer" in fields else {})


def add_keys(rows: list[Row], path: Path) -> None:
    """Give every row a random `row_key`, the one that it has in the file where it stands there already.

    A verdict is given to whoever sends the whole row: the key is what a model cannot know of it.
    """
    keys: dict[Any, Any] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, AttributeError):  # no row: it will be written over
                before = json.loads(line)
                keys[before.get("task_id")] = before.get("row_key")
    for made in rows:
        made.setdefault("row_key", keys.get(made["task_id"]) or secrets.token_hex(8))


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
