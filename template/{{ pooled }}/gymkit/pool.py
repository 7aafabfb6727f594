# Part of the template: changes belong there (`copier update` merges this file).
"""Things that take long to make, a few of them in store: sandboxes, desktops."""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

log = logging.getLogger("gymkit")


class Startable(Protocol):
    """What a pool holds. `start` may take long and may fail; `close` never fails."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Pool[T: Startable]:
    """Hands out started things, each to one owner, who gives it back.

    Args:
        make: Makes one that is not yet started.
        warm: So many are kept ready; they are started in the background.
        warm_seconds: One that has waited longer is not handed out but replaced.
    """

    def __init__(self, make: Callable[[], T], warm: int, warm_seconds: float) -> None:
        self._make = make
        self._warm = warm
        self._warm_seconds = warm_seconds
        self._ready: deque[tuple[float, T]] = deque()
        # More at once than there are processors would only make each of them slow.
        self._room = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._refilling: asyncio.Task[None] | None = None
        # For /metrics: so many were started, or could not be; so many are waited for, or with an owner.
        self.made = self.failed = self.waiting = self.in_use = 0

    def __len__(self) -> int:
        return len(self._ready)

    async def take(self) -> T:
        """A started one: from the store, else a new one. Raises what its `start` does."""
        while self._ready:
            made, thing = self._ready.popleft()
            self.refill()
            if monotonic() - made <= self._warm_seconds:
                self.in_use += 1
                return thing
            await thing.close()
        self.waiting += 1
        try:
            thing = await self._started()
        finally:
            self.waiting -= 1
        self.in_use += 1
        return thing

    async def give_back(self, thing: T) -> None:
        """Close one that was taken."""
        self.in_use -= 1
        await thing.close()

    async def _started(self) -> T:
        thing = self._make()
        async with self._room:
            try:
                await thing.start()
            except BaseException:
                self.failed += 1
                await thing.close()
                raise
        self.made += 1
        return thing

    def refill(self) -> None:
        """Fill the store up again, in the background."""
        if self._warm and (self._refilling is None or self._refilling.done()):
            self._refilling = asyncio.create_task(self._refill())

    async def _refill(self) -> None:
        while len(self._ready) < self._warm:
            try:
                self._ready.append((monotonic(), await self._started()))
            except Exception as error:
                # The next one who takes one will be told, or will have more luck.
                log.warning("None could be made in store: %s", error)
                return

    async def close(self) -> None:
        """Close what is in store."""
        if self._refilling is not None:
            self._refilling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refilling
        while self._ready:
            await self._ready.popleft()[1].close()
