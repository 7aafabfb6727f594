# Part of the template: changes belong there (`copier update` merges this file).
"""Runs what a model wrote on this machine, as confined as the machine allows.

Each process has a folder of its own, an environment without any variable of the server's, and limits. It ends with the
server, however the server ends. There are two levels:

- `bubblewrap`  The process sees a system of its own: no network, no other processes, /usr and Python to read, and its
                folder. If the server is root, the process runs as another user.
- `limits`      The process sees what the user of the server sees: it can read their files, reach the network, and send
                signals to the server's other processes. This protects from mistakes, not from an adversary.

Some files are programs, run by their path: `guard.py` and `enter.py` around every confined process, `kernel.py`, the
interpreter, and `fork_server.py`, which has all of these loaded and forks, with its part `room.py` (namespaces that a
fork enters). The others are imported: `place.py` (folders of a sandbox), `view.py` (what a process sees, and the level
that the machine can do), `forks.py` (the guards that are forked, seen from here), `process.py` (starts and ends a
process), `output.py` (what it prints), `jupyter.py` (cells), `commands.py` (shell commands) and `files.py` (reads and
writes files that a process may have prepared).
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["limits", "bubblewrap"]

PROGRAMS = Path(__file__).resolve().parent
"""The folder of the programs."""
PYTHON = os.path.abspath(sys.executable)
"""The interpreter of the server. The agent uses the same, with the packages that are installed for it."""


class ConfinementError(Exception):
    """A process cannot be confined. The message is for the log, or for whoever starts the server."""


@dataclass(frozen=True)
class Limits:
    """What one process may use; `processes` counts all processes of a sandbox."""

    memory_bytes: int
    cpu_seconds: int
    processes: int
    """The system does not enforce this one for root; the guard counts the processes too, twice a second."""
    file_bytes: int
    open_files: int
    printed_bytes: int = 100 * 2**20
    """A cell or command that prints more is ended."""
    kept_bytes: int = 200_000
    """How much of what it prints is kept."""

    def by_name(self) -> dict[str, int]:
        """The limits by the names of the module `resource`."""
        return {
            "RLIMIT_DATA": self.memory_bytes,
            # Address space is reserved freely (thread stacks, arenas), but no other limit counts shared memory.
            "RLIMIT_AS": 4 * self.memory_bytes,
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }
