"""Set a generated environment up: find an interpreter, `uv sync`, and import the server once.

Copier runs it in the environment's folder, after `copier copy` and after `copier update` (see copier.yml):

    python setup_environment.py --run-by-copier [--after-update] [--debian="xvfb openbox"] [--wrap=puzzle.py:Puzzle]

It needs only the standard library. When something fails, it says why in one paragraph, with the command to go on by
hand; the generated files stay.
"""

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from pythons import Python, find_chosen, find_python
from stopping import stop
from uv_program import (
    SetupFailed,
    ask,
    find_uv,
    link_mode,
    refuse_another_project,
    say,
    typed,
    uv_environ,
    watched,
    why,
)

# What each line of NeMo Gym imports last, and takes long to compile.
IMPORTED_LAST = {"0.4": "pandas", "0.7": "scipy.stats"}
TAKE_BACK = "git reset --hard && git clean -fd"


def steps(*commands: str) -> str:
    """Commands to type, one a line and never wrapped, from the folder in which the user's shell stands."""
    # Copier changes its own working directory; PWD is still the shell's.
    folder = os.path.relpath(Path.cwd(), os.path.realpath(os.environ.get("PWD", ".")))
    if folder.startswith(".."):
        folder = str(Path.cwd())
    enter = [] if folder == "." else [f"cd {shlex.quote(folder)}"]
    return "\n".join(f"  {command}" for command in [*enter, *commands])


def sync(uv: str, python: str) -> None:
    """Install the environment's dependencies. Compiling all of them to bytecode would take longer than all the rest."""
    command = [uv, "sync", "--python", python]
    status, said = watched(command, uv_environ() | link_mode(uv))
    if status != 0:
        cache = ask(uv, "cache", "dir")
        raise SetupFailed(
            why(said, cache.stdout.strip() if cache is not None else "~/.cache/uv"),
            f"{typed(uv)} {shlex.join(command[1:])}",
        )


def wrap(uv: str) -> None:
    """Make it the environment of the class that was named, a path as seen from the user's shell."""
    target, reward = argument("--wrap"), argument("--reward")
    if not target:
        return
    place, _, name = target.rpartition(":")
    if place.endswith(".py"):
        target = f"{Path(os.environ.get('PWD', '.'), Path(place).expanduser()).resolve()}:{name}"
    command = ["run", "--no-sync", "gymkit", "wrap", target, *(["--reward", reward] if reward else [])]
    say(f"      Wrapping {target} ...")
    done = subprocess.run([uv, *command], env=uv_environ(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        error = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        raise SetupFailed(f"{error}", f"{typed(uv)} run gymkit wrap {shlex.quote(target)}")


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
    env = {key: value for key, value in uv_environ().items() if key != "PYTHONDONTWRITEBYTECODE"}
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
    else:
        refuse_files_in_the_way()
    uv = find_uv()
    refuse_another_project(uv)
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
    if not after_update:
        wrap(uv)
    say("[3/3] Importing the server ...")
    import_gate(uv, python)
    if after_update:
        run = f"{typed(uv)} run pytest"
        say(f"\nUpdated. See what has changed, and test it:\n  git diff\n  {run}\nTo take it back:\n  {TAKE_BACK}")
    else:
        say_what_is_next(uv, python)


def refuse_files_in_the_way() -> None:
    """Say which files of the user's have kept Copier from writing anything (copier.yml)."""
    names = argument("--in-the-way")
    if names:
        stop(
            f"Nothing was written, because these files are there already: {names}.",
            "Move them away, or generate elsewhere. With --overwrite, Copier replaces them.",
        )


def argument(name: str) -> str:
    """The text after `name=` on the command line, empty where there is none."""
    return next((flag.partition("=")[2] for flag in sys.argv if flag.startswith(f"{name}=")), "")


def refuse_conflicts() -> None:
    """Say where an update has left conflict markers: Copier's exit status would be 0."""
    # Whatever colours and whole paths the user has set for git.
    git = ["git", "-c", "color.ui=never", "-c", "grep.fullName=false", "-c", "grep.column=false"]
    listed = ask(*git, "grep", "-n", "-I", "--untracked", "-E", "^(<<<<<<<|>>>>>>>) ")
    places = [":".join(line.split(":", 2)[:2]) for line in (listed.stdout if listed else "").splitlines()]
    if places:
        stop(
            "The template and you have changed the same lines; both versions stand between conflict markers, at "
            f"{', '.join(places)}. Keep what you want of each, and delete the markers.",
            f"Then:\n  uv sync\n  uv run pytest\n  git add -A\n  git commit\nTo give the update up:\n  {TAKE_BACK}",
        )


def say_what_is_next(uv: str, python: Python | None) -> None:
    if python is not None and not uv_finds(uv, python):
        say(
            "\nNeMo Gym's own commands (gym, ng_run) make virtual environments and look for this Python on PATH:\n"
            f'  export PATH="{Path(python.path).parent}:$PATH"'
        )
    missing = missing_packages()
    if missing:
        root = "" if os.geteuid() == 0 else "sudo "
        say(f"\nIts desktops need Debian packages that are not here:\n  {root}apt-get install {' '.join(missing)}")
    then = "Then play" if missing else "Ready. Play"
    say(f"\n{then} a first episode:\n" + steps(f"{typed(uv)} run python rollout.py"))


def missing_packages() -> list[str]:
    """Those of the Debian packages of `--debian` that are not installed; all of them where nobody can tell."""
    wanted = argument("--debian").split()
    if not wanted or shutil.which("dpkg-query") is None:
        return wanted
    asked = ask("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted)
    here = asked.stdout.splitlines() if asked is not None else []
    return [name for name in wanted if f"{name} installed" not in here]


def uv_finds(uv: str, python: Python) -> bool:
    """Whether uv finds this very version by itself, as NeMo Gym will ask it to."""
    done = ask(uv, "python", "find", "--system", "--no-python-downloads", ".".join(map(str, python.version)))
    return done is not None and done.returncode == 0


def interrupted(after_update: bool) -> None:
    """Say what Ctrl+C has left, at once: Copier waits a quarter of a second for this program to end."""
    if after_update:
        text = (
            f"The files are updated, the installed packages are not.\nGo on:\n  uv sync\nTake it back:\n  {TAKE_BACK}"
        )
    else:
        text = f"The files are generated, the packages are not installed.\nGo on:\n{steps('uv sync')}"
    print(f"\n{text}", file=sys.stderr, flush=True)


def main() -> None:
    after_update = "--after-update" in sys.argv
    try:
        try:
            set_up(after_update)
        except OSError as error:  # above all a uv that is not for this machine
            raise SetupFailed(f"A program could not be run: {error}.", "uv sync") from None
    except SetupFailed as failure:
        kept = "The update stays as it is." if after_update else "The generated files stay as they are."
        back = f"\nOr take the update back:\n  {TAKE_BACK}" if after_update else ""
        stop(f"{failure} {kept}", f"Go on by hand:\n{steps(*failure.by_hand)}{back}")
    except KeyboardInterrupt:
        interrupted(after_update)
        sys.exit(130)


if __name__ == "__main__":
    main()
