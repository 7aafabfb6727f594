# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit adopt`: make this the environment of a hand-made NeMo Gym server, which stands in another folder.

    gymkit adopt ../old_env

Tool bodies, request models and `verify()` come over as they are, with the modules that they import from beside them and
the rows of data/. The other folder is not changed. All is tried in a copy of this environment first.
"""

import argparse
import ast
import json
import shutil
from pathlib import Path

from gymkit.project import ROOT
from gymkit.wrapping import other_code, rewriting
from gymkit.wrapping.code import Wrapped, capitalized
from gymkit.wrapping.first_player import let_play
from gymkit.wrapping.hand_made import HandMade, adopted, imported, read_hand_made
from gymkit.wrapping.interface import Interface, WrapError
from gymkit.wrapping.place import Place, copy_of, refuse_other_kinds, refuse_uncommitted
from gymkit.wrapping.reading import OWN_FILES

ROWS = "tests/adopted"
"""Where the rows of the hand-made environment stand: no image and no Space gets them."""

TASKS = '''\
"""The tasks and their answers: the rows of the hand-made environment, in tests/adopted/.

`uv run gymkit data` writes the rows in data/ from it.
"""

import json
from pathlib import Path
from typing import Any

ROWS = Path(__file__).parent / "tests" / "adopted"
SPLITS = {splits}
"""The file of each split. One that had none has the first row of another, numbered."""


def tasks() -> dict[str, list[dict[str, Any]]]:
    """All tasks, by split."""
    return {{split: [_task(split, row) for row in _rows(split, file)] for split, file in SPLITS.items()}}


def _rows(split: str, file: str) -> list[dict[str, Any]]:
    lines = (ROWS / f"{{file}}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return rows if split == file else [rows[0] | {{"copy_for": split}}]


def _task(split: str, row: dict[str, Any]) -> dict[str, Any]:
    rest = {{key: value for key, value in row.items() if key not in ("responses_create_params", "agent_ref")}}
    return {{"prompt": row["responses_create_params"]["input"], **rest}}
'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="the folder of the hand-made environment, or its server.py")
    parser.add_argument("--description", default="", help="one sentence (default: the docstring of the server)")
    parser.add_argument("--domain", default="", help="NeMo Gym's category: games, math, coding, agent, ...")


def run(options: argparse.Namespace) -> int:
    """Adopt it; the exit status."""
    made = read_hand_made(options.path.resolve())
    folder = made.path.parent
    refuse_other_kinds(ROOT)
    with copy_of(ROOT) as place:
        is_sample = any(f"from {name} import" in place.read("server.py") for name in rewriting.SAMPLES)
        sample = rewriting.SAMPLE_FILES
        refuse_uncommitted(ROOT, ["server.py", "tasks.py", "task_data.py", "policy.py", *sample], is_sample=is_sample)
        for name in [*sample, "task_data.py"]:
            place.delete(name)
        modules = _copy_modules(place, made, folder)
        place.write("server.py", adopted(made))
        place.write("tasks.py", TASKS.format(splits=json.dumps(_copy_rows(place, folder))))
        interface = Interface("class" if made.tools else "answers", "server", made.server.name, "server.py", "")
        wrapped = Wrapped(interface, capitalized(folder.name), "", {})
        place.write("policy.py", other_code.policy_code(wrapped, {}, 0.0))
        shown = modules[0] if modules else "server"
        interface.module, interface.file = shown, f"{shown}.py"
        tests = f"tests/test_{'adopted_server' if shown == 'server' else shown}.py"
        place.write(tests, other_code.tests_code(wrapped, {}, 0.0))
        description = options.description or made.summary or f"The environment {folder.name}."
        rewriting.describe_wrapped(place, wrapped, description, options.domain, "", "", tests)
        place.tidy("server.py", "tasks.py", "policy.py", tests)
        said = let_play(place, wrapped, tests)
        for name in place.changed():
            print(f"{name}: written")
        for text in said["failures"]:
            print(f"A first player was told: {text}")
        place.move()
    print("Its packages, README and tests are yours to carry over: docs/wrapping.md.")
    return 0


def _copy_modules(place: Place, made: HandMade, folder: Path) -> list[str]:
    """Copy the modules and packages beside the server that it imports, and those that these import; their names."""
    names: list[str] = []
    waiting = imported(made.tree)
    while waiting:
        name = waiting.pop(0).partition(".")[0]
        files = [folder / f"{name}.py"] if (folder / f"{name}.py").is_file() else sorted((folder / name).rglob("*.py"))
        if not files or name in names:
            continue
        if name in OWN_FILES:
            raise WrapError(f"{files[0]}: an environment can have no module of yours called {name}: rename it.")
        names.append(name)
        for file in files:
            text = file.read_text(encoding="utf-8")
            place.write(file.relative_to(folder).as_posix(), text)
            waiting += imported(ast.parse(text))
    return names


def _copy_rows(place: Place, folder: Path) -> dict[str, str]:
    """Copy the rows of data/; which file each split is made of."""
    found = [split for split in ("example", "train", "validation", "demo") if _has_rows(folder, split)]
    if not found:
        raise WrapError(f"{folder / 'data'} has no rows: put them into data/example.jsonl.")
    for split in found:
        target = place.copy / ROWS / f"{split}.jsonl"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / "data" / f"{split}.jsonl", target)
        place.written.add(f"{ROWS}/{split}.jsonl")
    return {split: split if split in found else found[0] for split in ("train", "validation", "example", "demo")}


def _has_rows(folder: Path, split: str) -> bool:
    path = folder / "data" / f"{split}.jsonl"
    return path.is_file() and '"responses_create_params"' in path.read_text(encoding="utf-8")
