"""Set a generated environment up: find an interpreter, `uv sync`, and import the server once.

Copier runs it in the environment's folder, after `copier copy` and after `copier update` (see copier.yml):

    python setup_environment.py [--keep-on-failure] [--after-update]

It needs only the standard library. When something fails, it says why in one paragraph, with the command to go on by
hand; the generated files stay.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

NEWEST = ">=3.13.14,<3.14"
"""The Pythons on which NeMo Gym 0.7 runs. From 3.12 on below, it is 0.4."""
# `uvx copier` and `uv run` put a virtual environment on PATH that does not last: take what it was made from.
PROBE = "import sys; print(getattr(sys, '_base_executable', sys.executable), *sys.version_info[:3], sep='\\n')"
PROBE_SECONDS = 20
# What each line of NeMo Gym imports last, and takes long to compile.
IMPORTED_LAST = {"0.4": "pandas", "0.7": "scipy.stats"}
DOWNLOAD_SECONDS = 300


class Python(NamedTuple):
    """An interpreter that has been run."""

    version: tuple[int, int, int]
    path: str

    @property
    def nemo_gym(self) -> str:
        return "0.7" if self.version >= (3, 13, 14) else "0.4"

    @property
    def name(self) -> str:
        return f"Python {'.'.join(map(str, self.version))}"


class SetupFailed(Exception):
    """The paragraph that the user reads, and the commands with which to go on by hand where it does not name them."""

    def __init__(self, reason: str, *by_hand: str) -> None:
        super().__init__(reason)
        self.by_hand = by_hand


def say(text: str) -> None:
    print(text, flush=True)


def steps(*commands: str) -> str:
    """Commands to type, one a line and never wrapped, from the folder in which the user's shell stands."""
    # Copier changes its own working directory; PWD is still the shell's.
    folder = os.path.relpath(Path.cwd(), os.path.realpath(os.environ.get("PWD", ".")))
    if folder.startswith(".."):
        folder = str(Path.cwd())
    enter = [] if folder == "." else [f"cd {shlex.quote(folder)}"]
    return "\n".join(f"  {command}" for command in [*enter, *commands])


def user_environ() -> dict[str, str]:
    """The environment without that of Copier's own interpreter, which is nothing to the new project."""
    # The last is how `python -m uv` tells the uv of its children which interpreter to install into.
    not_ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_INTERNAL__PARENT_INTERPRETER")
    return {key: value for key, value in os.environ.items() if key not in not_ours}


# ------------------------------------------------------------------------------------------------------------- uv


def find_uv() -> str:
    """The uv program: where uv itself says, on PATH, beside Copier's interpreter, or where its installers put it."""
    names = [os.environ.get("UV"), shutil.which("uv"), str(Path(sys.executable).with_name("uv"))]
    names += [str(Path.home() / folder / "uv") for folder in (".local/bin", ".cargo/bin")]
    for name in names:
        if name and os.access(name, os.X_OK):
            return name
    raise SetupFailed(
        "uv is not installed, and the environment is made with it. Get it with pip, as below, or see "
        "https://docs.astral.sh/uv.",
        "pip install uv",
        "uv sync",
    )


def typed(uv: str) -> str:
    """uv as the user has to type it: by its path where it is not the one on PATH."""
    on_path = shutil.which("uv")
    return "uv" if on_path and os.path.samefile(on_path, uv) else shlex.quote(uv)


# ---------------------------------------------------------------------------------------------------- interpreter


def find_python(uv: str) -> Python:
    """The newest interpreter that NeMo Gym takes, downloaded by uv if need be and possible."""
    found = [python for python in map(probe, dict.fromkeys(candidates(uv))) if python is not None]
    # Of equal versions the first: uv's own choice, then PATH.
    best = max(found, key=lambda python: python.version, default=None)
    if (best is None or best.nemo_gym != "0.7") and may_download():
        say(f"      No Python {NEWEST} here: asking uv to download one ...")
        downloaded = download(uv)
        if downloaded is not None:
            return downloaded
        say("      uv could not download one.")
    if best is not None:
        return best
    raise SetupFailed(
        "No Python that NeMo Gym runs on was found: it needs 3.13 (3.13.14 or later), or 3.12. Install one, for "
        "instance with uv, as below.",
        f"{typed(uv)} python install 3.13",
        f"{typed(uv)} sync --python 3.13",
    )


def find_chosen(uv: str, wanted: str) -> Python | None:
    """What UV_PYTHON, a path or a version, stands for; None if uv has to see to it."""
    if os.sep in wanted:
        return probe(wanted)
    done = ask(uv, "python", "find", "--system", "--no-python-downloads", wanted)
    return probe(done.stdout.strip()) if done is not None and done.returncode == 0 else None


def candidates(uv: str) -> Iterator[str]:
    """Interpreters to try: uv's choice, those on PATH, and pyenv's, into whose folders uv does not look."""
    for wanted in (NEWEST, ">=3.12,<3.14"):
        # A broken pyenv shim makes uv itself fail here; the other ways do not depend on it.
        done = ask(uv, "python", "find", "--system", "--no-python-downloads", wanted)
        if done is not None and done.returncode == 0:
            yield done.stdout.strip()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for name in ("python3.13", "python3.12", "python3", "python"):
            if folder and os.access(Path(folder) / name, os.X_OK):
                yield str(Path(folder) / name)
    roots = {os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")}
    for root in filter(None, roots):
        yield from map(str, Path(root).glob("versions/3.1[23]*/bin/python"))


def probe(path: str) -> Python | None:
    """Run an interpreter: what it is, or None if it does not run or NeMo Gym does not take it."""
    done = ask(path, "-c", PROBE)
    if done is None or done.returncode != 0:
        return None
    try:
        executable, *numbers = done.stdout.split("\n")[:4]
        major, minor, micro = map(int, numbers)
    except ValueError:
        return None
    return Python((major, minor, micro), executable) if (3, 12) <= (major, minor) < (3, 14) else None


def ask(*command: str) -> "subprocess.CompletedProcess[str] | None":
    """Run a program for its answer; None if it cannot be run or does not end."""
    try:
        return subprocess.run(
            command, env=user_environ(), capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None


def may_download() -> bool:
    never = os.environ.get("UV_PYTHON_DOWNLOADS", "").lower() in ("never", "manual", "false")
    return not never and os.environ.get("UV_OFFLINE", "").lower() in ("", "0", "false", "no", "off", "n", "f")


def download(uv: str) -> Python | None:
    """Let uv install an interpreter for NeMo Gym 0.7; None if it cannot, for want of a network above all."""
    # Without it, uv tries for half a minute where there is no network.
    environ = user_environ() | {"UV_HTTP_RETRIES": os.environ.get("UV_HTTP_RETRIES", "1")}
    try:
        command = [uv, "python", "install", NEWEST]
        done = subprocess.run(command, env=environ, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    found = ask(uv, "python", "find", "--managed-python", "--no-python-downloads", NEWEST)
    return probe(found.stdout.strip()) if found is not None and found.returncode == 0 else None


# -------------------------------------------------------------------------------------------------- sync and gate


def sync(uv: str, python: str) -> None:
    """Install the environment's dependencies. Compiling all of them to bytecode would take longer than all the rest."""
    command = [uv, "sync", "--python", python]
    if subprocess.run(command, env=user_environ(), check=False).returncode != 0:
        raise SetupFailed(
            "`uv sync` failed; what it said stands above. Most often the network or a package index could not be "
            "reached: try again when it can.",
            f"{typed(uv)} {shlex.join(command[1:])}",
        )


def import_gate(uv: str, python: Python | None) -> None:
    """Import the server, as `python server.py` does first. What that imports is compiled to bytecode on the way.

    That is most of the time it takes; so a second process, on another core, compiles a part of it.
    """
    code = "import os; os.environ.setdefault('E2B_API_KEY','x'); import server\n"
    # Nor should the first start and the first rollout have to compile.
    code += "try: import rollout, uvicorn.protocols.http.httptools_impl\nexcept Exception: pass\n"
    # A sandbox's interpreter may not write bytecode itself.
    code += "try: import ipykernel.kernelapp, ipykernel.zmqshell\nexcept Exception: pass"
    run = [uv, "run", "--no-sync", "python", "-c"]
    last = IMPORTED_LAST["0.7" if python is None else python.nemo_gym]
    # Without the variable that forbids bytecode: with it, every start would compile anew.
    env = {key: value for key, value in user_environ().items() if key != "PYTHONDONTWRITEBYTECODE"}
    quiet = subprocess.DEVNULL
    beside = subprocess.Popen([*run, f"import {last}"], env=env, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        done = subprocess.run([*run, code], env=env, capture_output=True, text=True, errors="replace", check=False)
    finally:
        beside.terminate()  # The gate has imported the same.
        beside.wait()
    if done.returncode != 0:
        error = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        print(textwrap.indent(error, "      "), file=sys.stderr)
        raise SetupFailed(
            "server.py could not be imported; the error stands above. Mend it, then try again.",
            f'{typed(uv)} run python -c "import server"',
        )


# ------------------------------------------------------------------------------------------------------------ main


def set_up(after_update: bool) -> None:
    if after_update:
        refuse_conflicts()
    uv = find_uv()
    say("[1/3] Looking for a Python that NeMo Gym runs on ...")
    chosen = os.environ.get("UV_PYTHON")
    python = None if chosen else find_python(uv)
    if python is None:
        python = find_chosen(uv, chosen or "")
        say(f"      {chosen}, as UV_PYTHON says" + (f": NeMo Gym {python.nemo_gym}" if python else ""))
    else:
        say(f"      {python.name} ({python.path}): NeMo Gym {python.nemo_gym}")
    if python is not None and python.nemo_gym == "0.4":
        say("      (NeMo Gym 0.7 needs Python 3.13.14 or later.)")
    say("[2/3] Installing what the environment needs (about 1 GB, most of it NeMo Gym's) ...")
    sync(uv, python.path if python is not None else chosen or "")
    say("[3/3] Importing the server ...")
    import_gate(uv, python)
    if after_update:
        say("\nUpdated. See what has changed, and test it:\n  git diff\n  uv run pytest")
    else:
        say_what_is_next(uv, python)


def refuse_conflicts() -> None:
    """Say where an update has left conflict markers: Copier's exit status would be 0."""
    listed = ask("git", "grep", "-n", "-I", "--untracked", "-E", "^(<<<<<<<|>>>>>>>) ")
    places = [":".join(line.split(":", 2)[:2]) for line in (listed.stdout if listed else "").splitlines()]
    if places:
        raise SetupFailed(
            f"The template and you have changed the same lines; both versions stand between conflict markers, at "
            f"{', '.join(places)}. Keep what you want of each, delete the markers, then: `uv sync`, `uv run pytest`, "
            "`git add -A`, `git commit`. To give the update up: `git reset --hard`."
        )


def say_what_is_next(uv: str, python: Python | None) -> None:
    if python is not None and not uv_finds(uv, python):
        say(
            "\nNeMo Gym's own commands (gym, ng_run) make virtual environments and look for this Python on PATH:\n"
            f'  export PATH="{Path(python.path).parent}:$PATH"'
        )
    say("\nReady. Play a first episode:\n" + steps(f"{typed(uv)} run python rollout.py"))


def uv_finds(uv: str, python: Python) -> bool:
    """Whether uv finds this very version by itself, as NeMo Gym will ask it to."""
    done = ask(uv, "python", "find", "--system", "--no-python-downloads", ".".join(map(str, python.version)))
    return done is not None and done.returncode == 0


def fail(failure: SetupFailed, copier: int | None) -> NoReturn:
    """Say why, and end with a status that is not 0. `copier` is the process that would remove the files, if one would.

    A task that fails makes Copier delete the folder that it has created. So, to keep the files, Copier is interrupted
    instead, as by Ctrl+C: then it removes its temporary files only, and exits with 1. Where it ignores that (a
    background job of a shell that is not interactive), it is terminated.
    """
    reason, by_hand = str(failure), ""
    if failure.by_hand:
        reason += " The generated files stay as they are" + ("; Copier stops here." if copier else ".")
        by_hand = f"\nGo on by hand:\n{steps(*failure.by_hand)}"
    reason = textwrap.fill(reason, 100, break_on_hyphens=False, break_long_words=False)
    print(f"\n{reason}{by_hand}", file=sys.stderr, flush=True)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        # When Copier has gone, this process has another parent, which is not ours to stop.
        if copier is not None and os.getppid() == copier:
            os.kill(copier, signal_number)
            deadline = time.monotonic() + 3
            while os.getppid() == copier and time.monotonic() < deadline:
                time.sleep(0.1)
    sys.exit(1)


def main() -> None:
    flags = sys.argv[1:]
    copier = os.getppid() if "--keep-on-failure" in flags else None
    try:
        try:
            set_up(after_update="--after-update" in flags)
        except SetupFailed as failure:
            fail(failure, copier)
        except OSError as error:  # above all a uv that is not for this machine
            fail(SetupFailed(f"A program could not be run: {error}.", "uv sync"), copier)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
