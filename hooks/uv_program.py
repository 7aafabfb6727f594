"""uv: the program, what it is told by variables, and what it says when it fails."""

import fcntl
import os
import pty
import shlex
import shutil
import subprocess
import sys
import termios
from pathlib import Path

PROBE_SECONDS = 20
WITHOUT_PATH = "~/.uv/bin/uv"
"""Where the README's commands put uv on a machine that has only Python."""

# Of Copier's own interpreter, which is nothing to the new project. The last is how `python -m uv` tells the uv of its
# children which interpreter to install into.
NOT_OURS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_INTERNAL__PARENT_INTERPRETER")
# What a user sets for other projects: a lock file that has to exist already, or a part of what has to be installed.
FOR_OTHER_PROJECTS = (
    *("UV_FROZEN", "UV_LOCKED", "UV_NO_SYNC", "UV_ISOLATED", "UV_ENV_FILE", "UV_NO_EDITABLE", "UV_NO_DEV"),
    *("UV_NO_DEFAULT_GROUPS", "UV_NO_GROUP", "UV_NO_INSTALL_PROJECT", "UV_NO_INSTALL_WORKSPACE", "UV_NO_INSTALL_LOCAL"),
)


class SetupFailed(Exception):
    """The paragraph that the user reads, and the commands with which to go on by hand."""

    def __init__(self, reason: str, *by_hand: str) -> None:
        super().__init__(reason)
        self.by_hand = by_hand


def say(text: str) -> None:
    print(text, flush=True)


# ---------------------------------------------------------------------------------------------------- the program


def find_uv() -> str:
    """The uv program: where uv itself says, on PATH, beside Copier's interpreter, or where its installers put it."""
    names = [os.environ.get("UV"), shutil.which("uv"), str(Path(sys.executable).with_name("uv"))]
    names += [str(Path.home() / folder / "uv") for folder in (".local/bin", ".cargo/bin", ".uv/bin")]
    for name in names:
        if name and os.access(name, os.X_OK):
            return name
    raise SetupFailed(
        "uv is not installed, and the environment is made with it. https://docs.astral.sh/uv says how to get it; with "
        "Python alone:",
        "python3 -m venv ~/.uv",
        "~/.uv/bin/pip install uv",
        f"{WITHOUT_PATH} sync",
    )


def typed(uv: str) -> str:
    """uv as the user has to type it: by its path where it is not the one on PATH."""
    on_path = shutil.which("uv")
    if on_path and os.path.samefile(on_path, uv):
        return "uv"
    path, home = Path(uv), Path.home()
    return f"~/{shlex.quote(str(path.relative_to(home)))}" if path.is_relative_to(home) else shlex.quote(uv)


# ------------------------------------------------------------------------------------------------------- variables


def user_environ() -> dict[str, str]:
    """The user's variables, without those of Copier's own interpreter."""
    return {key: value for key, value in os.environ.items() if key not in NOT_OURS}


def uv_environ() -> dict[str, str]:
    """The same, without what keeps uv from making a whole environment."""
    return {key: value for key, value in user_environ().items() if key not in FOR_OTHER_PROJECTS}


def refuse_another_project(uv: str) -> None:
    """Stop before uv changes another project's environment: its own commands, typed here later, would do so too.

    Raises:
        SetupFailed: a variable or a workspace leads uv away from this folder.
    """
    here = Path.cwd()
    environment = os.environ.get("UV_PROJECT_ENVIRONMENT")
    if environment and not Path(os.path.abspath(here / environment)).is_relative_to(here):
        raise SetupFailed(
            f"UV_PROJECT_ENVIRONMENT is set to {environment}: uv would install the environment there, and remove what "
            "else is installed there.",
            "unset UV_PROJECT_ENVIRONMENT",
            f"{typed(uv)} sync",
        )
    for name in ("UV_PROJECT", "UV_WORKING_DIRECTORY", "UV_WORKING_DIR"):
        if os.environ.get(name):
            raise SetupFailed(
                f"{name} is set to {os.environ[name]}: uv would work on the project there, and not on this one.",
                f"unset {name}",
                f"{typed(uv)} sync",
            )
    root = workspace_root(uv, here)
    if not os.path.samefile(root, here):
        raise SetupFailed(
            f"This folder is a member of the uv workspace in {root}: `uv sync` would change the environment of that. "
            f'Add "{os.path.relpath(here, root)}" to `exclude` in its `[tool.uv.workspace]`; or generate elsewhere.',
            f"{typed(uv)} sync",
        )


def workspace_root(uv: str, project: Path) -> Path:
    """The folder whose environment uv uses for a project: its own, or that of a workspace above it."""
    asked = ask(uv, "workspace", "dir")
    if asked is not None and asked.returncode == 0 and asked.stdout.strip():
        return Path(asked.stdout.strip())
    # A uv that is too old to say: any workspace above will do, be this folder a member or not.
    for folder in project.parents:
        try:
            if "[tool.uv.workspace]" in (folder / "pyproject.toml").read_text(encoding="utf-8"):
                return folder
        except (OSError, UnicodeDecodeError):
            continue
    return project


def link_mode(uv: str) -> dict[str, str]:
    """Spares the user uv's warning where its cache lies on another file system, from which it has to copy."""
    cache = ask(uv, "cache", "dir")
    if "UV_LINK_MODE" in os.environ or cache is None or cache.returncode != 0:
        return {}
    folder = Path(cache.stdout.strip())
    while not folder.exists():
        folder = folder.parent
    return {"UV_LINK_MODE": "copy"} if folder.stat().st_dev != Path.cwd().stat().st_dev else {}


# ------------------------------------------------------------------------------------------------------- running it


def ask(*command: str) -> "subprocess.CompletedProcess[str] | None":
    """Run a program for its answer; None if it cannot be run or does not end."""
    try:
        return subprocess.run(
            command, env=uv_environ(), capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None


def watched(command: list[str], environ: dict[str, str]) -> tuple[int, str]:
    """Run a program whose errors the user sees as they come, progress bars included: exit status, and the errors."""
    if os.isatty(2):
        reading, writing = pty.openpty()
        _give_size(writing)
    else:
        reading, writing = os.pipe()
    process = subprocess.Popen(command, env=environ, stderr=writing)
    os.close(writing)
    said = b""
    while True:
        try:
            part = os.read(reading, 65536)
        except OSError:  # A terminal that nobody writes to any more.
            break
        if not part:
            break
        os.write(2, part)
        said = (said + part)[-100_000:]
    os.close(reading)
    return process.wait(), said.decode(errors="replace")


def _give_size(terminal: int) -> None:
    """Give a terminal the size of the user's."""
    size = fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


CAUSES = (
    (("No space left on device", "os error 28", "Disk quota exceeded"), "The disk is full: the environment and uv's "
     "cache ({cache}) take 3 GB while they are made. Make room (`uv cache clean` empties the cache), and try again."),
    (("Permission denied", "os error 13", "Read-only file system"), "uv may not write where it has to; what it said "
     "stands above."),
    (("error sending request", "Failed to fetch", "Failed to download", "dns error", "network was disabled",
      "Network connectivity is disabled", "timed out", "tcp connect error", "certificate"), "The network or the "
     "package index could not be used; what uv said stands above. Try again when it can."),
    (("No solution found",), "No set of versions fits together; what uv said stands above."),
)  # fmt: skip
"""What uv says, and what the user is told; the first that fits."""


def why(said: str, cache: str) -> str:
    """Why `uv sync` failed, by what it said."""
    for marks, cause in CAUSES:
        if any(mark in said for mark in marks):
            return f"`uv sync` failed. {cause.format(cache=cache)}"
    return "`uv sync` failed; what it said stands above."
