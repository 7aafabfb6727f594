"""The ways in which setting an environment up can fail, each provoked: what the user reads, and the files that stay.

Most use Copier's real command line on a small template with this project's hook, and a stand-in for uv that notes what
it was asked; the search for an interpreter and the failing network use the real uv. test_environment.py has the full
sync.
"""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from generated import ROOT, copier, interpreter_for, run, user_environ

Done = subprocess.CompletedProcess[str]

HOOK = ROOT / "hooks" / "setup_environment.py"
UV = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
  run) shift 3; exec "{python}" "$@" ;;  # uv run --no-sync python -c CODE
  python) exit 2 ;;
esac
"""


class Machine:
    """A user's machine: a home, a PATH and a pyenv of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.pyenv = folder / "pyenv"
        self.log = folder / "uv.log"
        for name in ("sh", "git", "sed", "uname", "basename", "dirname"):  # Copier uses git, and git the others
            found = shutil.which(name)
            if found:
                (self.bin / name).symlink_to(found)
        (folder / "home").mkdir()
        self.env = {
            "HOME": str(folder / "home"),
            "PATH": str(self.bin),
            "PYENV_ROOT": str(self.pyenv),
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def program(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def uv(self) -> None:
        """A uv that notes its arguments, finds no interpreter, and runs Python for `uv run`."""
        self.program(self.bin / "uv", UV.format(log=self.log, python=sys.executable))

    def real_uv(self) -> None:
        found = shutil.which("uv", path=user_environ()["PATH"]) or shutil.which("uv")
        assert found
        (self.bin / "uv").symlink_to(found)

    def python(self, path: Path, line: str) -> Path:
        """An interpreter of a NeMo Gym line at a path, as pyenv or a package manager would put it there."""
        real = interpreter_for(line)
        return self.program(path, f'#!/bin/sh\nexec "{real}" "$@"\n')

    def asked_of_uv(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template of one file with the real hook, called in the way of the real copier.yml. It is no git repository."""
    folder = tmp_path / "template"
    (folder / "template").mkdir(parents=True)
    (folder / "hooks").mkdir()
    shutil.copy(HOOK, folder / "hooks")
    (folder / "template" / "server.py").write_text("class MyResourcesServer: ...\n")
    text = (ROOT / "copier.yml").read_text(encoding="utf-8")
    tasks = text[text.index("_tasks:") : text.index("_migrations:")]
    (folder / "copier.yml").write_text(
        "_subdirectory: template\nclass_name:\n  type: str\n  default: MyResourcesServer\n  when: false\n" + tasks
    )
    return folder


def copy(machine: Machine, template: Path, name: str = "my_env", *flags: str, **env: str) -> Done:
    command = [*copier(), "copy", "--trust", "--defaults", *flags, template, name]
    return run(*command, cwd=machine.folder, **machine.env | env)


def assert_failed_but_kept(done: Done, folder: Path, *says: str) -> None:
    """One paragraph, no traceback, not 0, and the files as they were generated."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    for text in says:
        assert text in said, done.stderr
    assert "The generated files stay as they are" in said
    assert (folder / "server.py").exists()


def test_all_is_well(machine: Machine, template: Path) -> None:
    machine.uv()
    python = machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"sync --compile-bytecode --python {interpreter_for('0.4')}" in machine.asked_of_uv()
    assert "NeMo Gym 0.4" in done.stdout
    assert "NeMo Gym 0.7 needs Python 3.13.14 or later" in done.stdout
    assert done.stdout.rstrip().endswith("cd my_env\n  uv run python rollout.py")
    assert python.exists()


def test_a_path_with_spaces(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    done = copy(machine, template, "my own env")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cd 'my own env'" in done.stdout


def test_no_git(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    (machine.bin / "git").unlink()
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_uv(machine: Machine, template: Path) -> None:
    # The tests' own uv stands beside their Python: Copier is run by one that has none there.
    lone = machine.program(machine.folder / "lone" / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    text = (template / "copier.yml").read_text()
    (template / "copier.yml").write_text(text.replace("{{ _copier_python }}", str(lone)))
    hook = template / "hooks" / HOOK.name
    hook.write_text(hook.read_text().replace("sys.executable).with_name", f"{str(lone)!r}).with_name"))
    done = copy(machine, template)
    assert_failed_but_kept(done, machine.folder / "my_env", "uv is not installed", "pip install uv", "uv sync")


def test_no_network(machine: Machine, template: Path) -> None:
    machine.real_uv()
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    (template / "template" / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\ndependencies = ["nemo-gym"]\n'
    )
    cache = str(machine.folder / "empty cache")
    done = copy(machine, template, UV_OFFLINE="1", UV_CACHE_DIR=cache)
    assert_failed_but_kept(done, machine.folder / "my_env", "`uv sync` failed", "network", "uv sync --compile-bytecode")


def test_no_python(machine: Machine, template: Path) -> None:
    machine.uv()
    done = copy(machine, template)
    assert_failed_but_kept(done, machine.folder / "my_env", "No Python that NeMo Gym runs on", "uv python install 3.13")


def test_a_broken_pyenv_shim(machine: Machine, template: Path) -> None:
    machine.real_uv()
    for name in ("python", "python3", "python3.12", "python3.13"):
        machine.program(machine.bin / name, "#!/bin/sh\necho 'pyenv: version is not installed' >&2\nexit 127\n")
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    (template / "template" / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\n'
    )
    done = copy(machine, template, UV_OFFLINE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (machine.folder / "my_env" / ".venv").exists()


@pytest.mark.skipif("0.7" not in os.environ.get("NEMO_GYM_LINES", "0.4 0.7"), reason="no Python 3.13.14 or later here")
def test_the_newest_line_is_preferred(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.bin / "python3.12", "0.4")
    machine.python(machine.pyenv / "versions" / "3.13.15" / "bin" / "python", "0.7")
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NeMo Gym 0.7" in done.stdout
    assert f"--python {interpreter_for('0.7')}" in machine.asked_of_uv()
    # uv cannot find it by itself, so NeMo Gym's own commands could not either.
    assert f'export PATH="{interpreter_for("0.7").parent}:$PATH"' in done.stdout


def test_a_failed_import(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    (template / "template" / "server.py").write_text("import no_such_module\n")
    done = copy(machine, template)
    assert done.returncode != 0
    assert "ModuleNotFoundError: No module named 'no_such_module'" in done.stderr
    assert "server.py could not be imported" in done.stderr
    assert (machine.folder / "my_env" / "server.py").read_text() == "import no_such_module\n"


@pytest.mark.parametrize("flag", [[], ["--no-cleanup"]])
def test_the_files_stay_where_copier_cannot_be_interrupted(machine: Machine, template: Path, flag: list[str]) -> None:
    """As in a background job of a shell that is not interactive."""
    machine.uv()
    command = subprocess.list2cmdline([*copier(), "copy", "--trust", "--defaults", *flag, str(template), "my_env"])
    done = run("sh", "-c", f'trap "" INT; {command}', cwd=machine.folder, **machine.env)
    assert done.returncode != 0
    assert "No Python that NeMo Gym runs on" in done.stderr
    assert (machine.folder / "my_env" / "server.py").exists()


def test_copier_cleans_its_own_temporary_files(machine: Machine, template: Path) -> None:
    machine.uv()
    run("git", "init", "-q", cwd=template)
    run("git", "add", "-A", cwd=template)
    run("git", "-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "-qm", "x", cwd=template)
    scratch = machine.folder / "tmp"
    scratch.mkdir()
    done = copy(machine, template, "my_env", "--vcs-ref", "HEAD", TMPDIR=str(scratch))
    assert_failed_but_kept(done, machine.folder / "my_env", "No Python that NeMo Gym runs on")
    assert list(scratch.glob("copier*")) == []
