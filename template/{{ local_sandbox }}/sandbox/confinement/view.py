# Part of the template: changes belong there (`copier update` merges this file).
"""What a confined process sees of the machine, and which level of isolation the machine can do."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.confinement import PROGRAMS, PYTHON, Level, Limits
from sandbox.confinement.place import Place

ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf")
"""What programs need of /etc. None of it says anything of the machine's users or services."""
PROBE_SECONDS = 30
RIGHTS = ("CAP_SETUID", "CAP_SETGID")
"""Of root's capabilities, those by which it becomes another user."""


def fixed_environment() -> dict[str, str]:
    """The variables that are the same in all sandboxes."""
    fixed = {
        "PATH": os.pathsep.join([str(Path(PYTHON).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "USER": "agent",
        "LOGNAME": "agent",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        # A thread for each core and library would be held against the limit on processes.
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
    }
    return fixed | ({"TZ": os.environ["TZ"]} if "TZ" in os.environ else {})


@dataclass
class View:
    """The paths, the environment and the command line of a confined process.

    In bubblewrap, the folders of its place have other paths than the server uses.
    """

    place: Place
    shared: Path | None = None
    """A further folder of the place, which the process shares with the server."""
    work: str = field(init=False)
    tmp: str = field(init=False)
    programs: str = field(init=False)
    folder: str | None = field(init=False)

    def __post_init__(self) -> None:
        own = self.place.level == "bubblewrap"
        self.work = "/notebook" if own else str(self.place.work)
        self.tmp = "/tmp" if own else str(self.place.tmp)
        self.programs = "/run/confinement" if own else str(PROGRAMS)
        self.folder = None if self.shared is None else "/run/shared" if own else str(self.shared)

    def environment(self) -> dict[str, str]:
        """All variables that the process gets: an allow-list, in which nothing is the server's but PATH and TZ."""
        own = {
            "HOME": self.work,
            "TMPDIR": self.tmp,
            "IPYTHONDIR": f"{self.tmp}/.ipython",
            "MPLCONFIGDIR": f"{self.tmp}/.matplotlib",
        }
        return fixed_environment() | own

    def order(self, limits: Limits) -> dict[str, Any]:
        """What `enter.py` needs to know, but for a command."""
        return {
            "environment": self.environment(),
            "folder": self.work,
            "limits": limits.by_name(),
            "user": self.place.user,
            "shares_user": self.place.level == "limits",
        }

    def room(self, limits: Limits) -> list[str] | None:
        """The command line of bubblewrap, for a fork that enters its namespaces; None at the level `limits`."""
        return None if self.place.level == "limits" else self._bubblewrap(limits, [])

    def command(self, command: Sequence[str], limits: Limits) -> list[str]:
        """The command line that runs `command` confined."""
        order = self.order(limits) | {"command": list(command)}
        inside = [PYTHON, "-I", "-S", f"{self.programs}/enter.py", json.dumps(order)]
        return inside if self.place.level == "limits" else [*self._bubblewrap(limits, RIGHTS), *inside]

    def _bubblewrap(self, limits: Limits, rights: Sequence[str]) -> list[str]:
        # Root needs no namespace for users.
        own = ["--cap-drop", "ALL", *(option for right in rights for option in ("--cap-add", right))]
        options = [
            *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
            *("--die-with-parent", "--hostname", "sandbox"),
            *(own if os.getuid() == 0 else ["--unshare-user"]),
            *with_parents(system_folders()),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--perms", "1777", "--size", str(limits.memory_bytes), "--tmpfs", "/dev/shm"),
            *("--bind", str(self.place.tmp), "/tmp"),
        ]
        binds = [("--ro-bind", path, path) for path in dict.fromkeys([*interpreter_paths(), *self.place.readable])]
        binds += [("--ro-bind", str(PROGRAMS), self.programs), ("--bind", str(self.place.work), self.work)]
        if self.shared is not None and self.folder is not None:
            binds.append(("--bind", str(self.shared), self.folder))
        options += with_parents(binds)
        return [str(shutil.which("bwrap")), *options, "--"]


Mount = tuple[str, str, str]
"""An option of bubblewrap's, a path outside, and the path inside."""


def system_folders() -> list[Mount]:
    """The system as a confined process sees it: /usr, what points into it, and a little of /etc, read-only."""
    mounts: list[Mount] = [("--ro-bind", "/usr", "/usr")]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            mounts.append(("--symlink", os.readlink(path), str(path)))
        elif path.is_dir():
            mounts.append(("--ro-bind", str(path), str(path)))
    return mounts + [("--ro-bind-try", f"/etc/{name}", f"/etc/{name}") for name in ETC]


def with_parents(mounts: Sequence[Mount]) -> list[str]:
    """The options of some mounts, and of the folders that they need: made by itself, bubblewrap's are root's alone."""
    parents = {str(parent): None for _, _, inside in mounts for parent in reversed(Path(inside).parents)}
    options = [option for parent in parents if parent != "/" for option in ("--dir", parent)]
    return options + [option for mount in mounts for option in mount]


@cache
def interpreter_paths() -> tuple[str, ...]:
    """What this Python needs beyond /usr: its virtual environment, its installation, and the links between the two."""
    paths = [sys.prefix, sys.base_prefix]
    link = PYTHON
    while os.path.islink(link):
        link = os.path.join(os.path.dirname(link), os.readlink(link))
        prefix = os.path.dirname(os.path.dirname(os.path.normpath(link)))
        is_installation = any(Path(prefix, "lib").glob("python3.*"))
        paths.append(prefix if is_installation else os.path.normpath(link))
    return tuple(path for path in dict.fromkeys(paths) if path != "/usr" and not path.startswith("/usr/"))


class Strongest(NamedTuple):
    """The strongest level that this machine can do, and the reason if that is not bubblewrap."""

    level: Level
    reason: str


@cache
def strongest_level() -> Strongest:
    """Find out what this machine can do, by doing it once."""
    if not sys.platform.startswith("linux"):
        return Strongest("limits", "bubblewrap needs Linux")
    if shutil.which("bwrap") is None:
        return Strongest("limits", "bubblewrap (bwrap) is not installed")
    place = Place("bubblewrap")
    try:
        limits = Limits(2**31, 10, 64, 2**20, 64)
        command = View(place).command([PYTHON, "-c", "import json, os; os.listdir('.')"], limits)
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False, env={})
        error = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as failure:
        done, error = None, str(failure)
    finally:
        place.remove()
    if done is None or done.returncode != 0:
        return Strongest("limits", f"bubblewrap does not work here: {error[:200]}")
    return Strongest("bubblewrap", "")
