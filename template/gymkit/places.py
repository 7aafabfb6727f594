# Part of the template: changes belong there (`copier update` merges this file).
"""The places for sessions, and the memory for their rows. Who finds none waits in line for a while."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic

from gymkit.shares import Shares

MOST_WAITING = 10_000
WAITING_PART = 4
"""The rows of those who wait may take this part of the memory for rows: a quarter."""
LOOK_SECONDS = 0.2
"""So often it is looked for sessions that may give way, while somebody waits."""


class NoPlace(Exception):
    """There is no place for a further session, or no memory for its row: the caller should come back later."""


class _Waiting:
    def __init__(self, caller: str | None, weight: int) -> None:
        self.caller = caller
        self.weight = weight
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Places:
    """Places for sessions, and memory for their rows, in shares where callers are named.

    Args:
        sessions: So many places there are.
        row_bytes: So much memory there is for rows.
        wait_seconds: Who finds no place waits for so long, and anew whenever one was given to somebody.
        forget: Frees so many bytes of memory for rows, as far as it can.
        make_room: Ends sessions that may give way to those who wait.
    """

    def __init__(
        self,
        sessions: int,
        row_bytes: int,
        wait_seconds: float,
        forget: Callable[[int], None],
        make_room: Callable[[], Awaitable[None]],
    ) -> None:
        self.wait_seconds = wait_seconds
        self.sessions = Shares(sessions)
        self.memory = Shares(row_bytes)
        self._forget = forget
        self._make_room = make_room
        self._waiting = Shares(MOST_WAITING)
        self._waiting_memory = Shares(row_bytes // WAITING_PART)
        self._line: deque[_Waiting] = deque()
        self._last_given = 0.0
        self._looking: asyncio.Task[None] | None = None

    def has_room(self, caller: str | None, weight: int = 0) -> bool:
        """Whether a caller can have a place at once, and memory for a row."""
        return self.sessions.has_room(1, caller) and self.memory.has_room(weight, caller)

    def may_wait(self, caller: str | None, weight: int = 0) -> bool:
        """Whether a caller may wait for a place."""
        return (
            self.wait_seconds > 0
            and self._waiting.has_room(1, caller)
            and self._waiting_memory.has_room(weight, caller)
        )

    def callers_waiting(self) -> Iterator[str | None]:
        """Those who wait, the first in line first."""
        return (each.caller for each in self._line)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    async def take(self, caller: str | None, weight: int, waiting_weight: int) -> bool:
        """Take a place, and memory for a row; whether it had to wait for them.

        Args:
            caller: Whose share it is part of; None where there are no shares.
            weight: Of the row, as it is kept.
            waiting_weight: Of the row while it waits, with its prompt.

        Raises:
            NoPlace: none has become free in time.
        """
        if not self.memory.has_room(weight, None):
            self._forget(weight)
        if self.has_room(caller, weight):
            self._give(caller, weight)
            return False
        if not self.may_wait(caller, waiting_weight):
            raise NoPlace(self._why(caller))
        for shares, amount in ((self._waiting, 1), (self._waiting_memory, waiting_weight)):
            shares.take(amount, caller)
        waiting = _Waiting(caller, weight)
        self._line.append(waiting)
        try:
            await self._wait(waiting.admitted)
        except BaseException:
            if waiting.admitted.done():
                self.give_back(caller, weight)
            raise
        finally:
            for shares, amount in ((self._waiting, 1), (self._waiting_memory, waiting_weight)):
                shares.give_back(amount, caller)
            if not waiting.admitted.done():
                self._line.remove(waiting)
        if not waiting.admitted.done():
            raise NoPlace(self._why(caller))
        return True

    async def _wait(self, admitted: "asyncio.Future[None]") -> None:
        began = monotonic()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        while (seconds := max(began, self._last_given) + self.wait_seconds - monotonic()) > 0:
            done, _ = await asyncio.wait({admitted}, timeout=seconds)
            if done:
                return

    def _give(self, caller: str | None, weight: int) -> None:
        self.sessions.take(1, caller)
        self.memory.take(weight, caller)
        self._last_given = monotonic()

    def give_back(self, caller: str | None, weight: int) -> None:
        """Give back a place, and the memory for its row. Who is the first in line that it will do for gets it."""
        self.sessions.give_back(1, caller)
        self.memory.give_back(weight, caller)
        # Whoever's share is full does not keep those behind him from a place.
        for waiting in list(self._line):
            if self.sessions.taken >= self.sessions.total:
                break
            if self.has_room(waiting.caller, waiting.weight):
                self._line.remove(waiting)
                self._give(waiting.caller, waiting.weight)
                waiting.admitted.set_result(None)

    async def _look(self) -> None:
        try:
            while self._line:
                await self._make_room()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._looking = None

    def _why(self, caller: str | None) -> str:
        held = self.sessions.held_by(caller)
        if held and self.sessions.taken < self.sessions.total:
            return f"{held} sessions of yours are open, and no more are left for others."
        if self.sessions.has_room(1, caller):
            return f"the rows of the open sessions take {self.memory.taken:,} bytes of memory."
        return f"{self.sessions.taken} sessions are open, and that is the most."
