# Part of the template: changes belong there (`copier update` merges this file).
"""How a shell command of the agent is confined: by bubblewrap, in a view of the system of its own.

It sees /usr and a little of /etc, read-only, a folder of its own, and the socket of its session's display: no network,
no other processes, nothing of the server's and none of the application's files.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

PROBE_SECONDS = 30
HOME = "/home/agent"
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "X11")
LIMITS = {
    "RLIMIT_AS": 4 * 2**30,
    "RLIMIT_FSIZE": 64 * 2**20,
    "RLIMIT_NOFILE": 256,
    "RLIMIT_NPROC": 4096,  # Of all processes of this user, the server's included; root has none.
    "RLIMIT_CORE": 0,
}


def confined(command: str, home: Path, authority: Path, socket: Path) -> list[str]:
    """The command line that runs a shell command confined.

    Args:
        command: For /bin/sh.
        home: The folder that is its own.
        authority: The file with the display's cookie.
        socket: The display's socket.
    """
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--hostname", "desktop", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    for name in ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", str(home), HOME]
    options += ["--ro-bind-try", str(authority), "/run/Xauthority", "--ro-bind-try", str(socket), str(socket)]
    return ["bwrap", *options, "--chdir", HOME, "--", "/bin/sh", "-c", command]


def environment(display: str, confined: bool, home: Path, authority: Path) -> dict[str, str]:
    """All variables of a command."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": HOME if confined else str(home),
        "LANG": "C.UTF-8",
        "DISPLAY": display,
        "XAUTHORITY": "/run/Xauthority" if confined else str(authority),
    }


@cache
def obstacle() -> str | None:
    """Why commands cannot be confined on this machine; None where they can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian's package bubblewrap)"
    nothing = Path("/nonexistent")
    command = confined("exit 0", Path("/tmp"), nothing, nothing)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {error}"[:200]
    if done.returncode != 0:
        return f"bubblewrap does not work here: {done.stderr.strip()[:200]}"
    return None
