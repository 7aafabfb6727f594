# Part of the template: changes belong there (`copier update` merges this file).
"""The folders of a sandbox."""

import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sandbox.confinement import Level
from sandbox.confinement.guard import remove

USERS = range(20_000, 60_000)
"""User ids of confined processes, if the server is root. The users of a container seldom have such high ones."""


class Place:
    """The folder of one sandbox: `work` is the agent's own, `tmp` its temporary files.

    Args:
        level: How it is confined.
        readable: More paths that a process in bubblewrap can read.
    """

    def __init__(self, level: Level, readable: Sequence[str] = ()) -> None:
        self.level = level
        self.readable = list(readable)
        # A user other than root, for whom the system enforces no limit on processes.
        self.user = secrets.choice(USERS) if level == "bubblewrap" and os.getuid() == 0 else None
        self.root = Path(tempfile.mkdtemp(prefix="sandbox-"))
        self.version = 0
        """Number of times that `work` was made again."""
        self._make_work()
        self.tmp = self.make_folder("tmp")
        # With the permissions of /tmp: Python may be installed below it, and bubblewrap needs to get there before it
        # changes the user. No other user can: `root` is closed to them.
        self.tmp.chmod(0o1777)

    def _make_work(self) -> None:
        self.work = self.make_folder("work")
        found = self.work.lstat()
        self._identity = (found.st_dev, found.st_ino)

    def restore(self) -> None:
        """Make `work` again if a process has deleted or replaced it (in bubblewrap none can)."""
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
        """Remove all of it. No process may be running in it."""
        if self.root.exists():
            remove(str(self.root))
