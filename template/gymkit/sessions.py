# Part of the template: changes belong there (`copier update` merges this file).
"""The sessions: one episode per cookie, made from its data row, one call at a time, always ended.

A session is open, or frozen (a call has closed it, and its grade waits for the response), or ended. What is kept of one
that has ended is its verdict and a digest of its row, so that `/verify` answers the same again.
"""

import asyncio
import hashlib
import json
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from http.cookies import SimpleCookie
from itertools import takewhile
from time import monotonic
from typing import Any, NamedTuple

from itsdangerous import BadSignature, Signer
from pydantic import BaseModel, Field

from gymkit.grading import EnvironmentFailed, Verdict
from gymkit.rows import Row

NOT_OF_THE_ROW = frozenset({"responses_create_params", "response"})
"""What a request for a verdict has besides the row's own keys."""


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


class RowKey(NamedTuple):
    """What tells a row from others: its own keys, and a digest of their values."""

    keys: tuple[str, ...]
    digest: bytes


def row_key(row: Mapping[str, Any], keys: tuple[str, ...] | None = None) -> RowKey | None:
    """The key of a row, of which `responses_create_params` is no part; None where the row lacks one of `keys`, or has
    a `row_key` that is none of them: then they are not the whole row.

    Args:
        row: A row, or a request for a verdict that carries one.
        keys: The keys that count; without, all of the row's own.
    """
    if keys is None:
        keys = tuple(sorted(row.keys() - NOT_OF_THE_ROW))
    elif not row.keys() >= set(keys) or ("row_key" in row and "row_key" not in keys):
        return None
    try:
        text = json.dumps([_plain(row[key]) for key in keys], sort_keys=True)
    except RecursionError:  # So deep is no row, but what a model has made up.
        return None
    return RowKey(keys, hashlib.sha256(text.encode()).digest())


def _plain(value: Any) -> Any:
    """A JSON value in which whole numbers are written in one way: some clients send 1.0 as 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _matched(body: Mapping[str, Any], key: RowKey | None, demo: Row | None) -> int | None:
    """By how many keys a request carries a session's whole row; None where it does not.

    Args:
        body: A request for a verdict.
        key: Of the session's row.
        demo: The demo row, where the session plays that because its seed named none: it is public, and a part will do.
    """
    if demo is not None:
        own = body.keys() - NOT_OF_THE_ROW
        same = [key for key in own & demo.keys() if body[key] == demo[key]]
        return len(same) if len(same) == len(own & demo.keys()) and (same or not own) else None
    # A row of nothing but its prompt can be recited by the model: no request can be told from a call of its own.
    return len(key.keys) if key is not None and key.keys and row_key(body, key.keys) == key else None


class Session:
    """One episode: the domain's object (`state`), the row it was made from, and the lock of its calls.

    Of the row `responses_create_params` is left out: it is the model's, most of what a row holds (a picture even), and
    nobody asks for it again.
    """

    __slots__ = (
        *("calls", "cookie_header", "cookie_value", "demo", "ended", "failure", "frozen", "id", "key", "last_used"),
        *("lock", "row", "state"),
    )

    def __init__(
        self,
        id: str,
        row: Row,
        key: RowKey | None,
        state: Any,
        cookie_value: str,
        cookie_header: tuple[bytes, bytes],
        demo: bool,
    ) -> None:
        self.id = id
        self.row = row
        self.key = key
        self.state = state
        self.cookie_value = cookie_value
        self.cookie_header = cookie_header
        self.demo = demo
        """Whether it plays the public demo row because its seed named none."""
        self.calls = 0
        """How many tools have been called."""
        self.failure: str | None = None
        """How the environment has failed this episode, which then measures nothing."""
        self.frozen = False
        self.ended = False
        self.lock = asyncio.Lock()
        self.last_used = monotonic()

    def matched(self, body: Mapping[str, Any]) -> int | None:
        """By how many keys a request for a verdict carries the whole row; None where it does not."""
        return _matched(body, self.key, self.row if self.demo else None)


class Ended:
    """What is kept of a session that has ended."""

    __slots__ = ("demo", "key", "reason", "verdict", "verified")

    def __init__(self, reason: str, verdict: Verdict | None, session: Session, verified: bool) -> None:
        self.reason = reason
        self.verdict = verdict
        self.key = session.key
        self.demo = session.row if session.demo else None
        self.verified = verified
        """Whether a request that carried the whole row has asked for the verdict."""

    def matched(self, body: Mapping[str, Any]) -> int | None:
        """By how many keys a request for a verdict carries the whole row; None where it does not."""
        return _matched(body, self.key, self.demo)


class SessionStore:
    """All sessions of one server process, found by the cookie's value.

    A cookie is signed once, when its session is made, and looked up afterwards: a value that is known was issued
    here. Only an unknown value has its signature checked, which tells a lost session from a forged one.

    Args:
        cookie_name: Name of the cookie.
        secret: Key of the signature. It never leaves the process.
        start: Makes the domain's object from a row. It may take its time; other sessions go on meanwhile.
        end: Releases what the domain's object holds. It must not raise.
        settle: The verdict on a session that nobody has asked for, where one can be had; called before it is ended.
        max_sessions: Beyond this many, `SessionsFull`.
        idle_seconds: A session that nobody has used for so long is ended.
    """

    REMEMBER = 4096
    """So many ended sessions are remembered at least, the latest; and as many as may be open."""

    def __init__(
        self,
        *,
        cookie_name: str,
        secret: bytes,
        start: Callable[[Row], Awaitable[Any]],
        end: Callable[[Any], Awaitable[None]],
        settle: Callable[[Session], Awaitable[Verdict | None]],
        max_sessions: int,
        idle_seconds: float,
    ) -> None:
        self.cookie_name = cookie_name
        self.max_sessions = max_sessions
        self.idle_seconds = idle_seconds
        self._signer = Signer(secret, salt="gymkit.session")
        self._start = start
        self._end = end
        self._settle = settle
        self._remember = max(self.REMEMBER, max_sessions)
        self._open: dict[str, Session] = {}
        # Sessions whose domain object is still being made.
        self._starting: dict[str, asyncio.Future[Session]] = {}
        self._background: set[asyncio.Task[None]] = set()
        # In the order of their last use.
        self._by_cookie: OrderedDict[str, Session] = OrderedDict()
        self._ended: OrderedDict[str, Ended] = OrderedDict()
        # Identities that were closed before they were ever seeded.
        self._never: OrderedDict[str, None] = OrderedDict()
        # The sessions of a row that wait for their verdict, and how often each set of keys occurs among the rows.
        self._by_row: dict[RowKey, set[str]] = {}
        self._key_sets: Counter[tuple[str, ...]] = Counter()

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
        """The open or frozen session of a cookie, or None."""
        session = self._by_cookie.get(cookie_value)
        if session is not None:
            session.last_used = monotonic()
            self._by_cookie.move_to_end(cookie_value)
        return session

    def get(self, session_id: str) -> Session | None:
        """The open or frozen session of an id, or None."""
        return self._open.get(session_id)

    def ended(self, session_id: str) -> Ended | None:
        """What is remembered of a session that has ended, or None."""
        return self._ended.get(session_id)

    def was_closed(self, session_id: str) -> bool:
        """Whether a session of that identity has ended, or was closed before it was seeded."""
        return session_id in self._ended or session_id in self._never

    def unverified(self, body: Mapping[str, Any], beyond: int) -> list[str]:
        """The ids of sessions that wait for their verdict, and whose whole row a request for one carries: those whose
        rows have the most keys, more than `beyond`.

        A model that has learned a part of its row can seed a session of that part alone. It is the whole that counts.
        """
        found: list[str] = []
        most = beyond
        for keys in self._key_sets:
            if len(keys) > beyond and len(keys) >= most:
                key = row_key(body, keys)
                ids = self._by_row.get(key) if key is not None else None
                if ids:
                    found = [*ids, *(found if len(keys) == most else [])]
                    most = len(keys)
        return found

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

    async def open(self, row: Row, session_id: str | None = None, *, demo: bool = False) -> Session:
        """Begin an episode; or wait for the one of that identity, where another request has just begun it.

        Args:
            row: The data row that the episode is made from.
            session_id: The identity that NeMo Gym 0.7 assigns; without it, an unguessable one of our own.
            demo: Whether it is the demo row because the seed named none.

        Raises:
            SessionsFull: `max_sessions` are open.
            SessionClosed: the identity belongs to a session that has ended.
        """
        session_id = session_id or secrets.token_hex(16)
        if self.was_closed(session_id):
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
            session = await self._started(row, session_id, demo)
        except BaseException as error:
            begun.set_exception(error if isinstance(error, Exception) else SessionClosed(session_id))
            raise
        finally:
            del self._starting[session_id]
        begun.set_result(session)
        return session

    async def _started(self, row: Row, session_id: str, demo: bool) -> Session:
        # Taken before the environment gets the row, which it may change.
        key, kept = row_key(row), {name: part for name, part in row.items() if name not in NOT_OF_THE_ROW}
        state = await self._start(row)
        if self.was_closed(session_id):  # in the meantime
            await self._end(state)
            raise SessionClosed(session_id)
        value, header = self.cookie_header(session_id)
        session = Session(session_id, kept, key, state, value, header, demo)
        if isinstance(state, EnvironmentFailed):
            session.state, session.failure = None, str(state)
        self._open[session_id] = session
        self._by_cookie[value] = session
        if key is not None and key.keys and not demo:
            self._by_row.setdefault(key, set()).add(session_id)
            self._key_sets[key.keys] += 1
        return session

    async def close(
        self,
        session_id: str,
        reason: str,
        verdict: Verdict | None = None,
        *,
        verified: bool = False,
    ) -> None:
        """End a session, if it is open, and remember that it has ended. A second call changes nothing.

        Where a tool or the grader still works on the domain's object, it is released only when they are done.

        Args:
            session_id: Its identity.
            reason: Why it ends, in a sentence.
            verdict: The verdict on it, if there is one.
            verified: Whether a request that carried the whole row has asked for the verdict.
        """
        session = self._open.pop(session_id, None)
        if session is None:
            if session_id not in self._ended:
                self._never[session_id] = None
                while len(self._never) > self._remember:
                    self._never.popitem(last=False)
            return
        self._ended[session_id] = Ended(reason, verdict, session, verified)
        if verified or verdict is None:
            self._forget_row(session_id, session.key)
        while len(self._ended) > self._remember:
            oldest, ended = self._ended.popitem(last=False)
            self._forget_row(oldest, ended.key)
        self._by_cookie.pop(session.cookie_value, None)
        session.ended = True
        state, session.state = session.state, None
        if session.lock.locked():
            self.in_background(self._end_when_free(session.lock, state))
        else:
            await self._end(state)

    def set_verified(self, session_id: str) -> None:
        """Note that a request that carried the whole row has asked for the verdict on a session that has ended."""
        ended = self._ended[session_id]
        if not ended.verified:
            ended.verified = True
            self._forget_row(session_id, ended.key)

    def _forget_row(self, session_id: str, key: RowKey | None) -> None:
        sessions = self._by_row.get(key, set()) if key is not None else set()
        if key is None or session_id not in sessions:
            return
        sessions.discard(session_id)
        if not sessions:
            del self._by_row[key]
        self._key_sets[key.keys] -= 1
        if not self._key_sets[key.keys]:
            del self._key_sets[key.keys]

    async def _end_when_free(self, lock: asyncio.Lock, state: Any) -> None:
        async with lock:
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
        idle = [session for session in unused if not session.lock.locked()]
        for session in idle:
            # A policy that stops calling must not be better off than one that loses.
            verdict = await self._settle(session)
            await self.close(session.id, f"Nobody had used it for {self.idle_seconds:g} seconds.", verdict)
        return len(idle)

    async def close_all(self, reason: str) -> None:
        """End every session, without a verdict: it is the server that stops."""
        for session_id in list(self._open):
            await self.close(session_id, reason)


def _retrieved(begun: "asyncio.Future[Session]") -> None:
    """Keep asyncio from logging a failure that nobody but the request itself has waited for."""
    if not begun.cancelled():
        begun.exception()
