"""The ways in which setting an environment up can fail, each provoked: what the user reads, and the files that stay.

Most use Copier's real command line on a small template with this project's hook, and a stand-in for uv that notes what
it was asked; the search for an interpreter and the failing network use the real uv. test_environment.py has the full
sync.
"""

import importlib.util
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
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
  sync) echo "VIRTUAL_ENV=$VIRTUAL_ENV" >> "{log}" ;;
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
            "UV": "",  # `uv run pytest` sets it
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
    return run(*command, cwd=machine.folder, env=machine.env | env)


def assert_failed_but_kept(done: Done, folder: Path, *says: str) -> None:
    """One paragraph, no traceback, not 0, and the files as they were generated."""
    assert done.returncode != 0
    assert "\nTraceback" not in done.stderr  # that of a failed import is indented
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
    assert f"sync --python {interpreter_for('0.4')}" in machine.asked_of_uv()
    assert "NeMo Gym 0.4" in done.stdout
    assert "NeMo Gym 0.7 needs Python 3.13.14 or later" in done.stdout
    assert done.stdout.rstrip().endswith("cd my_env\n  uv run python rollout.py")
    assert python.exists()


def test_copiers_own_virtual_environment_is_left_out(machine: Machine, template: Path) -> None:
    machine.uv()
    venv = machine.folder / "venv"
    run(interpreter_for("0.4"), "-m", "venv", "--without-pip", venv, cwd=machine.folder)
    path = os.pathsep.join([str(venv / "bin"), machine.env["PATH"]])
    done = copy(machine, template, PATH=path, VIRTUAL_ENV=str(venv))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VIRTUAL_ENV=\n" in machine.asked_of_uv()
    # As under `uvx copier`: its environment is first on PATH, and does not last.
    assert "sync --python" in machine.asked_of_uv()
    assert str(venv) not in machine.asked_of_uv()


def test_uv_python_is_respected(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.bin / "python3.12", "0.4")
    wanted = machine.python(machine.folder / "mine" / "python", "0.4")
    done = copy(machine, template, UV_PYTHON=str(wanted))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{wanted}, as UV_PYTHON says: NeMo Gym 0.4" in done.stdout


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
    # The tests' own uv may stand beside their Python: the hook is run by one that has none there.
    lone = machine.folder / "lone"
    run(sys.executable, "-m", "venv", "--without-pip", lone, cwd=machine.folder)
    text = (template / "copier.yml").read_text()
    (template / "copier.yml").write_text(text.replace("{{ _copier_python }}", str(lone / "bin" / "python")))
    done = copy(machine, template)
    assert_failed_but_kept(done, machine.folder / "my_env", "uv is not installed")
    assert "\n  cd my_env\n  pip install uv\n  uv sync\n" in done.stderr


def test_uv_that_is_not_on_path(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    installed = machine.folder / "home" / ".local" / "bin" / "uv"
    installed.parent.mkdir(parents=True)
    (machine.bin / "uv").rename(installed)
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    # `uv` alone would not be found when it is typed.
    assert done.stdout.rstrip().endswith(f"cd my_env\n  {installed} run python rollout.py")


def test_a_uv_that_cannot_be_run(machine: Machine, template: Path) -> None:
    machine.program(machine.bin / "uv", "\x7fELF of another machine")
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    done = copy(machine, template)
    assert_failed_but_kept(done, machine.folder / "my_env", "A program could not be run", "uv sync")


def test_no_network(machine: Machine, template: Path) -> None:
    machine.real_uv()
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    (template / "template" / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\ndependencies = ["nemo-gym"]\n'
    )
    empty = str(machine.folder / "empty cache")
    done = copy(machine, template, "my own env", UV_OFFLINE="1", UV_CACHE_DIR=empty)
    assert_failed_but_kept(done, machine.folder / "my own env", "`uv sync` failed", "network", "nemo-gym")
    # To paste as it stands: a long command is not wrapped.
    command = f"uv sync --python {interpreter_for('0.4')}"
    assert f"\n  cd 'my own env'\n  {command}\n" in done.stderr


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
    error = "ModuleNotFoundError: No module named 'no_such_module'"
    assert_failed_but_kept(done, machine.folder / "my_env", error, "server.py could not be imported")
    assert (machine.folder / "my_env" / "server.py").read_text() == "import no_such_module\n"


@pytest.mark.parametrize("flag", [[], ["--no-cleanup"]])
def test_the_files_stay_where_copier_cannot_be_interrupted(machine: Machine, template: Path, flag: list[str]) -> None:
    """As in a background job of a shell that is not interactive."""
    machine.uv()
    command = shlex.join([*copier(), "copy", "--trust", "--defaults", *flag, str(template), "my_env"])
    done = run("sh", "-c", f'trap "" INT; {command}', cwd=machine.folder, env=machine.env)
    assert_failed_but_kept(done, machine.folder / "my_env", "No Python that NeMo Gym runs on")
    assert ("Copier stops here" in done.stderr) is (not flag)


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


def test_ctrl_c_ends_quietly(machine: Machine, template: Path) -> None:
    machine.program(machine.bin / "uv", '#!/bin/sh\ncase "$1" in python) exit 2 ;; sync) exec sleep 30 ;; esac\n')
    (machine.bin / "sleep").symlink_to(str(shutil.which("sleep")))
    machine.python(machine.pyenv / "versions" / "3.12.1" / "bin" / "python", "0.4")
    command = [*copier(), "copy", "--trust", "--defaults", str(template), "my_env"]
    said = machine.folder / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=machine.folder,
            env=user_environ() | machine.env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 20
    while "[2/3]" not in said.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)  # uv sync has begun
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(timeout=20) == 1
    assert "[2/3]" in said.read_text()
    assert "Traceback" not in said.read_text()
    assert (machine.folder / "my_env" / "server.py").exists()


def test_nobody_but_copier_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """When Copier has gone, the hook's parent is process 1 or a session manager."""
    spec = importlib.util.spec_from_file_location("setup_environment", HOOK)
    assert spec is not None and spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    stopped: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, signal_number: stopped.append((process, signal_number)))
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(SystemExit):
        hook.fail(hook.SetupFailed("x"), 4711)
    assert stopped == []
