# Part of the template: changes belong there (`copier update` merges this file).
"""The large bodies that arrive: one at a time as far as memory goes, and only in a shape that can be read quickly."""

import asyncio
from time import monotonic

from starlette.types import Message, Receive

from gymkit.large_bodies import Shape
from gymkit.shares import Shares

STEP = 32_768
"""So many bytes are looked at before others have their turn."""
COPIES = 2
"""Bytes of memory for each byte that arrives: as it came, and as text."""


class BodyTooLarge(Exception):
    """The request's body is larger than the server takes."""


class NoMemory(Exception):
    """Other large bodies take what memory there is for them."""


class Intake:
    """The `receive` of a request with a large body: it counts what has arrived, and looks at its shape.

    Where callers have shares, it is read only when there is memory for all of it.

    Args:
        receive: The server's.
        declared: The size that the request says it has, if it says one.
        most_bytes: The limit of its size.
        most_parts: The limit of its parts (`Shape`).
        memory: What there is for large bodies; None where callers have no shares.
        caller: Whose share of it is taken.
        patience: Seconds that it waits for memory.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        declared: int,
        most_bytes: int,
        most_parts: int,
        memory: Shares | None,
        caller: str | None,
        patience: float,
    ) -> None:
        self._receive = receive
        self._declared = declared
        self._most_bytes = most_bytes
        self._shape = Shape(most_parts)
        self._memory = memory
        self._caller = caller
        self._patience = patience
        self._read = 0
        self._taken = 0

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            BodyTooLarge: more has arrived than may.
            BadBody: the body has a shape that cannot be read quickly.
            NoMemory: there has been none for it for too long.
        """
        if not self._read:
            await self._take(COPIES * self._declared)
        message = await self._receive()
        if message["type"] == "http.request":
            chunk = message.get("body", b"")
            self._read += len(chunk)
            if self._read > self._most_bytes:
                raise BodyTooLarge
            for start in range(0, len(chunk), STEP):
                self._shape.feed(chunk[start : start + STEP])
                await asyncio.sleep(0)
            await self._take(COPIES * max(self._read, self._declared) + self._shape.memory)
        return message

    async def _take(self, wanted: int) -> None:
        if self._memory is None:
            return
        more, began = wanted - self._taken, monotonic()
        while not self._memory.has_room(more, self._caller):
            if monotonic() - began > self._patience:
                raise NoMemory
            await asyncio.sleep(0.1)
        self._memory.take(more, self._caller)
        self._taken = wanted

    def done(self) -> None:
        """The request has been answered: what it took is free again."""
        if self._memory is not None:
            self._memory.give_back(self._taken, self._caller)
