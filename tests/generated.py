"""Generating environments in tests: the template's clone, the interpreters of the NeMo Gym lines, the copy itself."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml
from needs import FULL as FULL
from needs import PYTHON_OF_LINE, choose_lines, find_python, put_uv_on_path

ROOT = Path(__file__).resolve().parents[1]

ARCHETYPES: list[str] = list(
    yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))["archetype"]["choices"].values()
)
USES_E2B = [archetype for archetype in ARCHETYPES if archetype in ("sandbox", "computer_use")]
"""The archetypes that are also asked whether they run at E2B."""
ASKS_JUDGE = [archetype for archetype in ARCHETYPES if archetype in ("question", "conversation")]
"""The archetypes that are also asked whether they have a judge."""
SAMPLE = {
    "game": "wordle",
    "sandbox": "analysis",
    "computer_use": "office",
    "question": "questions",
    "tools": "assistant",
    "conversation": "shop",
}
"""The domain module of each archetype's sample."""

put_uv_on_path(ROOT / ".pytest_cache" / "uv")
LINES = choose_lines()
"""The lines of NeMo Gym to test."""

# The environment's own commands, as its user types them.
DATA = ("uv", "run", "gymkit", "data")
CASES = ("uv", "run", "gymkit", "cases")
CHECK = ("uv", "run", "gymkit", "check")
DEPLOY = ("uv", "run", "gymkit", "deploy")
CONFLICTS = ("uv", "run", "gymkit", "conflicts")

PLAYS = "tests/test_rollout.py::test_it_starts_the_environment_itself_and_earns_what_the_player_says"
"""Of an environment's own tests, that in which rollout.py plays an episode."""

# A proxy that answers nobody: what asks it for this machine fails.
BEHIND_A_PROXY = {name: "http://127.0.0.1:9" for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")}
BEHIND_A_PROXY |= {"no_proxy": "", "NO_PROXY": ""}

NOTHING: Mapping[str, str] = {}


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str] = NOTHING, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a program as a user does, and return what it said."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**user_environ(), "PWD": str(cwd), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_ok(*command: str | Path, cwd: Path, env: Mapping[str, str] = NOTHING, timeout: float = 600) -> str:
    """Run a program that must succeed; its standard output."""
    done = run(*command, cwd=cwd, env=env, timeout=timeout)
    assert done.returncode == 0, f"{command} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def user_environ() -> dict[str, str]:
    """This process's environment, without the virtual environment that the tests run in."""
    venv_bin = os.path.dirname(sys.executable)
    paths = [path for path in os.environ["PATH"].split(os.pathsep) if path != venv_bin]
    # `python -m uv run` tells the uv of its children to install into the interpreter that it was started with.
    ours = ("VIRTUAL_ENV", "UV", "UV_PYTHON", "UV_INTERNAL__PARENT_INTERPRETER", "PYTHONPATH")
    kept = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("PYTEST_")}
    return kept | {"PATH": os.pathsep.join(paths)}


def copier() -> list[str]:
    """The copier of the tests' own environment."""
    return [sys.executable, "-m", "copier"]


@dataclass(frozen=True)
class Template:
    """A git repository with this template at a tag."""

    path: Path

    @classmethod
    def clone(cls, path: Path) -> "Template":
        """Copy what git knows or would add here, and commit it there as v0.1.0."""
        files = run_ok("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
        for name in filter(None, files):
            source, target = ROOT / name, path / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        template = cls(path)
        run_ok("git", "init", "-q", "-b", "main", cwd=path)
        template.release("v0.1.0")
        return template

    def release(self, tag: str) -> None:
        """Commit what has changed, and tag it."""
        run_ok("git", "add", "-A", cwd=self.path)
        author = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
        run_ok("git", *author, "commit", "-q", "--allow-empty", "-m", tag, cwd=self.path)
        run_ok("git", "tag", tag, cwd=self.path)


def as_on_github(template: Template, folder: Path) -> dict[str, str]:
    """Variables with which git finds the template's clone at its address on GitHub."""
    copies = folder / "github"
    copies.mkdir()
    for name in ("nemo-env-template", "nemo-env-template.git"):
        (copies / name).symlink_to(template.path)
    config = folder / "gitconfig"
    config.write_text(f'[url "file://{copies}/"]\n\tinsteadOf = https://github.com/org/\n')
    return {"GIT_CONFIG_GLOBAL": str(config)}


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    """A file with another text, for a while."""
    before = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


@dataclass(frozen=True)
class Environment:
    """A generated environment with a virtual environment: its own, or one that it shares with others (venvs.py)."""

    path: Path
    line: str
    interpreter: Path
    shares_venv: bool = False
    copy_output: str = ""
    """What `copier copy` and its hook said."""

    @property
    def python(self) -> Path:
        return self.path / ".venv" / "bin" / "python"

    def environ(self) -> dict[str, str]:
        """Variables with which `uv run` and NeMo Gym's commands find the interpreter and the programs of .venv."""
        paths = [str(self.path / ".venv" / "bin"), str(self.interpreter.parent), user_environ()["PATH"]]
        # What an editable install of the environment does: a shared .venv has none. And uv keeps its hands off it.
        shared = {"PYTHONPATH": str(self.path), "UV_NO_SYNC": "1"} if self.shares_venv else {}
        return {"PATH": os.pathsep.join(paths), **shared}

    def activated(self) -> dict[str, str]:
        """The same after `source .venv/bin/activate`, as NeMo Gym's commands want it.

        Ray looks for a `uv run` among its ancestors and fails under one. These tests run under one: it is told not to.
        """
        return self.environ() | {"VIRTUAL_ENV": str(self.path / ".venv"), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}

    def run(
        self, *command: str | Path, env: Mapping[str, str] = NOTHING, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in its folder, as its user does, and return what it said."""
        return run(*command, cwd=self.path, env={**self.environ(), **env}, timeout=timeout)

    def run_ok(self, *command: str | Path, env: Mapping[str, str] = NOTHING, timeout: float = 600) -> str:
        """Run a program in its folder that must succeed; its standard output."""
        return run_ok(*command, cwd=self.path, env={**self.environ(), **env}, timeout=timeout)

    def fails_with(self, file: str, old: str, new: str, *tests: str) -> None:
        """Break a file for a while, where one text stands in it once: the environment's own tests have to notice."""
        path = self.path / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        with edited(path, text.replace(old, new)):
            done = self.run("uv", "run", "pytest", "-q", "-x", *tests)
        assert done.returncode == 1, done.stdout
        assert " failed" in done.stdout

    def own_tests(self, *tests: str) -> int:
        """How many of the environment's own tests have passed; none may fail, or be skipped."""
        output = self.run_ok("uv", "run", "pytest", "-q", *tests, timeout=1200)
        last = output.splitlines()[-1]
        passed = re.search(r"^(\d+) passed", last)
        assert passed, output
        assert "skipped" not in last
        return int(passed[1])


def copy_command(template: Template, folder: Path, *answers: str) -> list[str]:
    """`copier copy` with all defaults but the given answers (`key=value`), from the folder's parent."""
    data = [argument for answer in answers for argument in ("-d", answer)]
    return [*copier(), "copy", "--trust", "--defaults", *data, str(template.path), folder.name]


def generate(template: Template, folder: Path, line: str, interpreter: Path, *answers: str) -> Environment:
    """An environment as its user gets it, the hook included: with a virtual environment of its own."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = run(*copy_command(template, folder, *answers), cwd=folder.parent, env={"UV_PYTHON": str(interpreter)})
    assert done.returncode == 0, done.stdout + done.stderr
    environment = Environment(folder, line, interpreter, copy_output=done.stdout + done.stderr)
    check_line(environment.python, line)
    return environment


def check_line(python: Path, line: str) -> None:
    """Make sure that a virtual environment has the wanted NeMo Gym."""
    version = "from importlib.metadata import version; print(version('nemo-gym'))"
    found = run_ok(python, "-c", version, cwd=python.parent).strip()
    assert found.startswith(f"{line}."), f"{python} has NeMo Gym {found}, not {line}"


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@cache  # It takes a second or two.
def interpreter_for(line: str) -> Path:
    """An interpreter that gives the wanted NeMo Gym line."""
    found = find_python(line)
    if found is None:
        wanted = PYTHON_OF_LINE[line]
        pytest.fail(f"No Python {wanted} here, which NeMo Gym {line} needs. To leave it out: NEMO_GYM_LINES=0.4", False)
    return found
