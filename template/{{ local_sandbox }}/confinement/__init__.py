# Part of the template: changes belong there (`copier update` merges this file).
"""Running what a model wrote on this machine, as confined as the machine allows.

Each process has a folder of its own, an environment without anything of the server's, and limits; and it ends with the
server, whatever ends that. The levels say what else there is:

- `bubblewrap`  Its own view of the system: no network, no processes but its own, /usr and Python readable, nothing else
                but its folder to be seen. Where the server is root, the process is another user.
- `limits`      No view of its own: it reads what the server's user reads, reaches the network, and can signal the
                server's other processes. This keeps mistakes in bounds, not an adversary.

`guard.py` and `enter.py` are programs that run before the process, `kernel.py` is the interpreter itself, `jupyter.py`
talks to it, `files.py` reads and writes files that a process may have prepared.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from confinement.guard import remove

Level = Literal["limits", "bubblewrap"]

HERE = Path(__file__).resolve().parent
PYTHON = os.path.abspath(sys.executable)
"""The server's own interpreter, with what is installed beside it, is the agent's too."""
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf")
"""What programs want of /etc, and what tells nothing of the machine's users or services."""
USERS = range(20_000, 60_000)
"""User ids for confined processes, where the server is root. A container's own users seldom reach up here."""
END_SECONDS = 15
PROBE_SECONDS = 30


class ConfinementError(Exception):
    """A process cannot be confined; the message is for the log or the person who starts the server."""


@dataclass(frozen=True)
class Limits:
    """What one process may use, or all of them together where it says so."""

    memory_bytes: int
    cpu_seconds: int
    processes: int
    """All of them together. As a limit of the system's it does not bind root; the guard counts too, twice a second."""
    file_bytes: int
    open_files: int
    printed_bytes: int = 100 * 2**20
    """What prints more is ended."""
    kept_bytes: int = 200_000
    """So much of what it prints is kept."""

    def by_name(self) -> dict[str, int]:
        """The limits by the names of the module `resource`."""
        return {
            "RLIMIT_DATA": self.memory_bytes,
            # Address space is reserved freely (thread stacks, arenas), but shared memory counts nowhere else.
            "RLIMIT_AS": 4 * self.memory_bytes,
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }


class Strongest(NamedTuple):
    """The strongest level that this machine can do, and why it is not a stronger one."""

    level: Level
    reason: str


class Place:
    """The folder of one sandbox: `work` is the agent's own, `tmp` its temporary files.

    Args:
        level: How it is confined.
        readable: More paths that a process in bubblewrap can read.
    """

    def __init__(self, level: Level, readable: Sequence[str] = ()) -> None:
        self.level = level
        self.readable = list(readable)
        # Not by uid 0, which no limit on processes binds.
        self.user = secrets.choice(USERS) if level == "bubblewrap" and os.getuid() == 0 else None
        self.root = Path(tempfile.mkdtemp(prefix="sandbox-"))
        self.version = 0
        """Counts how often `work` had to be made anew."""
        self._make_work()
        self.tmp = self.make_folder("tmp")
        # As /tmp is everywhere: Python may lie below it, and bubblewrap has to get there before it is another user.
        # Nobody else comes this far: the root is closed to them.
        self.tmp.chmod(0o1777)

    def _make_work(self) -> None:
        self.work = self.make_folder("work")
        found = self.work.lstat()
        self._identity = (found.st_dev, found.st_ino)

    def restore(self) -> None:
        """Make `work` anew where a process has deleted or replaced it (in bubblewrap none can)."""
        try:
            found = self.work.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                return
            remove(str(self.work))
        except FileNotFoundError:
            pass
        self._make_work()
        self.version += 1

    def make_folder(self, name: str) -> Path:
        """A new folder beside `work`, which processes of this place can write."""
        folder = self.root / name
        folder.mkdir(mode=0o700)
        if self.user is not None:
            os.chown(folder, self.user, self.user)
        return folder

    def remove(self) -> None:
        """Remove all of it. For a place that has no process; else its guard does it."""
        if self.root.exists():
            remove(str(self.root))


@dataclass
class View:
    """Where a confined process finds things: elsewhere than the server does, where it has a view of its own."""

    place: Place
    shared: Path | None = None
    """A further folder of the place, for the process to share with the server."""
    work: str = field(init=False)
    tmp: str = field(init=False)
    programs: str = field(init=False)
    folder: str | None = field(init=False)

    def __post_init__(self) -> None:
        own = self.place.level == "bubblewrap"
        self.work = "/notebook" if own else str(self.place.work)
        self.tmp = "/tmp" if own else str(self.place.tmp)
        self.programs = "/run/confinement" if own else str(HERE)
        self.folder = None if self.shared is None else "/run/shared" if own else str(self.shared)

    def environment(self) -> dict[str, str]:
        """All variables that the process gets: an allow-list, in which nothing is the server's but PATH and TZ."""
        path = os.pathsep.join([str(Path(PYTHON).parent), "/usr/local/bin", "/usr/bin", "/bin"])
        fixed = {
            "PATH": path,
            "HOME": self.work,
            "TMPDIR": self.tmp,
            "USER": "agent",
            "LOGNAME": "agent",
            "LANG": "C.UTF-8",
            "IPYTHONDIR": f"{self.tmp}/.ipython",
            "MPLCONFIGDIR": f"{self.tmp}/.matplotlib",
            "PYTHONDONTWRITEBYTECODE": "1",
            # A thread for each core and library would be held against the limit on processes.
            "OMP_NUM_THREADS": "2",
            "OPENBLAS_NUM_THREADS": "2",
        }
        return fixed | ({"TZ": os.environ["TZ"]} if "TZ" in os.environ else {})

    def command(self, command: Sequence[str], limits: Limits) -> list[str]:
        """The command line that runs `command` confined."""
        order = {
            "command": list(command),
            "environment": self.environment(),
            "folder": self.work,
            "limits": limits.by_name(),
            "user": self.place.user,
            "shares_user": self.place.level == "limits",
        }
        inside = [PYTHON, "-I", "-S", f"{self.programs}/enter.py", json.dumps(order)]
        return inside if self.place.level == "limits" else [*self._bubblewrap(limits), *inside]

    def _bubblewrap(self, limits: Limits) -> list[str]:
        # Root needs no namespace for users; of its capabilities it keeps those by which it becomes another user.
        rights = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        options = [
            *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
            *("--die-with-parent", "--hostname", "sandbox"),
            *(rights if os.getuid() == 0 else ["--unshare-user"]),
            *with_parents(system_folders()),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--perms", "1777", "--size", str(limits.memory_bytes), "--tmpfs", "/dev/shm"),
            *("--bind", str(self.place.tmp), "/tmp"),
        ]
        binds = [("--ro-bind", path, path) for path in dict.fromkeys([*interpreter_paths(), *self.place.readable])]
        binds += [("--ro-bind", str(HERE), self.programs), ("--bind", str(self.place.work), self.work)]
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


class Confined:
    """A confined process with all that descends from it. Start it with `Confined.start()`.

    Attributes:
        stdout: Descriptor of the pipe that its standard output comes from; not blocking.
        stderr: The same of its standard error.
        ended: A task that is done when none of it runs any more; its result is the exit code.
    """

    def __init__(self, place: Place, process: asyncio.subprocess.Process, stdout: int, stderr: int) -> None:
        self.place = place
        self.stdout = stdout
        self.stderr = stderr
        self._process = process
        self.ended = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, command: Sequence[str], place: Place, max_processes: int, owner: bool = False) -> "Confined":
        """Run a command line of `View.command()`.

        Args:
            command: The command line.
            place: Where it belongs.
            max_processes: It is ended when it has more.
            owner: When the server goes without a word, this process's guard removes the place.

        Raises:
            ConfinementError: the machine has no process or descriptor left.
        """
        descriptors: list[int] = []
        try:
            for _ in range(2):
                descriptors += os.pipe()
            stdout, stdout_end, stderr, stderr_end = descriptors
            process = await asyncio.create_subprocess_exec(
                *(PYTHON, "-I", "-S", str(HERE / "guard.py")),
                stdin=asyncio.subprocess.PIPE,
                stdout=stdout_end,
                stderr=stderr_end,
                start_new_session=True,
                cwd="/",
                env={},
            )
        except BaseException as error:
            for descriptor in descriptors:
                os.close(descriptor)
            if isinstance(error, OSError):
                raise ConfinementError(f"no process can be started: {error.strerror}") from None
            raise
        os.close(stdout_end)
        os.close(stderr_end)
        os.set_blocking(stdout, False)
        os.set_blocking(stderr, False)
        order = {
            "command": list(command),
            "folder": str(place.root) if owner else None,
            "max_processes": max_processes + 2,  # bubblewrap's own two
        }
        confined = cls(place, process, stdout, stderr)
        confined._say(json.dumps(order).encode() + b"\n")
        return confined

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.write(line)

    async def end(self) -> None:
        """End all of it. What it has printed can still be read."""
        self._say(b"end\n")
        await asyncio.wait({self.ended}, timeout=END_SECONDS)
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.ended
        if self.ended.result() == -signal.SIGKILL:
            # Somebody has killed the guard: at the level `limits`, the process can.
            sweep(self.place)

    async def close(self) -> None:
        """End all of it, and give its descriptors back. A second call changes nothing."""
        if self.stdout < 0:
            return
        stdout, stderr, self.stdout, self.stderr = self.stdout, self.stderr, -1, -1
        try:
            await self.end()
        finally:
            assert self._process.stdin is not None
            self._process.stdin.close()
            os.close(stdout)
            os.close(stderr)


def sweep(place: Place) -> None:
    """Kill the processes that were started with this place as their home, and have lost their guard."""
    mark = b"HOME=" + os.fsencode(place.work)
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            with contextlib.suppress(OSError):
                if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
