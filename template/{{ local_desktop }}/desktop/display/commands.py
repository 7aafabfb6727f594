# Part of the template: changes belong there (`copier update` merges this file).
"""How programs on a display are confined: by bubblewrap, in a view of the system of their own.

A shell command of the agent sees /usr and a little of /etc, read-only, a folder of its own, and the socket of its
session's display: no network, no other processes, nothing of the server's and none of the application's files. On the
display it is a client that the X server does not trust (`Screen.untrusted_cookie`).

The window manager sees the same. It ends processes by their number where a window asks for it; so it sees none.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROBE_SECONDS = 30
HOME = "/home/agent"
AUTHORITY = "/run/Xauthority"
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "X11")
LIMITS = {
    "RLIMIT_AS": 4 * 2**30,
    "RLIMIT_FSIZE": 64 * 2**20,
    "RLIMIT_NOFILE": 256,
    "RLIMIT_NPROC": 4096,  # Of all processes of this user, the server's included; root has none.
    "RLIMIT_CORE": 0,
}


@dataclass(frozen=True)
class Access:
    """How a program reaches a display: its name, its socket, and the file with the cookie."""

    display: str
    socket: Path
    authority: Path


def confined(
    command: Sequence[str], access: Access | None, home: Path | None = None, readable: Sequence[Path] = ()
) -> list[str]:
    """The command line that runs a program confined.

    Args:
        command: The program's own.
        access: To the display that it is to reach; None for none.
        home: The folder that it may write, and starts in; None for an empty one, which goes with it.
        readable: Further files that it can read.
    """
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--hostname", "desktop", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    for name in (*(f"/etc/{name}" for name in ETC), "/var/cache/fontconfig"):
        options += ["--ro-bind-try", name, name]
    options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    options += ["--bind", str(home), HOME] if home is not None else ["--dir", HOME]
    if access is not None:
        options += ["--ro-bind", str(access.authority), AUTHORITY, "--ro-bind", str(access.socket), str(access.socket)]
    for path in readable:
        options += ["--ro-bind", str(path), str(path)]
    return ["bwrap", *options, "--chdir", HOME, "--", *command]


def environment(access: Access | None, home: Path, confined: bool) -> dict[str, str]:
    """All variables of a program."""
    variables = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": HOME if confined else str(home),
        "LANG": "C.UTF-8",
    }
    if access is not None:
        variables |= {"DISPLAY": access.display, "XAUTHORITY": AUTHORITY if confined else str(access.authority)}
    return variables


@cache
def obstacle() -> str | None:
    """Why programs cannot be confined on this machine; None where they can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian's package bubblewrap)"
    command = confined(["/bin/sh", "-c", "exit 0"], None, Path("/tmp"))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {error}"[:200]
    if done.returncode != 0:
        return f"bubblewrap does not work here: {done.stderr.strip()[:200]}"
    return None
