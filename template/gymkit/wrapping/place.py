# Part of the template: changes belong there (`copier update` merges this file).
"""Where things are written: first a copy of the environment, in which all is tried, and then the environment itself."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gymkit.wrapping.interface import WrapError

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", "cache", "outputs", "results", "node_modules", "uv.lock"
)


@dataclass
class Place:
    """A copy of the environment, and which of its files are written or deleted."""

    root: Path
    """The environment."""
    copy: Path
    written: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    def read(self, name: str) -> str:
        return (self.copy / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
        (self.copy / name).write_text(text, encoding="utf-8")
        self.written.add(name)

    def delete(self, name: str) -> None:
        if (self.copy / name).is_file():
            (self.copy / name).unlink()
            self.deleted.add(name)

    def run(self, *command: str) -> None:
        """Run a program in the copy.

        Raises:
            WrapError: it failed; the message is its last line.
        """
        environ = os.environ | {"PYTHONPATH": python_path(self.copy), "PWD": str(self.copy)}
        done = subprocess.run(
            command, cwd=self.copy, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip() or f"{command[0]} failed").splitlines()
            raise WrapError(lines[-1].removeprefix("gymkit wrap: ").replace(str(self.copy), str(self.root)))

    def tidy(self, *names: str) -> None:
        """Lay Python files out as ruff does, without imports that are not used."""
        ruff = [sys.executable, "-m", "ruff"]
        self.run(*ruff, "check", "-q", "--fix", "--select", "I,F401", *names)
        self.run(*ruff, "format", "-q", *names)

    def changed(self) -> list[str]:
        """The written files that are not so in the environment, sorted."""
        return [name for name in sorted(self.written) if not _same(self.copy / name, self.root / name)]

    def move(self) -> None:
        """Bring what was written and deleted into the environment, each file at once."""
        for name in self.changed():
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.new")
            shutil.copyfile(self.copy / name, beside)
            os.replace(beside, target)
        for name in self.deleted:
            (self.root / name).unlink(missing_ok=True)
        for folder in {(self.root / name).parent for name in self.deleted} - {self.root}:
            if all(path.name == "__pycache__" for path in folder.iterdir()):
                shutil.rmtree(folder)


def python_path(root: Path) -> str:
    """Where a program's modules are looked for: in an environment before all else."""
    return os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


@contextmanager
def copy_of(root: Path) -> Iterator[Place]:
    """A copy of the environment, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as scratch:
        # Called as the environment is: ruff tells its modules from others by that.
        copy = Path(scratch).resolve() / root.name
        shutil.copytree(root, copy, ignore=LEFT_OUT, symlinks=True)
        yield Place(root, copy)


def refuse_other_kinds(root: Path) -> None:
    """Refuse an environment whose kind brings more than a server: the rest would stay behind."""
    others = ("sandbox", "desktop", "gymkit/second_model.py", "gymkit/users.py")
    if any((root / name).exists() for name in others):
        raise WrapError(
            "Only a game, tools, or questions without a judge can be made another environment: generate one."
        )


def refuse_uncommitted(root: Path, names: list[str], *, is_sample: bool) -> None:
    """Refuse to replace what git could not bring back.

    Args:
        root: The environment.
        names: The files that would be replaced or deleted.
        is_sample: Whether the server is still the sample's. Then files that git never had may be replaced.
    """
    try:
        asked = ["git", "status", "--porcelain", "--untracked-files=all", "--", *names]
        said = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        said = None
    lines = said.stdout.splitlines() if said is not None and said.returncode == 0 else ["?? server.py"]
    lost = [line[3:] for line in lines if not (is_sample and line.startswith("??"))]
    if lost:
        raise WrapError(f"{lost[0]} would be replaced, and git does not have it as it is: commit it first.")
