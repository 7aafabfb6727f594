"""The ways in which setting an environment up can fail, each provoked: what the user reads, and the files that stay.

Most use Copier's real command line on a small template with this project's hook, and a stand-in for uv that notes what
it was asked; the search for an interpreter and the failing network use the real uv. test_environment.py has the full
sync.
"""

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
from generated import LINES, ROOT, copier, interpreter_for, run, user_environ

Done = subprocess.CompletedProcess[str]

HOOKS = ROOT / "hooks"
LINE = LINES[0]
"""Of NeMo Gym, for which there is an interpreter here."""
VERSIONS = {"0.4": "3.12.1", "0.7": "3.13.15"}
PROJECT = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\ndependencies = [{}]\n'
UV = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
  run) shift 3; exec "{python}" "$@" ;;  # uv run --no-sync python -c CODE
  python) exit 2 ;;
  sync) echo "VIRTUAL_ENV=$VIRTUAL_ENV" >> "{log}"; {sync} ;;
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

    def uv(self, sync: str = "exit 0") -> None:
        """A uv that notes its arguments, finds no interpreter, and runs Python for `uv run`."""
        self.program(self.bin / "uv", UV.format(log=self.log, python=sys.executable, sync=sync))

    def real_uv(self) -> None:
        # What `uv run` names is uv itself; on PATH there may be a script that needs other programs.
        found = os.environ.get("UV") or shutil.which("uv")
        assert found
        (self.bin / "uv").symlink_to(found)

    def python(self, path: Path, line: str) -> Path:
        """An interpreter of a NeMo Gym line at a path, as pyenv or a package manager would put it there."""
        version = " ".join(VERSIONS[line].split("."))
        asked = f"""case "$2" in *version_info*) printf '%s\\n' "{path}" {version}; exit ;; esac"""
        return self.program(path, f'#!/bin/sh\n{asked}\nexec "{interpreter_for(LINE)}" "$@"\n')

    def a_python(self) -> Path:
        """One that pyenv has installed."""
        return self.python(self.pyenv / "versions" / VERSIONS[LINE] / "bin" / "python", LINE)

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
    for program in HOOKS.glob("*.py"):
        shutil.copy(program, folder / "hooks")
    (folder / "template" / "server.py").write_text("class MyResourcesServer: ...\n")
    text = (ROOT / "copier.yml").read_text(encoding="utf-8")
    tasks = text[text.index("_tasks:") : text.index("# Where tasks are skipped")]
    answers = "".join(
        f"{name}:\n  type: str\n  default: '{value}'\n  when: false\n"
        for name, value in (("in_the_way", ""), ("local_desktop", ""), ("debian_packages", "no-such-package"))
    )
    (folder / "copier.yml").write_text(f"_subdirectory: template\n{answers}{tasks}")
    return folder


def set_answer(template: Path, name: str, value: str) -> None:
    """Change a computed answer of the small template."""
    text = (template / "copier.yml").read_text()
    before, after = text.split(f"{name}:\n  type: str\n  default: '", 1)
    (template / "copier.yml").write_text(
        f"{before}{name}:\n  type: str\n  default: '{value}'{after.split(chr(39), 1)[1]}"
    )


def copy(machine: Machine, template: Path, name: str = "my_env", *flags: str, **env: str) -> Done:
    command = [*copier(), "copy", "--trust", "--defaults", *flags, template, name]
    return run(*command, cwd=machine.folder, env=machine.env | env)


def assert_failed_but_kept(done: Done, folder: Path, *says: str) -> None:
    """One paragraph, no traceback, not 0, what helps as the last word, and the files as they were generated."""
    assert done.returncode != 0
    assert "\nTraceback" not in done.stderr  # that of a failed import is indented
    said = " ".join(done.stderr.split())
    for text in says:
        assert text in said, done.stderr
    assert "The generated files stay as they are" in said
    # Copier has been interrupted by the hook; what it says of that is not last.
    assert said.index("Execution stopped by user") < said.index("Go on by hand")
    assert (folder / "server.py").exists()


def test_all_is_well(machine: Machine, template: Path) -> None:
    machine.uv()
    python = machine.a_python()
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"sync --python {python}" in machine.asked_of_uv()
    assert f"NeMo Gym {LINE}" in done.stdout
    assert done.stdout.rstrip().endswith("Ready. Play a first episode:\n  cd my_env\n  uv run python rollout.py")


def test_the_older_line_says_what_the_newer_needs(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.bin / "python3.12", "0.4")
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NeMo Gym 0.7 needs Python 3.13.14 or later" in done.stdout


def test_copiers_own_virtual_environment_is_left_out(machine: Machine, template: Path) -> None:
    machine.uv()
    venv = machine.folder / "venv"
    run(interpreter_for(LINE), "-m", "venv", "--without-pip", venv, cwd=machine.folder)
    path = os.pathsep.join([str(venv / "bin"), machine.env["PATH"]])
    done = copy(machine, template, PATH=path, VIRTUAL_ENV=str(venv))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VIRTUAL_ENV=\n" in machine.asked_of_uv()
    # As under `uvx copier`: its environment is first on PATH, and does not last.
    assert "sync --python" in machine.asked_of_uv()
    assert str(venv) not in machine.asked_of_uv()


def test_uv_python_is_respected(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.a_python()
    wanted = machine.python(machine.folder / "mine" / "python", LINE)
    done = copy(machine, template, UV_PYTHON=str(wanted))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{wanted}, as UV_PYTHON says: NeMo Gym {LINE}" in done.stdout


def test_a_path_with_spaces(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.a_python()
    done = copy(machine, template, "my own env")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cd 'my own env'" in done.stdout


def test_no_git(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.a_python()
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
    # pip refuses to install into Debian's own Python; a virtual environment works everywhere.
    by_hand = ("cd my_env", "python3 -m venv ~/.uv", "~/.uv/bin/pip install uv", "~/.uv/bin/uv sync")
    assert "\n  ".join(by_hand) in done.stderr


def test_uv_that_is_not_on_path(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.a_python()
    installed = machine.folder / "home" / ".local" / "bin" / "uv"
    installed.parent.mkdir(parents=True)
    (machine.bin / "uv").rename(installed)
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    # `uv` alone would not be found when it is typed.
    assert done.stdout.rstrip().endswith("cd my_env\n  ~/.local/bin/uv run python rollout.py")


def test_a_uv_that_cannot_be_run(machine: Machine, template: Path) -> None:
    machine.program(machine.bin / "uv", "\x7fELF of another machine")
    machine.a_python()
    done = copy(machine, template)
    assert_failed_but_kept(done, machine.folder / "my_env", "A program could not be run", "uv sync")


def test_no_network(machine: Machine, template: Path) -> None:
    machine.real_uv()
    machine.a_python()
    (template / "template" / "pyproject.toml").write_text(PROJECT.format('"nemo-gym"'))
    empty = str(machine.folder / "empty cache")
    done = copy(machine, template, "my own env", UV_OFFLINE="1", UV_CACHE_DIR=empty)
    assert_failed_but_kept(done, machine.folder / "my own env", "`uv sync` failed. The network or", "nemo-gym")
    # To paste as it stands: a long command is not wrapped.
    command = f"uv sync --python {machine.a_python()}"
    assert done.stderr.rstrip().endswith(f"\n  cd 'my own env'\n  {command}")


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("failed to copy file: No space left on device (os error 28)", "The disk is full"),
        ("failed to create directory: Permission denied (os error 13)", "uv may not write where it has to"),
        ("No solution found when resolving dependencies", "No set of versions fits together"),
        ("error: Failed to fetch: `https://index.example/x/`", "The network or the package index could not be used"),
        ("something else", "`uv sync` failed; what it said stands above."),
    ],
)
def test_the_text_fits_the_cause(machine: Machine, template: Path, says: str, told: str) -> None:
    machine.uv(sync=f"echo '{says}' >&2; exit 2")
    machine.a_python()
    done = copy(machine, template)
    assert_failed_but_kept(done, machine.folder / "my_env", says, told)
    assert done.stderr.count("network") == (1 if "network" in told else 0)


def test_no_python(machine: Machine, template: Path) -> None:
    machine.uv()
    done = copy(machine, template)
    assert_failed_but_kept(done, machine.folder / "my_env", "No Python that NeMo Gym runs on", "uv python install 3.13")


def test_a_broken_pyenv_shim(machine: Machine, template: Path) -> None:
    machine.real_uv()
    for name in ("python", "python3", "python3.12", "python3.13"):
        machine.program(machine.bin / name, "#!/bin/sh\necho 'pyenv: version is not installed' >&2\nexit 127\n")
    machine.a_python()
    (template / "template" / "pyproject.toml").write_text(PROJECT.format(""))
    done = copy(machine, template, UV_OFFLINE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (machine.folder / "my_env" / ".venv").exists()


def test_the_newest_line_is_preferred(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.python(machine.bin / "python3.12", "0.4")
    newest = machine.python(machine.pyenv / "versions" / "3.13.15" / "bin" / "python", "0.7")
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NeMo Gym 0.7" in done.stdout
    assert f"--python {newest}" in machine.asked_of_uv()
    # uv cannot find it by itself, so NeMo Gym's own commands could not either.
    assert f'export PATH="{newest.parent}:$PATH"' in done.stdout


def test_a_failed_import(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.a_python()
    (template / "template" / "server.py").write_text("import no_such_module\n")
    done = copy(machine, template)
    error = "ModuleNotFoundError: No module named 'no_such_module'"
    assert_failed_but_kept(done, machine.folder / "my_env", error, "server.py could not be imported")
    assert (machine.folder / "my_env" / "server.py").read_text() == "import no_such_module\n"


def test_the_files_stay_where_copier_cannot_be_interrupted(machine: Machine, template: Path) -> None:
    """As in a background job of a shell that is not interactive."""
    machine.uv()
    command = shlex.join([*copier(), "copy", "--trust", "--defaults", str(template), "my_env"])
    done = run("sh", "-c", f'trap "" INT; {command}', cwd=machine.folder, env=machine.env)
    assert done.returncode != 0
    assert "No Python that NeMo Gym runs on" in done.stderr
    assert "Go on by hand:\n  cd my_env\n  uv python install 3.13\n  uv sync --python 3.13" in done.stderr
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


def test_ctrl_c_ends_quietly(machine: Machine, template: Path) -> None:
    machine.program(machine.bin / "uv", '#!/bin/sh\ncase "$1" in python) exit 2 ;; sync) exec sleep 30 ;; esac\n')
    (machine.bin / "sleep").symlink_to(str(shutil.which("sleep")))
    machine.a_python()
    command = [*copier(), "copy", "--trust", "--defaults", str(template), "my_env"]
    said = machine.folder / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=machine.folder,
            env=user_environ() | machine.env | {"PWD": str(machine.folder)},
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
    assert (
        "The files are generated, the packages are not installed.\nGo on:\n  cd my_env\n  uv sync" in said.read_text()
    )
    assert (machine.folder / "my_env" / "server.py").exists()


def test_nobody_but_copier_is_stopped(machine: Machine) -> None:
    """Run by hand, the hook fails like any program, and its parent goes on."""
    machine.uv()  # and no Python
    folder = machine.folder / "my_env"
    folder.mkdir()
    hook = [sys.executable, str(HOOKS / "setup_environment.py")]
    done = run("sh", "-c", f"{shlex.join(hook)}; echo the parent goes on", cwd=folder, env=machine.env)
    assert done.stdout.endswith("the parent goes on\n"), done.stdout + done.stderr
    assert "Go on by hand" in done.stderr


# ------------------------------------------------------------------------------------------ what is around the folder


@pytest.fixture
def outer(machine: Machine) -> Path:
    """A project of the user's with an environment that holds a file, where packages/* are members of its workspace."""
    machine.real_uv()
    machine.a_python()
    folder = machine.folder / "outer"
    (folder / ".venv").mkdir(parents=True)
    (folder / ".venv" / "installed").write_text("mine")
    (folder / "pyproject.toml").write_text(PROJECT.format("") + '[tool.uv.workspace]\nmembers = ["packages/*"]\n')
    (folder / ".gitignore").write_text(".venv\n")
    run("git", "init", "-q", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


@pytest.mark.parametrize(
    ("where", "variables", "says"),
    [
        ("packages/my_env", {}, "is a member of the uv workspace in"),
        ("my_env", {"UV_PROJECT": "."}, "UV_PROJECT is set to"),
        ("my_env", {"UV_PROJECT_ENVIRONMENT": ".venv"}, "UV_PROJECT_ENVIRONMENT is set to"),
        ("my_env", {"UV_WORKING_DIR": "."}, "UV_WORKING_DIR is set to"),
        ("my_env", {"UV_WORKING_DIRECTORY": "."}, "UV_WORKING_DIRECTORY is set to"),
    ],
)
def test_it_stops_before_it_changes_another_project(
    machine: Machine, template: Path, outer: Path, where: str, variables: dict[str, str], says: str
) -> None:
    (template / "template" / "pyproject.toml").write_text(PROJECT.format("").replace('"x"', '"inner"'))
    before = tree(outer)
    absolute = {name: str((outer / value).resolve()) for name, value in variables.items()}
    command = [*copier(), "copy", "--trust", "--defaults", template, where]
    done = run(*command, cwd=outer, env=machine.env | {"UV_OFFLINE": "1"} | absolute)
    assert_failed_but_kept(done, outer / where, says)
    after = tree(outer)
    assert {name: text for name, text in after.items() if not name.startswith(where)} == before
    assert not (outer / where / ".venv").exists()


@pytest.mark.parametrize(
    ("where", "variables"),
    [
        ("elsewhere/my_env", {}),  # no member
        ("my_env", {"UV_FROZEN": "1"}),
        ("my_env", {"UV_LOCKED": "1"}),
        ("my_env", {"UV_NO_SYNC": "1"}),
        ("my_env", {"UV_ENV_FILE": "no-such-file"}),
        ("my_env", {"UV_PROJECT_ENVIRONMENT": ".venv"}),  # relative: below the new folder
        ("my_env", {"VIRTUAL_ENV": "OUTER/.venv"}),
    ],
)
def test_what_is_set_for_another_project_does_no_harm(
    machine: Machine, template: Path, outer: Path, where: str, variables: dict[str, str]
) -> None:
    (template / "template" / "pyproject.toml").write_text(PROJECT.format("").replace('"x"', '"inner"'))
    before = tree(outer)
    env = {name: value.replace("OUTER", str(outer)) for name, value in variables.items()}
    command = [*copier(), "copy", "--trust", "--defaults", template, where]
    done = run(*command, cwd=outer, env=machine.env | {"UV_OFFLINE": "1"} | env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (outer / where / ".venv" / "bin" / "python").exists()
    assert {name: text for name, text in tree(outer).items() if not name.startswith(where)} == before


def test_all_missing_debian_packages_are_named_at_once(machine: Machine, template: Path) -> None:
    machine.uv()
    machine.a_python()
    set_answer(template, "local_desktop", ".")
    set_answer(template, "debian_packages", "here-1 gone-1 gone-2")
    machine.program(machine.bin / "dpkg-query", "#!/bin/sh\necho here-1 installed\necho gone-2 config-files\n")
    done = copy(machine, template)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apt-get install gone-1 gone-2\n\nThen play a first episode" in done.stdout
    assert "Ready" not in done.stdout


def test_files_in_the_way_are_named(machine: Machine, template: Path) -> None:
    set_answer(template, "in_the_way", "README.md, server.py")
    done = copy(machine, template)
    assert done.returncode == 1
    assert "Nothing was written, because these files are there already: README.md, server.py." in done.stderr
    assert done.stderr.rstrip().endswith("With --overwrite, Copier replaces them.")
