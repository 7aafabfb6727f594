# Part of the template: changes belong there (`copier update` merges this file).
"""The resources server of every environment: seed, tools, verify, close, on NeMo Gym 0.4 and 0.7 alike.

A row's way: `/seed_session` makes the session's domain object from the row, each tool call finds it by the cookie,
`/verify` grades the same object, and the session is closed. server.py adds what is the environment's own: the tools,
`new_episode()` and `grade()`.
"""

import asyncio
import inspect
import json
import logging
import math
import os
import secrets
from collections.abc import Awaitable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, ClassVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from nemo_gym import base_resources_server as nemo
from nemo_gym.server_utils import SESSION_ID_KEY
from pydantic import Field, PrivateAttr, ValidationError, model_validator
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware

from gymkit import page, project
from gymkit.grading import Verdict, expected_output, grade_transcript
from gymkit.http import COOKIE, SESSION, GymMiddleware, error_body, is_loopback, json_body, use_session
from gymkit.sessions import Row, Session, SessionClosed, SessionsFull, SessionStore, same_truth
from gymkit.tools import ToolFailed, ToolRoute, tool_schemas

log = logging.getLogger("gymkit")


class CannotServe(Exception):
    """The server must not, or cannot, be started; the message is one line for the person who starts it."""


class InvalidRow(ValueError):
    """A data row from which no episode can be made. The message says what is wrong with it."""


class EnvironmentConfig(nemo.BaseResourcesServerConfig):
    """Settings of the server; any of them may stand in the config beside `entrypoint`."""

    max_sessions: int = Field(default=10_000, gt=0, description="Open sessions beyond which a seed gets 503.")
    idle_seconds: float = Field(default=3600, gt=0, description="A session unused for so long is ended.")
    tool_seconds: float = Field(default=60, gt=0, description="Time limit of a tool call.")
    tool_threads: int = Field(default=64, gt=0, description="Tools that are plain functions, running at once.")
    max_arguments_bytes: int = Field(default=1_000_000, gt=0, description="Size limit of a tool's arguments.")
    max_body_bytes: int = Field(default=256_000_000, gt=0, description="Size limit of any request.")
    max_output_characters: int = Field(default=100_000, gt=0, description="A longer tool output has its middle cut.")

    @model_validator(mode="after")
    def _one_process(self) -> "EnvironmentConfig":
        if (self.num_workers or 1) > 1:
            raise ValueError("num_workers must be 1: the sessions live in one process. Start several servers instead.")
        return self


class EnvironmentServer(nemo.SimpleResourcesServer):
    """A resources server with sessions. Subclass it, register tools in `setup_webserver()`, and define how an episode
    begins and what it is worth."""

    # NeMo Gym 0.7 reads it (the annotation keeps 0.4's pydantic content). Nothing here needs Ray.
    ray_enabled: ClassVar[bool | None] = False

    # Whether a caller's code runs on this machine: then strangers need a key.
    runs_code: ClassVar[bool] = False

    config: EnvironmentConfig

    _sessions: SessionStore = PrivateAttr()
    _threads: ThreadPoolExecutor = PrivateAttr()

    # --------------------------------------------------------------------- what an environment defines or overrides

    def new_episode(self, row: Row) -> Any:
        """Make the session's domain object from its data row.

        Raises:
            InvalidRow: no episode can be made from the row; the seed then answers 422 with the message.
        """
        raise NotImplementedError

    def grade(self, episode: Any, expected: Any) -> Verdict | float | Awaitable[Verdict | float]:
        """The reward of the session's own domain object. `expected` is the row's expected output. May be a coroutine;
        it then has the time of a tool call."""
        raise NotImplementedError

    def grade_without_session(self, row: Mapping[str, Any], response: Mapping[str, Any]) -> Verdict | float:
        """The reward of a stored rollout, from its transcript: a `/verify` that comes without a cookie."""
        return grade_transcript(row, response)

    def end_episode(self, episode: Any) -> Any:
        """Release what the domain's object holds. May be a coroutine. Called once per session, whatever ends it."""

    async def on_start(self) -> None:
        """What is to be done when the server has started, on its event loop."""

    async def on_stop(self) -> None:
        """What is to be done when the server stops, after the last session has ended."""

    # ------------------------------------------------------------------------------------------- for tool bodies

    def episode(self, request: Request) -> Any:
        """The domain object of the request's session."""
        return self.session_of(request).state

    def session_of(self, request: Request) -> Session:
        """The request's session. A call that brings no cookie begins an episode on the demo row.

        Raises:
            ToolFailed: the session has ended or is unknown, or there is no room for a new one.
        """
        session: Session | None = request.scope.get(SESSION)
        if session is not None:
            return session
        session_id = request.scope.get("session", {}).get(SESSION_ID_KEY)
        if session_id is not None:  # NeMo Gym 0.7 calls tools over MCP with an id of its own making.
            session = self._sessions.get(session_id)
            if session is None:
                raise ToolFailed("this session has ended or was never seeded.", 410)
            return session
        cookie = request.scope.get(COOKIE)
        if cookie is not None:
            raise ToolFailed(self._whereabouts(cookie), 410)
        try:
            session = self._sessions.open(demo_row())
        except SessionsFull as full:
            raise ToolFailed(f"the environment is full: {full}", 503) from None
        use_session(request.scope, session)
        return session

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Where tools run that are plain functions."""
        return self._threads

    # ------------------------------------------------------------------------------------------------- endpoints

    def setup_webserver(self) -> FastAPI:
        if self.runs_code:
            _refuse_strangers(self.config.host)
        self._threads = ThreadPoolExecutor(self.config.tool_threads, thread_name_prefix="tool")
        self._sessions = SessionStore(
            cookie_name=self.get_session_middleware_key(),
            secret=os.environ.get("ENV_SESSION_SECRET", "").encode() or secrets.token_bytes(32),
            start=self.new_episode,
            end=self._end_episode,
            max_sessions=self.config.max_sessions,
            idle_seconds=self.config.idle_seconds,
        )
        app = super().setup_webserver()
        app.state.gymkit = self
        app.title = project.environment_name()
        app.description = inspect.getdoc(type(self)) or ""
        if not any(getattr(route, "path", "") == "/close_session" for route in app.routes):
            app.post("/close_session")(self.close_resources_session)  # 0.4 has none
        app.get("/tools")(self.list_tools)
        app.add_exception_handler(StarletteHTTPException, self._http_error)
        inner_lifespan = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: FastAPI):
            _quieten_access_log()
            reaper = asyncio.create_task(self._close_idle_sessions())
            await self.on_start()
            async with inner_lifespan(app) as state:
                yield state
            reaper.cancel()
            await self._sessions.close_all("The server stopped.")
            await self.on_stop()
            self._threads.shutdown(wait=False, cancel_futures=True)

        app.router.lifespan_context = lifespan
        # Routes from here on, those of server.py, are tools.
        app.router.route_class = ToolRoute
        return app

    async def seed_session(self, request: Request) -> Any:
        """Begin an episode.

        The body may be empty, `{}`, a whole data row (what an agent's `/run` sends) or NeMo Gym 0.7's typed request,
        whose identity the session then has. Without a row the public demo row is played. 409 for an identity that has
        ended, 422 for a row that makes no episode, 503 with Retry-After when the server is full.
        """
        body = await _json_object(request)
        typed = _typed_seed(body)
        row = typed.task_data if typed else body
        session_id = typed.resources_session_id if typed else None
        session = self._sessions.get(session_id) if session_id else None
        if session is None:
            previous: Session | None = request.scope.get(SESSION)
            if previous is not None:
                await self._sessions.close(previous.id, "Its cookie was used to seed another session.")
            session = await self._open(row or demo_row(), session_id)
        use_session(request.scope, session)
        return {"resources_session_id": session_id} if session_id else {}

    async def _open(self, row: Row, session_id: str | None) -> Session:
        try:
            return self._sessions.open(row, session_id)
        except SessionClosed:
            raise HTTPException(409, f"The session {session_id} has ended; a new episode needs a new one.") from None
        except InvalidRow as error:
            raise HTTPException(422, f"No episode can be made from this row: {error}") from None

    async def close_resources_session(self, request: Request) -> Any:
        """End a session: that of the body's `resources_session_id` (NeMo Gym 0.7), else that of the cookie.

        Succeeds for a session that has ended or never was, and keeps a late seed from beginning it.
        """
        body = await _json_object(request)
        session: Session | None = request.scope.get(SESSION)
        session_id = body.get("resources_session_id") or (session.id if session else None)
        if isinstance(session_id, str):
            await self._sessions.close(session_id, "It was closed.")
        return {"resources_session_id": session_id} if "resources_session_id" in body else {}

    async def verify(self, request: Request) -> Any:
        """Grade the episode and end its session. The answer is the request's body with the verdict's fields.

        The session's own domain object is graded, not what the transcript claims. Without a cookie the transcript is
        all there is (a stored rollout). A session that is lost, unknown or of another row gives a masked sample.
        """
        body = await _json_object(request)
        try:
            nemo.BaseVerifyRequest.model_validate(body)
        except ValidationError as error:
            issue = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in issue["loc"])
            raise HTTPException(422, f"This is no request for a verdict. {where}: {issue['msg']}") from None
        verdict = await self._verdict(request, body)
        instance_config = body.get("instance_config")
        fields = verdict.as_fields()
        if "instance_config" in fields and isinstance(instance_config, dict):
            fields["instance_config"] = instance_config | fields["instance_config"]
        return Response(json_body(body | fields), media_type="application/json")

    async def _verdict(self, request: Request, body: Row) -> Verdict:
        cookie = request.scope.get(COOKIE)
        session: Session | None = request.scope.get(SESSION)
        if session is None:
            if cookie is None:
                return await _verdict(self.config.tool_seconds, self.grade_without_session, body, body["response"])
            session_id = self._sessions.signed_id(cookie)
            ended = self._sessions.ended(session_id) if session_id else None
            if ended is not None and ended.verdict is not None:
                return ended.verdict
            return Verdict.masked("session_lost", f"No verdict: {self._whereabouts(cookie)}")
        try:
            async with asyncio.timeout(self.config.tool_seconds):
                await session.lock.acquire()
        except TimeoutError:
            verdict = Verdict.masked("verifier_error", "A tool call of this session was still running.")
            await self._sessions.close(session.id, "It was verified.", verdict)
            return verdict
        try:
            if session.state is None:  # ended while this request waited
                ended = self._sessions.ended(session.id)
                if ended is not None and ended.verdict is not None:
                    return ended.verdict
                return Verdict.masked("session_lost", "The session was closed before its verdict was asked for.")
            if same_truth(session.row, body):
                expected = expected_output(session.row)
                verdict = await _verdict(self.config.tool_seconds, self.grade, session.state, expected)
            else:
                verdict = Verdict.masked("session_lost", "The session was seeded with another row than this one.")
        finally:
            session.lock.release()
        await self._sessions.close(session.id, "It was verified.", verdict)
        return verdict

    async def list_tools(self, request: Request) -> Any:
        """The tools, as Responses API function tools."""
        return tool_schemas(request.app)

    # -------------------------------------------------------------------------------- NeMo Gym's middleware, replaced

    def setup_session_middleware(self, app: FastAPI) -> None:
        origins = os.environ.get("ENV_CORS_ORIGINS", "").split()
        app.add_middleware(
            GymMiddleware,
            sessions=self._sessions,
            api_key=os.environ.get("ENV_API_KEY") or None,
            max_body_bytes=self.config.max_body_bytes,
            per_second=_number_from_environ("ENV_RATE_LIMIT"),
            origins=origins,
        )
        if origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["X-Session-Token", "Retry-After"],
            )

    def setup_exception_middleware(self, app: FastAPI) -> None:
        """`GymMiddleware` does it."""

    def setup_cancellation_middleware(self, app: FastAPI) -> None:
        """`ToolRoute` cancels a tool whose client has gone."""

    def setup_liveness(self, app: FastAPI) -> None:
        """Answer health checks, HEAD too (Hugging Face Spaces ask so), with the environment's name; browsers at `/` get
        the page."""

        async def alive() -> dict[str, str]:
            return {"status": "ok", "environment": project.environment_name()}

        async def root(request: Request) -> Response:
            if page.is_wanted(request.scope):
                url = str(request.base_url).rstrip("/")
                with_key = bool(os.environ.get("ENV_API_KEY"))
                return page.page(tool_schemas(request.app), demo_row(), url, with_key=with_key)
            return JSONResponse(await alive(), headers={"Vary": "Accept"})

        app.add_api_route("/", root, methods=["GET", "HEAD"], include_in_schema=False)
        for path in ("/health", "/healthz", "/livez", "/readyz"):
            app.add_api_route(path, alive, methods=["GET", "HEAD"], include_in_schema=False)

    # ------------------------------------------------------------------------------------------------------ inside

    async def _end_episode(self, episode: Any) -> None:
        try:
            result = self.end_episode(episode)
            if inspect.isawaitable(result):
                await result
        except Exception:
            log.exception("An episode could not be ended")

    async def _close_idle_sessions(self) -> None:
        while True:
            await asyncio.sleep(min(60.0, self.config.idle_seconds / 4))
            closed = await self._sessions.close_idle()
            if closed:
                log.warning("Ended %d sessions that were idle for %g seconds", closed, self.config.idle_seconds)

    def _whereabouts(self, cookie: str) -> str:
        """What became of the session of a cookie that names no open one."""
        session_id = self._sessions.signed_id(cookie)
        if session_id is None:
            return "the session cookie is not one of this server's: seed a session first."
        ended = self._sessions.ended(session_id)
        return f"this session has ended. {ended.reason}" if ended else "this server does not know the session any more."

    async def _http_error(self, request: Request, error: Exception) -> Any:
        """404 for a tool that is none names those that are; every error is text that a model can read."""
        assert isinstance(error, StarletteHTTPException)
        text = str(error.detail)
        if error.status_code == 404 and request.method == "POST":
            names = ", ".join(tool["name"] for tool in tool_schemas(request.app))
            text = f"there is no tool {request.url.path[1:100]!r}. The tools are: {names}."
        return Response(error_body(text), error.status_code, error.headers, "application/json")


async def _verdict(seconds: float, grade: Any, *arguments: Any) -> Verdict:
    """What a grader says; a grader that fails, or takes too long, gives a masked sample, never a made-up reward."""
    try:
        result = grade(*arguments)
        if inspect.isawaitable(result):
            async with asyncio.timeout(seconds):
                result = await result
        return result if isinstance(result, Verdict) else Verdict(reward=float(result))
    except Exception as error:
        log.exception("The grader failed")
        return Verdict.masked("verifier_error", f"{type(error).__name__}: {error}")


def _quieten_access_log() -> None:
    """Log no answers on NeMo Gym 0.4, as on 0.7: it makes a record of each, and then drops those of status 200."""
    access = logging.getLogger("uvicorn.access")
    if any(type(part).__name__ == "No200Filter" for part in access.filters):
        access.setLevel(logging.WARNING)


def _refuse_strangers(host: str) -> None:
    """A server that runs code for its callers is no open door.

    Raises:
        CannotServe: it would listen beyond this machine, without a key, and nobody has said that it may.
    """
    if os.environ.get("ENV_API_KEY") or os.environ.get("ENV_ALLOW_CODE_WITHOUT_KEY") == "1":
        return
    if not is_loopback(host):
        raise CannotServe(
            f"This environment runs its callers' code, so on {host} it wants a key: set ENV_API_KEY (callers send it "
            "as a bearer token), or ENV_ALLOW_CODE_WITHOUT_KEY=1 where everybody who can reach it may run code."
        )


async def _json_object(request: Request) -> Row:
    """The request's body as an object; an empty body is an empty one. The content type does not matter."""
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        body = _JSON.decode(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise HTTPException(422, "The body is no JSON.") from None
    if not isinstance(body, dict):
        raise HTTPException(422, "The body is no JSON object.")
    return body


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large, and could not be sent back")
    return number


# One for all: json.loads() makes a new decoder for each text that it is to read in another way than usual.
_JSON = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)


def _typed_seed(body: Row) -> Any:
    """NeMo Gym 0.7's `ResourcesSeedSessionRequest`, or None for any other body."""
    model = getattr(nemo, "ResourcesSeedSessionRequest", None)
    if model is None or "resources_session_id" not in body:
        return None
    try:
        return model.model_validate(body)
    except ValidationError as error:
        issue = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in issue["loc"])
        raise HTTPException(422, f"This seeds no session. {where}: {issue['msg']}") from None


def _number_from_environ(name: str) -> float | None:
    """A positive number from a variable; None where it is not set."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise SystemExit(f"{name}={text!r} is no positive number.")
    return number


@cache
def demo_row() -> Row:
    """The public row that is played where no row is given: data/demo.jsonl."""
    text = (project.ROOT / "data" / "demo.jsonl").read_text(encoding="utf-8")
    return json.loads(text.splitlines()[0])
