# Part of the template: changes belong there (`copier update` merges this file).
"""Which module and class are meant, and what a process of its own reads of them (`reader`)."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gymkit.wrapping.interface import ADAPTER, Interface, WrapError
from gymkit.wrapping.place import python_path

SECONDS = 60
"""Time limit of the import."""

OWN_FILES = {"server", "tasks", "task_data", "policy", "rollout", "gymkit", "tests", "configs", "data", "docs"}


@dataclass(frozen=True)
class Target:
    """What is to be wrapped."""

    module: str
    name: str
    """The class; empty for the module's functions."""
    copied_from: Path | None = None
    """A file outside of the environment, which is copied into it."""

    @property
    def text(self) -> str:
        """As it is typed, once the file stands in the environment."""
        return f"{self.module}:{self.name}"


def target_of(text: str, root: Path) -> Target:
    """Read `module:Class`, `path:Class`, or either without a class, for its functions.

    Raises:
        WrapError: it is neither, or a file that cannot be copied.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or (name and not name.isidentifier()):
        raise WrapError(f"{text}: write module:Class or path:Class, or `module:` for its functions.")
    if not place.endswith(".py") and os.sep not in place:
        return Target(place, name)
    path = Path(place).expanduser()
    path = path.resolve()
    if not path.is_file():
        raise WrapError(f"There is no file {place}: the path is read from the folder in which you are.")
    if path.is_relative_to(root):
        return Target(".".join(path.relative_to(root).with_suffix("").parts), name)
    if (path.parent / "__init__.py").is_file():
        top = next(folder for folder in path.parents if not (folder / "__init__.py").is_file())
        module = ".".join(path.relative_to(top).with_suffix("").parts)
        raise WrapError(f"{place} is part of a package: `uv add --editable` its project, and wrap {module}:{name}.")
    if not path.stem.isidentifier() or path.stem in OWN_FILES:
        raise WrapError(f"{place}: an environment can have no module of yours called {path.stem}: rename the file.")
    there = root / path.name
    if there.is_file() and there.read_bytes() != path.read_bytes():
        raise WrapError(f"{there.name} is there already, and is another file than {place}: rename one of them.")
    return Target(path.stem, name, path)


def read_interface(target: Target, root: Path, methods: list[str], reward: str) -> Interface:
    """What there is to wrap, read by a process of its own.

    Args:
        target: The module and class.
        root: The environment, in which the module is looked for first.
        methods: The methods that become tools; empty for all.
        reward: The member that is the reward.

    Raises:
        WrapError: one line with file and remedy.
    """
    with tempfile.TemporaryDirectory() as scratch:
        request, answer = Path(scratch, "request.json"), Path(scratch, "answer.json")
        asked = {"module_name": target.module, "name": target.name, "wanted": methods, "reward": reward}
        request.write_text(json.dumps(asked), encoding="utf-8")
        command = [sys.executable, "-m", "gymkit.wrapping.reader", str(request), str(answer)]
        try:
            subprocess.run(
                command,
                cwd=root,
                env=os.environ | {"PYTHONPATH": python_path(root)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise WrapError(
                f"{target.module} takes more than {SECONDS} seconds to import: put what waits into a function."
            ) from None
        if not answer.is_file():
            raise WrapError(
                f"{target.module} ends the process when it is imported: put what it does under "
                "`if __name__ == '__main__':`."
            )
        said = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        raise WrapError(said["error"])
    return ADAPTER.validate_python(said["interface"])
