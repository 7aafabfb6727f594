# Part of the template: changes belong there (`copier update` merges this file).
"""The program `gymkit`: the commands of an environment besides `server.py` and `rollout.py`.

Above all other modules of gymkit: it alone loads the environment's server.py, tasks.py, task_data.py and policy.py, and
hands what they define to the commands.
"""

import argparse
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from gymkit.errors import CommandError
from gymkit.players import Player
from gymkit.project import ROOT, ProjectError, one_line, reward_range
from gymkit.proxies import never_for_loopback
from gymkit.redaction import redacted
from gymkit.terminal import interrupt_once, printable

COMMANDS = {
    "data": "write the task rows in data/ from tasks.py and the tools",
    "cases": "write the cases by which NeMo Gym tries the grader, from rows and policy.py",
    "describe": "carry description and domain from the config to the manifest and README.md",
    "check": "check a live server, here or on a Hugging Face Space",
    "audit": "try to earn rewards without solving tasks, on a server that it starts",
    "view": "see what happened: rollouts, training runs, audits, as a page and in numbers",
    "deploy": "put the environment on a Hugging Face Space",
    "wrap": "make this the environment of a class that you have, or of plain functions",
    "adopt": "make this the environment of a hand-made NeMo Gym server",
    "conflicts": "name the conflict markers that an update has left",
}


# ------------------------------------------------------------------------------------------ the environment's own files


def load_server() -> ModuleType:
    """The module server.py.

    Raises:
        ProjectError: it is missing, or fails to import.
    """
    return _load("server.py")


def load_server_class() -> Any:
    """The resources server that server.py defines.

    Raises:
        ProjectError: server.py defines none, or several of which none is built on the others.
    """
    from gymkit.server import EnvironmentServer

    module = load_server()
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, EnvironmentServer) and value.__module__ == module.__name__
    ]
    last = [one for one in found if not any(other is not one and issubclass(other, one) for other in found)]
    if len(last) != 1:
        names = ", ".join(sorted(one.__name__ for one in last)) or "none"
        raise ProjectError(
            f"server.py must define one subclass of EnvironmentServer that no other one in it builds on; it defines "
            f"{names}. Keep one, and move the others into a file of their own."
        )
    return last[0]


def load_tasks() -> dict[str, list[dict[str, Any]]]:
    """The tasks by split, from tasks.py.

    Raises:
        ProjectError: it defines no `tasks()`, or that does not return a list of tasks for each split.
    """
    tasks = _function(_load("tasks.py"), "tasks", "tasks() -> {'train': [...], 'demo': [...]}")
    try:
        splits = tasks()
    except Exception as error:
        raise ProjectError(f"tasks.py: tasks() fails: {one_line(error)}. Mend it, and try again.") from error
    if not isinstance(splits, dict) or not all(isinstance(tasks, list) for tasks in splits.values()):
        raise ProjectError("tasks.py: tasks() must return a dict with a list of tasks for each split.")
    if not splits.get("demo"):
        raise ProjectError(
            "tasks.py: tasks() must have a split `demo` with one public task, which is played by default."
        )
    return splits


def load_importer() -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """What makes a task of a data set's record: `imported(fields)` of tasks.py, where it is defined."""
    return getattr(_load("tasks.py"), "imported", None)


def load_row_schema() -> Any:
    """What checks a row, but for its prompt: pydantic's adapter of `TaskData` in task_data.py; None without that file.

    Raises:
        ProjectError: it defines none.
    """
    if not (ROOT / "task_data.py").is_file():
        return None
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(_load("task_data.py").TaskData)
    except (AttributeError, PydanticUserError):
        raise ProjectError("task_data.py defines no model of a row: write `class TaskData(BaseModel)`.") from None


def load_player() -> Player:
    """The player that policy.py defines.

    Raises:
        ProjectError: it defines no `play(row)`.
    """
    module = _load("policy.py")
    play = _function(module, "play", "play(row), a generator of tool calls and texts")

    def most(row: Any) -> float:
        return reward_range()[1]

    return Player(play, getattr(module, "expected_reward", most))


def load_cheats() -> dict[str, Callable[..., Any]]:
    """The functions that tests/cheats.py defines, by name; none where there is no such file.

    Raises:
        ProjectError: it fails to import.
    """
    if not (ROOT / "tests" / "cheats.py").is_file():
        return {}
    module = _load("tests/cheats.py")
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isgeneratorfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def _function(module: ModuleType, name: str, wanted: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        raise ProjectError(f"{module.__name__}.py defines no {name}(): write a function {wanted}.")
    return found


def _load(name: str) -> ModuleType:
    """A module of the environment, by its file: whatever else is called so, it is this one."""
    path, module_name = ROOT / name, Path(name).stem
    loaded = sys.modules.get(module_name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # for what it imports beside it
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError as error:
        del sys.modules[module_name]
        if error.filename != str(path):
            raise ProjectError(f"{name} cannot be imported: {one_line(error)}. Mend it, and try again.") from error
        raise ProjectError(f"{name} is missing in {ROOT}: `git checkout {name}` brings it back.") from None
    except Exception as error:
        del sys.modules[module_name]
        raise ProjectError(f"{name} cannot be imported: {one_line(error)}. Mend it, and try again.") from error
    return module


# ------------------------------------------------------------------------------------------------------- the commands


def run(command: str, options: argparse.Namespace) -> int:
    """Run a command with what it needs of the environment; its exit status."""
    module: Any = importlib.import_module(f"gymkit.{command}")
    if command == "data":
        return module.run(options, load_server_class(), load_tasks(), load_importer(), load_row_schema())
    if command == "cases":
        return module.run(options, load_server_class(), load_player())
    if command == "check":
        return module.run(options, load_player())
    if command == "audit":
        return module.run(options, load_player, load_cheats)
    if command == "deploy":
        return module.run(options, load_server_class(), load_player())
    if command == "wrap":
        return module.run(options, lambda: (load_server_class(), load_tasks(), load_row_schema(), load_player()))
    return module.run(options)


def parser_of(command: str, subparsers: Any) -> None:
    module: Any = importlib.import_module(f"gymkit.{command}")
    parser = subparsers.add_parser(
        command,
        help=COMMANDS[command],
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)


def main() -> None:
    """The entry point of the program `gymkit`."""
    never_for_loopback()
    interrupt_once()
    parser = argparse.ArgumentParser(prog="gymkit", description="The commands of this environment.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # Only the one that is asked for is imported: NeMo Gym takes seconds.
    asked = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    for command, text in COMMANDS.items():
        if command == asked:
            parser_of(command, subparsers)
        else:
            subparsers.add_parser(command, help=text)
    options = parser.parse_args()
    try:
        sys.exit(run(options.command, options))
    except CommandError as error:
        sys.exit(f"gymkit {options.command}: {printable(redacted(str(error)))}")
    except KeyboardInterrupt:
        sys.exit(130)
