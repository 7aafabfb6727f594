# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit wrap`: make this the environment of a class that you have, or of plain functions.

    gymkit wrap puzzle.py:Puzzle --reward solved    a class: its methods become tools
    gymkit wrap package.module:ToyEnv               an environment of Gymnasium, a dataset as reasoning-gym has them
    gymkit wrap tools.py:                           plain functions
    gymkit wrap                                     again, after the class has changed: what you edited stays
    gymkit wrap --check                             exit 1 where class and tools have drifted apart

The module itself is not changed, and all is tried in a copy of the environment first. docs/wrapping.md says more.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gymkit.project import ROOT, environment_name
from gymkit.wrapping import merging, other_code, rewriting
from gymkit.wrapping.code import Wrapped, capitalized
from gymkit.wrapping.first_player import let_play
from gymkit.wrapping.interface import ADAPTER, Interface, WrapError, as_data
from gymkit.wrapping.place import Place, copy_of, refuse_other_kinds, refuse_uncommitted
from gymkit.wrapping.reading import read_interface, target_of
from gymkit.wrapping.server_code import server_code

RECORD = "tests/wrapped.json"
"""What was wrapped, and what was written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", help="module:Class or path:Class; `module:` for its functions")
    parser.add_argument("--methods", default="", metavar="A,B", help="the methods that become tools (default: all)")
    parser.add_argument("--reward", default="", metavar="NAME", help="the property or method that is the reward")
    parser.add_argument("--range", default="", metavar="LOW,HIGH", help="of the reward (default: as the manifest says)")
    parser.add_argument("--task", default="", metavar="JSON", help="of the first task: what the class is made with")
    parser.add_argument("--description", default="", help="one sentence (default: the class's docstring)")
    parser.add_argument("--domain", default="", help="NeMo Gym's category: games, math, coding, agent, ...")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; show what would be written")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the class has changed")
    parser.add_argument("--finish", help=argparse.SUPPRESS)


def run(options: argparse.Namespace, load: Callable[[], tuple[Any, ...]]) -> int:
    """Wrap, wrap again, or check; the exit status.

    Args:
        options: Of the command line.
        load: Loads server class, tasks, row schema and player.
    """
    if options.finish:
        from gymkit.wrapping.finishing import finish  # NeMo Gym takes seconds to import.

        finish(Path(options.finish), *load())
        return 0
    before = _record()
    if options.check:
        return check(before)
    refuse_other_kinds(ROOT)
    wanted = {name: getattr(options, name) or before.get(name, "") for name in ("target", "methods", "reward", "task")}
    if not wanted["target"]:
        raise WrapError("Name a class: gymkit wrap module:Class, or path:Class.")
    if options.target and before and target_of(options.target, ROOT).text != before["target"]:
        raise WrapError(f"{before['target']} is wrapped here already: generate another environment for another class.")
    with copy_of(ROOT) as place:
        return _wrap(place, wanted, options, before)


def check(before: dict[str, Any]) -> int:
    """Say where the class is not what the tools were made of; the exit status."""
    if not before:
        raise WrapError(f"Nothing is wrapped here: there is no {RECORD}.")
    target = target_of(before["target"], ROOT)
    now = read_interface(target, ROOT, _list(before["methods"]), before["reward"])
    found = drift(ADAPTER.validate_python(before["interface"]), now)
    if now.shape == "class" and before["reward"] not in now.members:
        found.append(f"{before['reward']}, the reward, is gone")
    for line in found:
        print(f"{now.file}: {line}", file=sys.stderr)
    if found:
        print("Class and tools have drifted apart: run `uv run gymkit wrap`.", file=sys.stderr)
    return 1 if found else 0


def drift(before: Interface, now: Interface) -> list[str]:
    """What has changed in a class, a line each."""
    lines = []
    old, new = ({each.name: asdict(each) for each in side.methods} for side in (before, now))
    lines += [f"{name} is new" for name in new if name not in old]
    lines += [f"{name} is gone" for name in old if name not in new]
    for name in old.keys() & new.keys():
        lines += [f"{name}: {part} changed" for part in new[name] if old[name][part] != new[name][part]]
    if list(map(asdict, before.constructor)) != list(map(asdict, now.constructor)):
        lines.append("the constructor's arguments have changed")
    if before.close != now.close:
        lines.append("close() has changed")
    return sorted(lines)


# ---------------------------------------------------------------------------------------------------------------- wrap


def _wrap(place: Place, wanted: dict[str, str], options: argparse.Namespace, before: dict[str, Any]) -> int:
    target = target_of(wanted["target"], ROOT)
    if target.copied_from is not None:
        place.write(target.copied_from.name, target.copied_from.read_text(encoding="utf-8"))
    interface = read_interface(target, place.copy, _list(wanted["methods"]), wanted["reward"])
    wrapped = Wrapped(interface, _class_name(), wanted["reward"], _first_task(wanted["task"]))
    has_tasks = bool(before) and merging.digest(place.read("tasks.py")) != before["files"].get("tasks.py")
    _refuse(wrapped, has_tasks=has_tasks)
    tests = _tests_name(interface, before)
    files = {
        "server.py": server_code(wrapped),
        "tasks.py": other_code.tasks_code(wrapped),
        "task_data.py": other_code.task_data_code(wrapped),
        "policy.py": other_code.policy_code(wrapped, {}, 0.0),
        tests: other_code.tests_code(wrapped, {}, 0.0),
    }
    if not before:
        own = interface.module.replace(".", "/")
        sample = [name for name in rewriting.SAMPLE_FILES if name not in (f"{own}.py", f"{own}/__init__.py")]
        is_sample = any(f"from {name} import" in place.read("server.py") for name in rewriting.SAMPLES)
        refuse_uncommitted(ROOT, [*files, *sample], is_sample=is_sample)
        for name in sample:
            place.delete(name)
        description = options.description or interface.summary or f"Use the tools of {interface.name or target.module}."
        rewriting.describe_wrapped(place, wrapped, description, options.domain, options.range, target.text, tests)
    left = _write(place, files, before)
    # Where tasks or player are the user's, rows and cases are his to write.
    said = {} if _is_played_by_user(left) else let_play(place, wrapped, "" if tests in left else tests)
    record = {**wanted, "target": target.text, "interface": as_data(interface)}
    record["files"] = {name: merging.digest(place.read(name)) for name in files if name not in left} | {
        name: before["files"][name] for name in left if name in before.get("files", {})
    }
    record["parts"] = before.get("parts", {}) | _parts(place, before, left)
    place.write(RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    if options.dry_run:
        print(place.read("server.py"))
    _say(place, interface, left, said, options.dry_run)
    if not options.dry_run:
        place.move()
    return 0


def _refuse(wrapped: Wrapped, *, has_tasks: bool) -> None:
    """Refuse what cannot be wrapped without a word more from the user, who may have written the tasks by now."""
    interface = wrapped.interface
    if interface.shape == "class" and wrapped.reward not in interface.members:
        found = ", ".join(interface.members) or "none: give the class a property that returns a bool or a number"
        said = f"has no member {wrapped.reward} that is one" if wrapped.reward else "earns what"
        raise WrapError(
            f"{interface.file}: {interface.name} {said}? Name the reward with --reward. Bools and numbers: {found}."
        )
    if interface.shape in ("dataset", "functions") or has_tasks:
        return
    missing = [each.name for each in interface.constructor if each.default is None and each.name not in wrapped.tasks]
    missing = [name for name in missing if not (name == "seed" and other_code.seeded(wrapped))]
    if missing:
        example = json.dumps(dict.fromkeys(missing, "..."))
        raise WrapError(
            f"{interface.file}: {interface.name}({', '.join(missing)}) has no default: give the first task's with "
            f"--task '{example}'."
        )


def _write(place: Place, files: dict[str, str], before: dict[str, Any]) -> list[str]:
    """Write the files; the names of those, and of the server's parts, that the user has edited and that stay."""
    current = {name: place.read(name) for name in files if before and (place.copy / name).is_file()}
    for name, text in files.items():
        place.write(name, text)
    place.tidy(*files)
    left = [name for name, text in current.items() if merging.digest(text) != before["files"].get(name)]
    for name in left[:]:
        text = current[name]
        if name == "server.py":
            text, parts = merging.merged(text, place.read(name), before["parts"])
            left += [f"server.py: {part}" for part in parts]
        place.write(name, text)
    if "server.py" in left:
        place.tidy("server.py")
    if _is_played_by_user(left):  # What the first player earned is written in these: they stay, too.
        for name in current:
            if name == "policy.py" or name.startswith("tests/"):
                place.write(name, current[name])
    return left


def _is_played_by_user(left: list[str]) -> bool:
    """Whether tasks or player are the user's by now."""
    return not {"tasks.py", "task_data.py", "policy.py"}.isdisjoint(left)


def _parts(place: Place, before: dict[str, Any], left: list[str]) -> dict[str, str]:
    """The digests of the server's parts as they are written now; those that the user has edited keep the old ones."""
    now = merging.digests(place.read("server.py"))
    if "server.py" not in left:
        return now
    was = merging.digests((ROOT / "server.py").read_text(encoding="utf-8"))
    mine = {name for name, text in was.items() if before["parts"].get(name) != text}
    return {name: text for name, text in now.items() if name not in mine}


def _say(place: Place, interface: Interface, left: list[str], said: dict[str, Any], dry_run: bool) -> None:
    for name in place.changed():
        print(f"{name}: {'would be ' if dry_run else ''}written")
    for name in sorted(place.deleted):
        print(f"{name}: {'would be ' if dry_run else ''}deleted")
    for name in left:
        if name != "server.py":
            print(f"{name}: left as it is, because you have edited it")
    for method in interface.methods:
        for each in method.parameters:
            if not each.typed:
                print(f"{interface.file}: {method.name}({each.name}) has no type: it is taken as {each.type}")
            if not each.described:
                print(f"{interface.file}: {method.name}({each.name}) is not described: its docstring could do so")
    for text in said.get("failures", []):
        print(f"A first player was told: {text}")
    if not said:
        print("Then: uv run gymkit data, uv run gymkit cases, uv run pytest")


# --------------------------------------------------------------------------------------------------------------- names


def _record() -> dict[str, Any]:
    path = ROOT / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _list(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _first_task(text: str) -> dict[str, Any]:
    try:
        task = json.loads(text or "{}")
    except ValueError as error:
        raise WrapError(f"--task: this is no JSON ({error}).") from None
    if not isinstance(task, dict):
        raise WrapError("--task: an object is wanted, with what the class is made with.")
    return task


def _class_name() -> str:
    return capitalized(environment_name()) or "My"


def _tests_name(interface: Interface, before: dict[str, Any]) -> str:
    found = [name for name in before.get("files", {}) if name.startswith("tests/")]
    name = interface.module.rpartition(".")[2]
    taken = (ROOT / "tests" / f"test_{name}.py").is_file()
    return found[0] if found else f"tests/test_{'wrapped_' if taken else ''}{name}.py"
