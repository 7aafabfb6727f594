# Part of the template: changes belong there (`copier update` merges this file).
"""The sessions: one episode per cookie, made from its data row, one call at a time, always ended."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from http.cookies import SimpleCookie
from itertools import takewhile
from time import monotonic
from typing import Any

from itsdangerous import BadSignature, Signer
from pydantic import BaseModel, Field

from gymkit.grading import Verdict
from gymkit.rows import Row


class SessionSettings(BaseModel):
    """Limits of the sessions; an environment's own defaults stand in its config class in server.py."""

    max_sessions: int = Field(default=10_000, gt=0, description="Open sessions beyond which a seed gets 503.")
    idle_seconds: float = Field(default=3600, gt=0, description="A session unused for so long is ended.")


class SessionsFull(Exception):
    """As many sessions are open as may be: the caller should come back later.

    Args:
        count: How many that is.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} sessions are open, and that is the most.")


class SessionClosed(Exception):
    """The session of that identity has ended and cannot be seeded again."""


class Session:
    """One episode: the domain's object (`state`), the row it was made from, and the lock of its calls.

    Of the row `responses_create_params` is left out: it is the model's, most of what a row holds (a picture even), and
    nobody asks for it again.
    """

    __slots__ = ("cookie_header", "cookie_value", "ended", "id", "last_used", "lock", "row", "state")

    def __init__(self, id: str, row: Row, state: Any, cookie_value: str, cookie_header: tuple[bytes, bytes]) -> None:
        self.id = id
        self.row = row
        self.state = state
        self.cookie_value = cookie_value
        self.cookie_header = cookie_header
        self.ended = False
        self.lock = asyncio.Lock()
        self.last_used = monotonic()


class Ended:
    """What is kept of a session that has ended: its verdict, so that `/verify` answers the same again."""

    __slots__ = ("reason", "verdict")

    def __init__(self, reason: str, verdict: Verdict | None) -> None:
        self.reason = reason
        self.verdict = verdict


class SessionStore:
    """All sessions of one server process, found by the cookie's value.

    A cookie is signed once, when its session is made, and looked up afterwards: a value that is known was issued
    here. Only an unknown value has its signature checked, which tells a lost session from a forged one.

    Args:
        cookie_name: Name of the cookie.
        secret: Key of the signature. It never leaves the process.
        start: Makes the domain's object from a row. It may take its time; other sessions go on meanwhile.
        end: Releases what the domain's object holds. It must not raise.
        max_sessions: Beyond this many, `SessionsFull`.
        idle_seconds: A session that nobody has used for so long is ended.
        remember: So many ended sessions are remembered, the latest.
    """

    def __init__(
        self,
        *,
        cookie_name: str,
        secret: bytes,
        start: Callable[[Row], Awaitable[Any]],
        end: Callable[[Any], Awaitable[None]],
        max_sessions: int,
        idle_seconds: float,
        remember: int = 4096,
    ) -> None:
        self.cookie_name = cookie_name
        self.max_sessions = max_sessions
        self.idle_seconds = idle_seconds
        self._signer = Signer(secret, salt="gymkit.session")
        self._start = start
        self._end = end
        self._remember = remember
        self._open: dict[str, Session] = {}
        # Sessions whose domain object is still being made.
        self._starting: dict[str, asyncio.Future[Session]] = {}
        self._background: set[asyncio.Task[None]] = set()
        # In the order of their last use.
        self._by_cookie: OrderedDict[str, Session] = OrderedDict()
        self._ended: OrderedDict[str, Ended] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether as many sessions are open as may be."""
        return len(self._open) + len(self._starting) >= self.max_sessions

    # ------------------------------------------------------------------------------------------------- find

    def cookie_value(self, header: bytes) -> str | None:
        """This server's cookie in a Cookie header, or None."""
        text = header.decode("latin-1")
        if self.cookie_name not in text:
            return None
        for part in text.split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie_name:
                # Some clients quote the value, as RFC 2109 had it.
                return value.strip('"')
        return None

    def find(self, cookie_value: str) -> Session | None:
        """The open session of a cookie, or None."""
        session = self._by_cookie.get(cookie_value)
        if session is not None:
            session.last_used = monotonic()
            self._by_cookie.move_to_end(cookie_value)
        return session

    def get(self, session_id: str) -> Session | None:
        """The open session of an id, or None."""
        return self._open.get(session_id)

    def ended(self, session_id: str) -> Ended | None:
        """What is remembered of a session that has ended, or None."""
        return self._ended.get(session_id)

    def signed_id(self, cookie_value: str) -> str | None:
        """The session id in a cookie of ours, whether or not that session is still open; None if it is forged."""
        try:
            return self._signer.unsign(cookie_value).decode()
        except (BadSignature, UnicodeDecodeError):
            return None

    # ------------------------------------------------------------------------------------- beginning and end

    def cookie_header(self, session_id: str) -> tuple[str, tuple[bytes, bytes]]:
        """The signed cookie value of an id, and the Set-Cookie header that carries it."""
        value = self._signer.sign(session_id.encode()).decode()
        cookie: SimpleCookie = SimpleCookie()
        cookie[self.cookie_name] = value
        for attribute, setting in (("path", "/"), ("httponly", True), ("samesite", "lax")):
            cookie[self.cookie_name][attribute] = setting
        return value, (b"set-cookie", cookie[self.cookie_name].OutputString().encode("latin-1"))

    async def open(self, row: Row, session_id: str | None = None) -> Session:
        """Begin an episode; or wait for the one of that identity, where another request has just begun it.

        Args:
            row: The data row that the episode is made from.
            session_id: The identity that NeMo Gym 0.7 assigns; without it, an unguessable one of our own.

        Raises:
            SessionsFull: `max_sessions` are open.
            SessionClosed: the identity belongs to a session that has ended.
        """
        session_id = session_id or secrets.token_hex(16)
        if session_id in self._ended:
            raise SessionClosed(session_id)
        begun = self._starting.get(session_id)
        if begun is not None:
            return await asyncio.shield(begun)
        if self.full:
            raise SessionsFull(self.max_sessions)
        begun = asyncio.get_running_loop().create_future()
        begun.add_done_callback(_retrieved)  # Mostly, nobody else waits for it.
        self._starting[session_id] = begun
        try:
            session = await self._started(row, session_id)
        except BaseException as error:
            begun.set_exception(error if isinstance(error, Exception) else SessionClosed(session_id))
            raise
        finally:
            del self._starting[session_id]
        begun.set_result(session)
        return session

    async def _started(self, row: Row, session_id: str) -> Session:
        state = await self._start(row)
        if session_id in self._ended:  # closed in the meantime
            await self._end(state)
            raise SessionClosed(session_id)
        value, header = self.cookie_header(session_id)
        kept = {key: part for key, part in row.items() if key != "responses_create_params"}
        session = Session(session_id, kept, state, value, header)
        self._open[session_id] = session
        self._by_cookie[value] = session
        return session

    async def close(
        self,
        session_id: str,
        reason: str,
        verdict: Verdict | None = None,
        after: "asyncio.Future[Any] | None" = None,
    ) -> None:
        """End a session, if it is open, and remember that it has ended. A second call changes nothing.

        Args:
            session_id: Its identity.
            reason: Why it ends, in a sentence.
            verdict: The verdict on it, if there is one.
            after: What still works on the domain's object, which is released only then.
        """
        session = self._open.pop(session_id, None)
        if session_id not in self._ended:
            self._ended[session_id] = Ended(reason, verdict)
            while len(self._ended) > self._remember:
                self._ended.popitem(last=False)
        if session is not None:
            self._by_cookie.pop(session.cookie_value, None)
            session.ended = True
            state, session.state = session.state, None
            if after is None:
                await self._end(state)
            else:
                self.in_background(self._end_after(after, state))

    async def _end_after(self, work: "asyncio.Future[Any]", state: Any) -> None:
        await asyncio.wait({work})
        await self._end(state)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something be done that nobody waits for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close_idle(self) -> int:
        """End the sessions that nobody has used for `idle_seconds`; returns how many there were."""
        horizon = monotonic() - self.idle_seconds
        unused = takewhile(lambda session: session.last_used < horizon, self._by_cookie.values())
        idle = [session.id for session in unused if not session.lock.locked()]
        for session_id in idle:
            await self.close(session_id, f"Nobody had used it for {self.idle_seconds:g} seconds.")
        return len(idle)

    async def close_all(self, reason: str) -> None:
        """End every session."""
        for session_id in list(self._open):
            await self.close(session_id, reason)


def _retrieved(begun: "asyncio.Future[Session]") -> None:
    """Keep asyncio from logging a failure that nobody but the request itself has waited for."""
    if not begun.cancelled():
        begun.exception()
