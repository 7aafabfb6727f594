# Part of the template: changes belong there (`copier update` merges this file).
"""The ASGI middleware of every environment: cookie, API key, size limit, and the last line of defence.

It is plain ASGI and does the work of three of NeMo Gym's (`add_session_id` and the exception handler, both
`BaseHTTPMiddleware`, and 0.7's cancellation middleware, which starts a task group per request). Those take most of the
time of a call. A tool that runs long is cancelled in `gymkit.tools`.
"""

import asyncio
import hmac
import json
import logging
import math
from collections.abc import Collection, Iterable
from urllib.parse import quote

from nemo_gym.server_utils import SESSION_ID_KEY
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gymkit import page
from gymkit.access import caller_at, is_loopback
from gymkit.bodies import BadBody, error_body
from gymkit.intake import BodyTooLarge, Intake, NoMemory
from gymkit.large_bodies import SMALL_BODY, TooLarge
from gymkit.logs import log_as
from gymkit.places import NoPlace
from gymkit.rate_limit import RateLimit
from gymkit.redaction import redacted_bytes, secrets_of_environ
from gymkit.sessions import Session, SessionStore
from gymkit.shares import Shares
from gymkit.waiting import FULL

log = logging.getLogger("gymkit")

PUBLIC_PATHS = frozenset({"/health", "/healthz", "/livez", "/readyz"})
"""What answers without the API key."""
WRONG_KEYS_PER_SECOND = 20
"""So many requests of a caller with a wrong API key are told so; further ones are sent away unread."""
PATIENCE = {"/seed_session": 5.0, "/close_session": 60.0, "/verify": 60.0}
"""Seconds for which a request beyond the rate waits for its turn: no verdict is lost for it. Others get 429 at once."""
MOST_REDACTED = 1_000_000
"""Keys are looked for in answers of so many bytes. A larger one is a `/verify`, which gives back what came in."""
BODIES_IN_MEMORY = 8
"""So many times the largest body that is taken, large ones take of memory at most: seeds, and others besides them."""
SEEDS_PATIENCE, OTHERS_PATIENCE = 30.0, 300.0
"""Seconds for which large bodies wait until there is memory for them."""

TOKEN_HEADER = b"x-session-token"
"""Brings the session instead of the cookie, for the page in another site's frame, which cookies do not reach."""

SESSION = "gymkit.session"
"""Where the ASGI scope holds the request's open `Session`, or None."""
CALLER = "gymkit.caller"
"""Where the ASGI scope holds whose share the request is part of, or None where callers have no shares."""
COOKIE = "gymkit.cookie"
"""Where the ASGI scope holds the value of the request's cookie or session token, or None."""

RETRY_AFTER_SECONDS = 5
"""When one who wants a session of a full server should ask again."""


async def send_error(send: Send, status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Answer with a text, as JSON, without going through an application."""
    body = error_body(text)
    common = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*common, *headers]})
    await send({"type": "http.response.body", "body": body})


class GymMiddleware:
    """Find the request's session by its cookie, and send the cookie with every answer, errors included.

    NeMo Gym 0.4's agents replace their cookies by those of each answer, so one answer without it loses the session.

    A client that sends the header `X-Session-Token` gets the same signed value by that header and no cookie. An empty
    one stands for no session yet. It goes before a cookie, and other sites cannot send it: CORS is closed.

    Args:
        app: The application behind it.
        sessions: The sessions.
        api_key: What callers must send as `Authorization: Bearer ...`; None lets everybody in.
        max_body_bytes: A larger body gets 413, unread.
        max_body_parts: So does one with more parts.
        per_second: Requests per second that a session may make, and a caller without one; None sets no limit.
        origins: Other sites whose pages may call, `*` for all.
        shared: Whether callers have nothing to do with each other, and have shares of what there is.
    """

    def __init__(
        self,
        app: ASGIApp,
        sessions: SessionStore,
        api_key: str | None,
        max_body_bytes: int,
        max_body_parts: int,
        per_second: float | None = None,
        origins: Collection[str] = (),
        shared: bool = False,
    ) -> None:
        self.app = app
        self.sessions = sessions
        self.authorization = f"Bearer {api_key}".encode() if api_key else None
        self.max_body_bytes = max_body_bytes
        self.max_body_parts = max_body_parts
        self.shared = shared
        self.secrets = secrets_of_environ()
        # Apart from each other: seeds that wait for a place keep no verdict waiting.
        self.memory_of_seeds = Shares(BODIES_IN_MEMORY * max_body_bytes)
        self.memory_of_others = Shares(BODIES_IN_MEMORY * max_body_bytes)
        self.rate_limit = RateLimit(per_second) if per_second else None
        self.wrong_keys = RateLimit(WRONG_KEYS_PER_SECOND)
        self.origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        _without_stray_slashes(scope)
        cookies: list[bytes] = []
        token: str | None = None
        authorization = b""
        declared_length = 0
        chunked = False
        origin = b""
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookies.append(value)
            elif name == b"authorization":
                authorization = value
            elif name == b"content-length" and value.isdigit():
                declared_length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
            elif name == TOKEN_HEADER:
                token = value.decode("latin-1")
            elif name == b"origin":
                origin = value
        cookie_value = self.sessions.cookie_value(b";".join(cookies)) if token is None else token or None

        # Hugging Face asks for HEAD / to see whether a Space has started.
        public = scope["path"] in PUBLIC_PATHS or (scope["method"], scope["path"]) == ("HEAD", "/")
        if not public and not self._has_key(authorization):
            # One who brings none guesses nothing: a browser asks for the page so, before it has the key.
            seconds = self.wrong_keys.wait(_caller(scope)) if authorization else 0
            if seconds:
                await _send_too_many(send, seconds)
                return
            if page.is_wanted(scope):
                await page.locked()(scope, receive, send)
                return
            wanted = [(b"www-authenticate", b"Bearer")]
            await send_error(send, 401, "this environment wants its API key as a bearer token.", wanted)
            return

        if origin and scope["method"] == "POST" and not self._may_call(origin, scope):
            await send_error(send, 403, "a page of another site may not call this environment.")
            return

        session = self.sessions.find(cookie_value) if cookie_value is not None else None
        if self.rate_limit is not None and not public:
            patience = PATIENCE.get(scope["path"], 0.0) if scope["method"] == "POST" else 0.0
            seconds = self.rate_limit.wait(session.id if session is not None else _caller(scope), patience)
            if seconds > patience:
                await _send_too_many(send, seconds, [] if session is None else [session_header(session, token)])
                return
            if seconds:
                await asyncio.sleep(seconds)
                session = self.sessions.find(cookie_value) if cookie_value is not None else None
        scope[COOKIE] = cookie_value
        use_session(scope, session)

        started = False

        async def send_with_cookie(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                current: Session | None = scope[SESSION]
                header = None
                if current is not None:
                    header = session_header(current, token)
                elif cookie_value is not None:
                    # A lost or closed session keeps its cookie, so that `/verify` can say what became of it.
                    session_id = self.sessions.signed_id(cookie_value)
                    if session_id is not None:
                        value, header = self.sessions.cookie_header(session_id)
                        header = header if token is None else token_header(value)
                if header is not None:
                    message["headers"] = [*message["headers"], header]
            elif self.secrets and len(message.get("body", b"")) <= MOST_REDACTED:
                message["body"] = redacted_bytes(message.get("body", b""), self.secrets)
            await send(message)

        seeds = (scope["method"], scope["path"]) == ("POST", "/seed_session")
        caller = _caller(scope) if self.shared else None
        scope[CALLER] = caller
        receive_body: Receive = receive
        intake = None
        try:
            if declared_length > self.max_body_bytes:
                raise BodyTooLarge
            if chunked or declared_length > SMALL_BODY:
                receive_body = intake = self._intake(receive, declared_length, seeds, caller)
            if seeds and session is None and not self.sessions.places.may_wait(caller):
                # A full server is asked again and again. A refusal on the application's long way would cost those
                # inside two of their calls.
                body = await Request(scope, receive_body).body()
                if not self._may_seed(body, caller):
                    raise NoPlace("too many wait for a place already.")
                receive_body = _read_already(body, receive_body)
            await self.app(scope, receive_body, send_with_cookie)
        except BodyTooLarge:
            if started:
                raise
            await send_error(send_with_cookie, 413, f"the request is larger than {self.max_body_bytes:,} bytes.")
        except BadBody as bad:
            if started:
                raise
            await send_error(send_with_cookie, 413 if isinstance(bad, TooLarge) else 422, str(bad))
        except (NoPlace, NoMemory) as full:
            retry = (b"retry-after", str(RETRY_AFTER_SECONDS).encode())
            text = str(full) or "other requests take the memory that there is for large ones."
            await send_error(send_with_cookie, 503, f"{FULL}: {text}", [retry])
        except ClientDisconnect:
            pass  # It left before its request had arrived: nobody to answer.
        except asyncio.CancelledError:
            # The server stops, and gives a call that still runs no more time. Without an answer it would be a bare 500.
            if not started:
                await send_error(send_with_cookie, 503, "the environment is stopping.")
            raise
        except Exception:
            if started:
                raise  # uvicorn logs it.
            log.exception("%s %s failed", scope["method"], scope["path"])
            await send_error(send_with_cookie, 500, "the environment failed; its log has the reason.")
        finally:
            if intake is not None:
                intake.done()

    def _intake(self, receive: Receive, declared: int, seeds: bool, caller: str | None) -> Intake:
        return Intake(
            receive,
            declared=declared,
            most_bytes=self.max_body_bytes,
            most_parts=self.max_body_parts,
            memory=(self.memory_of_seeds if seeds else self.memory_of_others) if self.shared else None,
            caller=caller,
            patience=SEEDS_PATIENCE if seeds else OTHERS_PATIENCE,
        )

    def _has_key(self, authorization: bytes) -> bool:
        return self.authorization is None or hmac.compare_digest(authorization, self.authorization)

    def _may_seed(self, body: bytes, caller: str | None) -> bool:
        """Whether a seed is taken although nobody may wait any more: there is room, or it names a known session.

        NeMo Gym 0.7 asks for the same session again where the first answer was lost.
        """
        if len(body) <= SMALL_BODY and b"resources_session_id" in body:
            try:
                session_id = json.loads(body)["resources_session_id"]
                if self.sessions.get(session_id) is not None or self.sessions.ended(session_id) is not None:
                    return True
            except (ValueError, RecursionError, KeyError, TypeError):
                pass  # No seed of 0.7's.
        return self.sessions.places.has_room(caller)

    def _may_call(self, origin: bytes, scope: Scope) -> bool:
        """Whether a browser's POST comes from a page that may make it: of this server itself, or of a named origin.

        CORS alone would keep another site's page from reading the answer, not from running a tool.
        """
        if origin in self.origins or b"*" in self.origins:
            return True
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # The browser says it better than a comparison, which a proxy in between may spoil by another Host.
        site = headers.get("sec-fetch-site", "same-origin" if origin.partition(b"://")[2] == host.encode() else "")
        if site != "same-origin":
            return False
        # On loopback, a name of one's own that points here makes a page of the same origin (DNS rebinding).
        server = scope.get("server")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return server is None or not is_loopback(server[0]) or is_loopback(name.strip("[]"))


def _without_stray_slashes(scope: Scope) -> None:
    """Read `//guess/` as `/guess`.

    A redirect would lose the body with some clients, and lead to http behind a proxy that ends TLS.
    """
    path: str = scope["path"]
    if path != "/" and ("//" in path or path.endswith("/")):
        path = "/" + "/".join(filter(None, path.split("/")))
        scope["path"] = path
        scope["raw_path"] = quote(path).encode()


def session_header(session: Session, token: str | None) -> tuple[bytes, bytes]:
    """The header that takes a session to its client: the cookie, or the token where the request brought one."""
    return session.cookie_header if token is None else token_header(session.cookie_value)


def token_header(value: str) -> tuple[bytes, bytes]:
    """The header that takes a session's signed value to a client that asked for it."""
    return TOKEN_HEADER, value.encode("latin-1")


def _read_already(body: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with a body that has been read, and goes on as the other one."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return first.pop() if first else await receive()

    return receive_again


def _caller(scope: Scope) -> str:
    """Who makes a request: its address, which is that before the proxies that are trusted."""
    client = scope.get("client")
    return caller_at(client[0]) if client else ""


async def _send_too_many(send: Send, seconds: float, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    retry = (b"retry-after", str(math.ceil(seconds)).encode())
    await send_error(send, 429, f"too many requests; the next one after {seconds:.2f} seconds.", [retry, *headers])


def use_session(scope: Scope, session: Session | None) -> None:
    """Make `session` the request's own. `request.session` reads as it does under NeMo Gym's middleware."""
    scope[SESSION] = session
    log_as(session.id if session is not None else None)
    scope["session"] = {SESSION_ID_KEY: session.id} if session is not None else {}
