"""Locks between the workers of one test run (pytest-xdist): files, which the system frees whatever happens."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock on a file: `LOCK_EX` alone, `LOCK_SH` together with others that ask for no more."""
    with path.open("a") as file:
        fcntl.flock(file, how)
        yield


class Quiet:
    """Lets tests that measure run while no other worker runs any.

    Each test holds the lock `running`: together with others, or alone. Whoever waits for it holds the lock `turn`, so
    that a test that wants to be alone is not overtaken by those that come after it.
    """

    def __init__(self, folder: Path) -> None:
        self.turn = folder / "turn.lock"
        self.running = folder / "running.lock"
        self.held = ExitStack()
        self.alone = False

    def enter(self, alone: bool) -> None:
        """Wait until a test may run. One that follows another alone stays alone, without a gap between the two."""
        if not (alone and self.alone):
            self.leave()
            with locked(self.turn):
                self.held.enter_context(locked(self.running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
            self.alone = alone

    def leave(self) -> None:
        self.held.close()
        self.alone = False
