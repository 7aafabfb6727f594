# Part of the template: changes belong there (`copier update` merges this file).
"""The sessions: one episode per cookie, made from its data row, one call at a time, always ended.

A session is open, or frozen (a call has closed it, and its grade waits for the response), or ended. What is kept of one
that has ended is its verdict and a digest of its row, so that `/verify` answers the same again.
"""

import asyncio
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from http.cookies import SimpleCookie
from itertools import takewhile
from sys import getsizeof
from time import monotonic
from typing import Any

from itsdangerous import BadSignature, Signer
from pydantic import BaseModel, Field

from gymkit.grading import EnvironmentFailed, Verdict
from gymkit.logs import logged_as
from gymkit.metrics import Metrics
from gymkit.places import NoPlace, Places
from gymkit.row_keys import Digests, RowKey, digests_of, keys_matched, own_part, row_key, weight
from gymkit.rows import Row

UNUSED_SECONDS = 60
"""A session that nobody has used for so long may have to give way: one that is frozen, or has no cookie of its own;
and one without a call to another caller, where callers have nothing to do with each other."""

MOST_BRIEF = 100
"""So many sessions at most, and a tenth of all, that were begun by a call without a cookie."""
WAITING_WEIGHT = 100_000_000
"""As so much memory a larger row counts while it waits for a place."""


class SessionSettings(BaseModel):
    """Limits of the sessions; an environment's own defaults stand in its config class in server.py."""

    max_sessions: int = Field(default=10_000, gt=0, description="Sessions that may be open.")
    idle_seconds: float = Field(default=3600, gt=0, description="A session unused for so long is ended.")
    wait_seconds: float = Field(
        default=5, ge=0, description="A seed without a place waits for so long, and anew whenever one was freed."
    )
    max_row_bytes: int = Field(
        default=8_000_000, gt=0, description="Memory that a row may take, but for its prompt; a larger one gets 413."
    )
    max_rows_bytes: int = Field(default=256_000_000, gt=0, description="Memory that the rows of all sessions may take.")


class Ending(Enum):
    """By what a session has ended: a word for metrics, and a sentence for who asks."""

    VERIFIED = ("verified", "It was verified.")
    CLOSED = ("closed", "It was closed.")
    IDLE = ("idle", "Nobody had used it for long enough.")
    GAVE_WAY = ("gave_way", "Nobody was using it, and somebody waited for its place.")
    NO_COOKIE = ("no_cookie", "It was begun by a call without a cookie, and gave way to a later one.")
    STOPPED = ("stopped", "The server stopped.")

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence


class RowTooLarge(Exception):
    """The row takes more memory than a session may hold."""


class SessionClosed(Exception):
    """The session of that identity has ended and cannot be seeded again."""


class Beginning:
    """What a session is begun with.

    Args:
        row: The data row that the episode is made from.
        demo: Whether it is the demo row because the seed named none.
        caller: Whose share its place is part of; None where callers have no shares.
        brief: Whether it was begun by a call without a cookie: few of those, for a short time.
        max_row_bytes: Memory that the row may take.

    Raises:
        RowTooLarge: it takes more.
    """

    def __init__(self, row: Row, *, demo: bool, caller: str | None, brief: bool, max_row_bytes: int) -> None:
        self.row = row
        self.demo = demo
        self.caller = caller
        self.brief = brief
        self.kept = own_part(row)
        # The demo row is there once, for all.
        self.weight = 0 if demo else weight(self.kept, max_row_bytes)
        self.waiting_weight = 0 if demo else weight(row, WAITING_WEIGHT)
        if self.weight > max_row_bytes:
            raise RowTooLarge(f"the row takes more than {max_row_bytes:,} bytes of memory (without its prompt).")
        self.digests = digests_of(self.kept)
        self.key = row_key(self.digests)


class Session:
    """One episode: the domain's object (`state`), the row it was made from, and the lock of its calls.

    Of the row `responses_create_params` is left out: it is the model's, most of what a row holds (a picture even), and
    nobody asks for it again.
    """

    __slots__ = (
        *("brief", "caller", "calls", "cookie_header", "cookie_value", "demo", "ended", "failure", "frozen", "id"),
        *("in_thread", "key", "last_used", "lock", "row", "state", "weight"),
    )

    def __init__(
        self, id: str, beginning: Beginning, state: Any, cookie_value: str, cookie_header: tuple[bytes, bytes]
    ) -> None:
        self.id = id
        self.row = beginning.kept
        self.key = beginning.key
        self.weight = beginning.weight
        self.caller = beginning.caller
        self.brief = beginning.brief
        self.state = state
        self.cookie_value = cookie_value
        self.cookie_header = cookie_header
        self.demo = beginning.digests if beginning.demo else None
        """The digests of the public demo row, where it plays that because its seed named none."""
        self.calls = 0
        """How many tools have been called."""
        self.failure: str | None = None
        """How the environment has failed this episode, which then measures nothing."""
        self.frozen = False
        self.ended = False
        self.lock = asyncio.Lock()
        self.in_thread = False
        """Whether who holds the lock is a thread, which cannot be stopped."""
        self.last_used = monotonic()

    def hold_until(self, work: "asyncio.Future[Any]", *, in_thread: bool) -> None:
        """Keep the lock, which is held, until a piece of work has really ended."""
        self.in_thread = in_thread
        work.add_done_callback(self._release)

    def _release(self, _: "asyncio.Future[Any]") -> None:
        self.in_thread = False
        self.lock.release()

    def matched(self, digests: Digests) -> int | None:
        """By how many keys a request for a verdict carries the whole row; None where it does not."""
        return keys_matched(digests, self.key, self.demo)


class Ended:
    """What is kept of a session that has ended."""

    __slots__ = ("demo", "key", "reason", "verdict", "verified", "weight")

    def __init__(self, ending: Ending, verdict: Verdict | None, session: Session, verified: bool) -> None:
        self.reason = ending.sentence
        self.verdict = verdict
        self.key = session.key
        self.demo = session.demo
        self.verified = verified
        """Whether a request that carried the whole row has asked for the verdict."""
        self.weight = sum(map(getsizeof, session.key.keys)) if session.key is not None and session.demo is None else 0

    def matched(self, digests: Digests) -> int | None:
        """By how many keys a request for a verdict carries the whole row; None where it does not."""
        return keys_matched(digests, self.key, self.demo)


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
        settings: The limits.
        metrics: Where sessions are counted.
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
        settings: SessionSettings,
        metrics: Metrics,
    ) -> None:
        self.cookie_name = cookie_name
        self._metrics = metrics
        self.idle_seconds = settings.idle_seconds
        self.places = Places(
            settings.max_sessions, settings.max_rows_bytes, settings.wait_seconds, self._forget_ended, self._make_room
        )
        self._most_brief = max(1, min(MOST_BRIEF, settings.max_sessions // 10))
        self._signer = Signer(secret, salt="gymkit.session")
        self._start = start
        self._end = end
        self._settle = settle
        self._remember = max(self.REMEMBER, settings.max_sessions)
        self._open: dict[str, Session] = {}
        # Sessions whose domain object is still being made.
        self._starting: dict[str, asyncio.Future[Session]] = {}
        self._background: set[asyncio.Task[None]] = set()
        # In the order of their last use.
        self._by_cookie: OrderedDict[str, Session] = OrderedDict()
        # Those that were begun by a call without a cookie, the oldest first.
        self._brief: dict[str, Session] = {}
        self._ended: OrderedDict[str, Ended] = OrderedDict()
        # Identities that were closed before they were ever seeded.
        self._never: OrderedDict[str, None] = OrderedDict()
        # The sessions of a row that wait for their verdict, and how often each set of keys occurs among the rows.
        self._by_row: dict[RowKey, set[str]] = {}
        self._key_sets: Counter[tuple[str, ...]] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    # ------------------------------------------------------------------------------------------------- find

    def cookie_value(self, header: bytes) -> str | None:
        """This server's cookie in a Cookie header, or None.

        A client may send several of that name, of which some are left from episodes before. The one of an open session
        goes before others, then one that was issued here.
        """
        text = header.decode("latin-1")
        if self.cookie_name not in text:
            return None
        pairs = (part.strip().partition("=") for part in text.split(";"))
        # Some clients quote the value, as RFC 2109 had it.
        values = [value.strip('"') for name, _, value in pairs if name == self.cookie_name]
        if len(values) > 1:
            values.sort(key=lambda value: (value not in self._by_cookie, self.signed_id(value) is None))
        return values[0] if values else None

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

    def unverified(self, digests: Digests, beyond: int) -> list[str]:
        """The ids of sessions that wait for their verdict, and whose whole row a request for one carries: those whose
        rows have the most keys, more than `beyond`.

        A model that has learned a part of its row can seed a session of that part alone. It is the whole that counts.
        """
        found: list[str] = []
        most = beyond
        for keys in self._key_sets:
            if len(keys) > beyond and len(keys) >= most:
                key = row_key(digests, keys)
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

    async def open(
        self,
        beginning: Beginning,
        session_id: str | None = None,
        *,
        wanted: Callable[[], Awaitable[bool]] | None = None,
    ) -> Session:
        """Begin an episode; or wait for the one of that identity, where another request has just begun it.

        Args:
            beginning: What it is begun with.
            session_id: The identity that NeMo Gym 0.7 assigns; without it, an unguessable one of our own.
            wanted: Whether anybody still wants it, asked after it had to wait for its place.

        Raises:
            NoPlace: there is none, nor has one become free in time.
            SessionClosed: the identity belongs to a session that has ended.
        """
        session_id = session_id or secrets.token_hex(16)
        if self.was_closed(session_id):
            raise SessionClosed(session_id)
        begun = self._starting.get(session_id)
        if begun is not None:
            return await asyncio.shield(begun)
        begun = asyncio.get_running_loop().create_future()
        begun.add_done_callback(_retrieved)  # Mostly, nobody else waits for it.
        self._starting[session_id] = begun
        try:
            if beginning.brief:
                await self._limit_brief()
            waited = await self.places.take(beginning.caller, beginning.weight, beginning.waiting_weight)
            try:
                if waited and wanted is not None and not await wanted():
                    raise NoPlace("the caller has gone.")
                session = await self._started(beginning, session_id)
            except BaseException:
                self.places.give_back(beginning.caller, beginning.weight)
                raise
        except BaseException as error:
            begun.set_exception(error if isinstance(error, Exception) else SessionClosed(session_id))
            raise
        finally:
            del self._starting[session_id]
        begun.set_result(session)
        return session

    async def _started(self, beginning: Beginning, session_id: str) -> Session:
        with logged_as(session_id):
            state = await self._start(beginning.row)
        if self.was_closed(session_id):  # in the meantime
            await self._end(state)
            raise SessionClosed(session_id)
        value, header = self.cookie_header(session_id)
        session = Session(session_id, beginning, state, value, header)
        if isinstance(state, EnvironmentFailed):
            session.state, session.failure = None, str(state)
        self._open[session_id] = session
        self._by_cookie[value] = session
        self._metrics.begun.inc()
        key = session.key
        if session.brief:
            self._brief[session_id] = session
        if key is not None and key.keys and session.demo is None:
            self._by_row.setdefault(key, set()).add(session_id)
            self._key_sets[key.keys] += 1
        return session

    async def _limit_brief(self) -> None:
        """End the oldest of the sessions that were begun without a cookie, where there are as many as may be."""
        if len(self._brief) >= self._most_brief:
            oldest = next((session for session in self._brief.values() if not session.lock.locked()), None)
            if oldest is None:
                raise NoPlace(f"{len(self._brief)} calls without a cookie are being answered, and that is the most.")
            await self.close(oldest.id, Ending.NO_COOKIE)

    async def close(
        self,
        session_id: str,
        ending: Ending,
        verdict: Verdict | None = None,
        *,
        verified: bool = False,
    ) -> None:
        """End a session, if it is open, and remember that it has ended. A second call changes nothing.

        Where a thread still works on the domain's object, that is released only when the thread is done. A coroutine is
        not waited for: what it works with is taken away, which ends it.

        Args:
            session_id: Its identity.
            ending: By what it ends.
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
        ended = self._ended[session_id] = Ended(ending, verdict, session, verified)
        self._metrics.ended.labels(ending.word).inc()
        self.places.memory.take(ended.weight, None)
        if verified or verdict is None:
            self._forget_row(session_id, session.key)
        while len(self._ended) > self._remember:
            self._forget_oldest()
        self._by_cookie.pop(session.cookie_value, None)
        self._brief.pop(session_id, None)
        session.ended = True
        state, session.state = session.state, None
        self.places.give_back(session.caller, session.weight)
        if session.in_thread:
            self.in_background(self._end_when_free(session.lock, state))
        else:
            await self._end(state)

    def set_verified(self, session_id: str) -> None:
        """Note that a request that carried the whole row has asked for the verdict on a session that has ended."""
        ended = self._ended[session_id]
        if not ended.verified:
            ended.verified = True
            self._forget_row(session_id, ended.key)

    def _forget_oldest(self) -> None:
        oldest, ended = self._ended.popitem(last=False)
        self.places.memory.give_back(ended.weight, None)
        self._forget_row(oldest, ended.key)

    def _forget_ended(self, wanted: int) -> None:
        """Forget sessions that have ended until there is so much memory for rows."""
        while self._ended and not self.places.memory.has_room(wanted, None):
            self._forget_oldest()

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
        """End the sessions that nobody has used for `idle_seconds`, or a minute where a call without a cookie has begun
        them; returns how many there were.
        """
        horizon = monotonic() - self.idle_seconds
        idle = [session for session in self._unused(UNUSED_SECONDS) if session.brief or session.last_used < horizon]
        for session in idle:
            await self._end_unused(session, Ending.IDLE)
        return len(idle)

    def _unused(self, seconds: float) -> list[Session]:
        """The sessions that nobody has used for so long, or for `idle_seconds`; the longest unused first."""
        horizon = monotonic() - min(seconds, self.idle_seconds)
        unused = takewhile(lambda session: session.last_used < horizon, self._by_cookie.values())
        return [session for session in unused if not session.lock.locked()]

    async def _end_unused(self, session: Session, ending: Ending) -> None:
        # A policy that stops calling must not be better off than one that loses.
        with logged_as(session.id):
            verdict = await self._settle(session)
            await self.close(session.id, ending, verdict)

    async def _make_room(self) -> None:
        """End sessions that may give way, for those who wait for a place.

        Frozen ones do, whose caller has said that he is done; and of a caller who is not the one that waits, those that
        no call has ever used. Which of them: of those who have most, the one that has been unused for longest.
        """
        await self.close_idle()
        for caller in list(self.places.callers_waiting()):
            if self.places.has_room(caller) or self.places.sessions.held_by(caller):
                continue  # What he waits for is not a place, or is a larger share.
            unused = self._unused(UNUSED_SECONDS)
            found = next((session for session in unused if session.frozen), None)
            if found is None:
                others = (each for each in unused if each.caller not in (None, caller) and not each.calls)
                found = max(others, key=lambda each: self.places.sessions.held_by(each.caller), default=None)
            if found is None:
                return
            await self._end_unused(found, Ending.GAVE_WAY)

    async def close_all(self) -> None:
        """End every session, without a verdict: it is the server that stops."""
        for session_id in list(self._open):
            await self.close(session_id, Ending.STOPPED)


def _retrieved(begun: "asyncio.Future[Session]") -> None:
    """Keep asyncio from logging a failure that nobody but the request itself has waited for."""
    if not begun.cancelled():
        begun.exception()
