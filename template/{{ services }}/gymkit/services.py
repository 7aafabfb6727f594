# Part of the template: changes belong there (`copier update` merges this file).
"""A service outside, asked over HTTP for the tools of an environment.

Its key stands in a variable and goes out in a header; no text, log or recording has it. Requests keep to a rate, and
are made again where the service fails for a while. What comes of a failure:

- The service has failed: `EnvironmentFailed`, which masks the sample.
- It fails on what the policy has asked, and not on a request that is known to work (the *probe*): `ToolFailed`, a text
  for the model, which masks nothing. Else a policy could void the episodes that it loses by odd requests.
"""

import asyncio
import json
import logging
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import quote

import httpx
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from gymkit.access import CannotServe
from gymkit.grading import EnvironmentFailed
from gymkit.redaction import SHORTEST
from gymkit.replay import Recording, ServiceSettings, Unrecorded, key_of
from gymkit.tools import ToolFailed
from gymkit.waiting import seconds_to_wait

__all__ = ["Key", "Probe", "Service", "ServiceSettings", "Unrecorded"]

log = logging.getLogger("gymkit")
# It would log the address of each request.
logging.getLogger("httpx").setLevel(logging.WARNING)

NOT_THE_REQUEST = {
    401: "refuses its key",
    402: "wants to be paid",
    407: "is behind a proxy that wants a password",
    432: "has given all that the key's plan has (its quota is used up)",  # Tavily's
    433: "has given all that the key's limit has (its quota is used up)",  # Tavily's
}
"""Statuses that no request brings about: what the service then does."""
BUSY = "takes no more requests for now (429)"


@dataclass(frozen=True)
class Key:
    """A key of a service.

    Attributes:
        variable: Of the environment, that holds it.
        header: In which it goes out.
        form: Of the header's value.
    """

    variable: str
    header: str
    form: str = "{}"

    def headers(self) -> dict[str, str]:
        """The header with the key.

        Raises:
            CannotServe: there is none, or it can stand in no header.
        """
        value = os.environ.get(self.variable, "").strip()
        if not value:
            raise CannotServe(f"{self.variable} is not set: it holds the key. (`service_mode: replay` needs none.)")
        if not value.isascii() or not value.isprintable():
            raise CannotServe(f"{self.variable} holds characters that no key has.")
        return {self.header: self.form.format(value)}


@dataclass(frozen=True)
class Probe:
    """A request that a service answers as long as it works at all."""

    method: str
    path: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    shape: Mapping[str, type] | None = None
    """What its answer has to have, as in `Service.ask`."""


class _Failure(Exception):
    """A request has failed; the text says what the service does."""


class _Temporary(_Failure):
    """It may work when it is made again."""


class _Unsent(_Temporary):
    """It may work when it is made again, and it has not reached the service."""


class _Busy(_Temporary):
    """The service takes no more requests for a while, whoever makes them."""

    def __init__(self, after: float | None) -> None:
        super().__init__(BUSY)
        self.after = after


class _NotTheRequest(_Failure):
    """No request would be answered."""


class Service:
    """A service outside.

    Args:
        name: What it is called in texts and logs; the name of its recording, too.
        url: Its address, to which the paths are added.
        settings: Those of the server.
        key: Its key, if it wants one.
        probe: A request that always works. It is made where another one has failed, to find out whose fault that is.

    Raises:
        CannotServe: the key is missing, or a recording is damaged.
    """

    def __init__(self, name: str, url: str, settings: ServiceSettings, key: Key | None, probe: Probe) -> None:
        self.name = name
        self.probe = probe
        self.settings = settings
        self.recording = Recording(name, settings)
        self._headers = key.headers() if key and settings.service_mode != "replay" else {}
        sent = [value.rsplit(" ", 1)[-1] for value in self._headers.values()]
        self._secrets = [value.encode() for value in sent if len(value) >= SHORTEST]
        self._client = httpx.AsyncClient(
            base_url=url, headers=self._headers, timeout=None, limits=httpx.Limits(max_connections=None)
        )
        self._places = asyncio.Semaphore(settings.service_calls)
        # One after the other: a burst would be refused by a service that counts by the second.
        self._limiter = AsyncLimiter(1, 1 / settings.service_rate)
        self._busy_until = 0.0
        self._probing = asyncio.Lock()
        self._probed: dict[str, tuple[float, bool]] = {}

    async def get(self, path: str, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Ask by GET. See `ask`."""
        return await self.ask("GET", path, params, **more)

    async def post(self, path: str, payload: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Ask by POST. See `ask`."""
        return await self.ask("POST", path, payload, **more)

    async def ask(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        in_path: Mapping[str, Any] | None = None,
        shape: Mapping[str, type] | None = None,
        probe: Probe | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """What the service answers, as JSON.

        Args:
            method: GET or DELETE, with the payload in the query; or another one, with the payload as JSON.
            path: From the service's address, as `/cities/{city}`.
            payload: Names and values; those that are None are left out.
            in_path: Values for the names in braces. They are quoted: none leads to another path.
            shape: Names that an answer has to have, and the types of their values. `{}`: any object will do.
            probe: In place of the service's own, where one of its paths may fail alone.
            repeatable: Whether asking changes nothing: then it is asked again where it may have been done, and its
                answer is kept in memory. As a GET is, if nothing else is said.

        Raises:
            ToolFailed: the service does not answer this request. (`Unrecorded`: replay does not.)
            EnvironmentFailed: it answers none.
        """
        request = {
            "method": method,
            "path": _filled(path, in_path or {}),
            "payload": {name: value for name, value in (payload or {}).items() if value is not None},
        }
        found = self.recording.find(request)
        if found is not None:
            return found[0]
        probe = probe or self.probe
        repeatable = method == "GET" if repeatable is None else repeatable
        try:
            answer = await self._persistent(request, shape, repeatable)
        except _NotTheRequest as failure:
            raise EnvironmentFailed(f"{self.name} {failure}.") from None
        except _Failure as failure:
            if request == _request_of(probe) or not await self._works(probe, monotonic()):
                raise EnvironmentFailed(f"{self.name} {failure}.") from None
            log.warning("%s %s, for one request and not for others", self.name, failure)
            text = f"{self.name} {failure} when it is asked for this. Change the arguments, or try something else."
            self.recording.keep_refusal(request, text)
            raise ToolFailed(text) from None
        self._probed[key_of(_request_of(probe))] = (monotonic(), True)
        self.recording.keep(request, answer, in_memory=repeatable)
        return answer

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    # --------------------------------------------------------------------------------------------------- requests

    async def _persistent(self, request: Mapping[str, Any], shape: Mapping[str, type] | None, repeatable: bool) -> Any:
        """The answer to a request, which is made again where that may help."""
        deadline = monotonic() + self.settings.service_patience
        backoff = wait_random_exponential(multiplier=0.25, max=8)

        def wait(state: RetryCallState) -> float:
            after = getattr(state.outcome and state.outcome.exception(), "after", None)
            return after if after is not None else backoff(state)

        def stop(state: RetryCallState) -> bool:
            failure = state.outcome and state.outcome.exception()
            if isinstance(failure, _Busy):  # As often as there is time: it will be answered.
                return monotonic() + (failure.after or 0) >= deadline
            done = not repeatable and not isinstance(failure, _Unsent)  # Maybe: its answer is lost.
            return done or state.attempt_number >= self.settings.service_attempts

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Temporary), wait=wait, stop=stop, reraise=True, sleep=asyncio.sleep
        )
        last: list[_Failure] = []

        async def attempt() -> Any:
            try:
                return await self._in_turn(request, shape)
            except _Failure as failure:
                last[:] = [failure]
                raise

        try:
            async with asyncio.timeout(self.settings.service_patience):
                return await retrying(attempt)
        except _Busy as failure:
            raise _NotTheRequest(str(failure)) from None
        except TimeoutError:
            if last and not isinstance(last[0], _Busy):
                raise last[0] from None
            if last or self._busy_until > monotonic():
                raise _NotTheRequest(BUSY) from None
            # All of the time went into waiting for a turn.
            raise _NotTheRequest(f"has had no turn within {self.settings.service_patience:g} seconds") from None

    async def _in_turn(self, request: Mapping[str, Any], shape: Mapping[str, type] | None) -> Any:
        async with self._places:
            while (pause := self._busy_until - monotonic()) > 0:
                if pause > self.settings.service_patience:
                    raise _NotTheRequest(BUSY)
                await asyncio.sleep(pause)
            await self._limiter.acquire()
            return await self._once(request, shape)

    async def _once(self, request: Mapping[str, Any], shape: Mapping[str, type] | None) -> Any:
        """Make a request.

        Raises:
            _Failure: there is no answer; the text says what the service does.
        """
        in_query = request["method"] in ("GET", "DELETE")
        try:
            made = self._client.build_request(
                request["method"],
                request["path"],
                params=request["payload"] if in_query else None,
                json=None if in_query else request["payload"],
                headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
            )
        except (httpx.InvalidURL, UnicodeError):
            raise _Failure("cannot be asked: the arguments are too long, or hold half a character,") from None
        try:
            async with asyncio.timeout(self.settings.service_seconds):
                response = await self._client.send(made, stream=True)
                try:
                    self._check(response)
                    body = await bounded_body(response, self.settings.service_bytes)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise _Temporary(f"has not answered within {self.settings.service_seconds:g} seconds") from None
        except TooLarge:
            raise _Failure(f"answers with more than {self.settings.service_bytes:,} bytes") from None
        except (httpx.HTTPError, OSError) as error:  # Their texts hold addresses.
            failure = _Unsent if isinstance(error, httpx.ConnectError) else _Temporary
            raise failure(f"cannot be reached ({type(error).__name__})") from None
        for secret in self._secrets:  # It may repeat what it was sent.
            body = body.replace(secret, b"*" * 8)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise _Temporary("answers with what is no JSON") from None
        if shape is not None and not (
            isinstance(answer, dict) and all(isinstance(answer.get(name), kind) for name, kind in shape.items())
        ):
            raise _Temporary("answers with JSON of another form than it should")
        return answer

    def _check(self, response: httpx.Response) -> None:
        """Raise for a status that is no success."""
        status = response.status_code
        if status == 429:
            after = seconds_to_wait(response.headers, 0) if "Retry-After" in response.headers else None
            # Nobody asks before that.
            self._busy_until = max(self._busy_until, monotonic() + (after or 0))
            raise _Busy(after)
        if status in NOT_THE_REQUEST:
            raise _NotTheRequest(f"{NOT_THE_REQUEST[status]} ({status})")
        if status in (408, 425) or status >= 500:
            raise _Temporary(f"fails ({status})")
        if not response.is_success:
            raise _Failure(f"{'has nothing there' if status == 404 else 'refuses the request'} ({status})")

    # ------------------------------------------------------------------------------------------------- whose fault

    async def _works(self, probe: Probe, since: float) -> bool:
        """Whether the service answers the probe. What was seen of it before a moment does not count."""
        request = _request_of(probe)
        key = key_of(request)
        async with self._probing:
            then, works = self._probed.get(key, (0.0, False))
            if then <= since:
                try:
                    await self._once(request, probe.shape)
                    works = True
                except _Failure as failure:
                    log.warning("%s %s, when it is asked for what it always has", self.name, failure)
                    works = False
                self._probed[key] = (monotonic(), works)
            return works


def _request_of(probe: Probe) -> dict[str, Any]:
    return {"method": probe.method, "path": probe.path, "payload": dict(probe.payload)}


def _filled(path: str, values: Mapping[str, Any]) -> str:
    """A path with values in it, each of which is one part of it."""
    quoted = {name: quote(str(value), safe="") for name, value in values.items()}
    for name, value in quoted.items():
        if value in ("", ".", ".."):
            raise ToolFailed(f"{name}: {values[name]!r} is none.")
    return path.format(**quoted) if quoted else path


# ---------------------------------------------------------------------------------------------------------- downloads


class TooLarge(Exception):
    """An answer has more bytes than it may have."""


async def bounded_body(response: httpx.Response, most: int) -> bytes:
    """The body of a response that is read as a stream, unpacked.

    Raises:
        TooLarge: it has more than `most` bytes, packed or unpacked.
        httpx.DecodingError: it is packed in a way that was not asked for.
    """
    if int(response.headers.get("Content-Length") or 0) > most:
        raise TooLarge
    body = bytearray()
    # As it comes: httpx would unpack all of a packed piece at once, however large that is.
    async for chunk in response.aiter_raw(65_536):
        body += chunk
        if len(body) > most:
            raise TooLarge
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packing in ("", "identity"):
        return bytes(body)
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise httpx.DecodingError("an encoding that was not asked for")
    try:
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
        unpacked = unpacking.decompress(bytes(body), most + 1)
    except zlib.error:
        raise httpx.DecodingError("damaged") from None
    if len(unpacked) > most:
        raise TooLarge
    if not unpacking.eof:
        raise httpx.DecodingError("cut off")
    return unpacked
