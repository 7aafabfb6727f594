# Part of the template: changes belong there (`copier update` merges this file).
"""The resources server of every environment: seed, tools, verify, close, on NeMo Gym 0.4 and 0.7 alike.

A row's way: `/seed_session` makes the session's domain object from the row, each tool call finds it by the cookie,
`/verify` grades it, and the session is closed. server.py adds what is the environment's own: the tools,
`new_episode()` and `grade()`.
"""

import asyncio
import functools
import gc
import inspect
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import replace
from time import perf_counter
from typing import Any, ClassVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from nemo_gym import base_resources_server as nemo
from nemo_gym.server_utils import SESSION_ID_KEY
from pydantic import BaseModel, PrivateAttr, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response as HTTPResponse
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gymkit import openapi, page, project, rows
from gymkit.access import CannotServe, is_shared, number_from_environ, refuse_strangers, trusted_proxies
from gymkit.bodies import BadBody, error_body, json_body, read_object
from gymkit.config import EnvironmentConfig
from gymkit.connections import Connections
from gymkit.grading import EnvironmentFailed, Verdict
from gymkit.large_bodies import SMALL_BODY, LargeAnswer, TooLarge, large_body_with, read_large
from gymkit.logs import log_as, logged_as
from gymkit.metrics import Metrics
from gymkit.middleware import CALLER, COOKIE, RETRY_AFTER_SECONDS, SESSION, GymMiddleware, use_session
from gymkit.redaction import redacted
from gymkit.responses import NO_RESPONSE, Response, read_response
from gymkit.row_keys import Digests, row_digests
from gymkit.rows import Row, expected_output
from gymkit.schemas import tool_routes, tool_schemas
from gymkit.sessions import Beginning, Ending, RowTooLarge, Session, SessionClosed, SessionStore
from gymkit.tools import COOKIE_MISSING, Outcome, ToolFailed, ToolRoute, tools_of_routers
from gymkit.turns import USER_TURN

__all__ = ["CannotServe", "EnvironmentConfig", "EnvironmentFailed", "EnvironmentServer", "InvalidRow"]

log = logging.getLogger("gymkit")


class InvalidRow(ValueError):
    """A data row from which no episode can be made. The message says what is wrong with it."""


STILL_RUNNING = "A tool call of this session was still running."


class TookTooLong(Exception):
    """A function of the environment's has had its time. `work` is done when it has really ended: a thread goes on."""

    def __init__(self, name: str, seconds: float, work: "asyncio.Future[Any]") -> None:
        super().__init__(f"{name}() took more than {seconds:g} seconds.")
        self.work = work


class EnvironmentServer(nemo.SimpleResourcesServer):
    """A resources server with sessions. Subclass it, register tools in `setup_webserver()`, and define how an episode
    begins and what it is worth.

    A tool, `new_episode`, `grade` and `end_episode` may each be a plain function, which runs in a thread and may
    block, or a coroutine function, which runs on the event loop and must not. All have a time limit (`tool_seconds`).
    """

    # NeMo Gym 0.7 reads it (the annotation keeps 0.4's pydantic content). Nothing here needs Ray.
    ray_enabled: ClassVar[bool | None] = False

    # Whether a caller's code runs on this machine: then strangers need a key.
    runs_code: ClassVar[bool] = False

    config: EnvironmentConfig

    _app: FastAPI | None = PrivateAttr(default=None)
    _sessions: SessionStore = PrivateAttr()
    _tool_threads: ThreadPoolExecutor = PrivateAttr()
    # Apart from those: tools that hang must keep no episode from beginning or being graded.
    _episode_threads: ThreadPoolExecutor = PrivateAttr()
    # And apart from both: large bodies are read there.
    _body_threads: ThreadPoolExecutor = PrivateAttr()
    _connections: Connections = PrivateAttr()
    _metrics: Metrics = PrivateAttr()

    # --------------------------------------------------------------------- what an environment defines or overrides

    def new_episode(self, row: Row) -> Any:
        """Make the session's domain object from its data row. An environment without state need not define it.

        Raises:
            InvalidRow: no episode can be made from the row; the seed then answers 422 with the message.
        """
        return None

    def check_row(self, row: Row) -> None:
        """Refuse a row from which no episode can be made, when `gymkit data` writes it.

        By default that is `new_episode()` itself, where it blocks and there is nothing to release.

        Raises:
            InvalidRow: the message says what is wrong.
        """
        releases = type(self).end_episode is not EnvironmentServer.end_episode
        if not releases and not inspect.iscoroutinefunction(self.new_episode):
            self.new_episode(row)

    def grade(self, episode: Any, row: Row, response: Response) -> Any:
        """What the episode is worth: a `Verdict`, or its reward as a number.

        Args:
            episode: What `new_episode()` returned.
            row: The whole data row. `gymkit.rows.expected_output(row)` is the answer in its ground truth.
            response: What the model said and called. It is the policy's own account: tool outputs in it prove nothing.
                `gymkit.answers.final_answer(response)` is the text of its last message.
        """
        raise NotImplementedError(f"{type(self).__name__} in server.py defines no grade(self, episode, row, response)")

    def end_episode(self, episode: Any) -> Any:
        """Release what the domain's object holds. Called once per session, whatever ends it."""

    def grade_transcript(self, row: Row, response: Response) -> Any:
        """The grade of a stored rollout, whose session is gone. Only asked for with `grade_transcripts: true`.

        Without tools it is the grade itself, on a new episode. With tools it trusts the transcript: 1.0 where a tool
        output holds the row's expected output, so use it for rollouts alone that you have recorded yourself.
        """
        if not self.has_tools:
            return self.grade(self.new_episode(row), row, response)
        expected = expected_output(row)
        if not isinstance(expected, str) or not expected:
            return Verdict.mask("verifier_error", "The row holds no text to look for in the tool outputs.")
        outputs = [str(item.output) for item in response.output if item.type == "function_call_output"]
        return float(any(expected in output for output in outputs))

    @property
    def has_tools(self) -> bool:
        """Whether there is a tool to call."""
        return bool(tool_routes(self._app or self.setup_webserver()))

    @property
    def grades_text(self) -> bool:
        """Whether the grade depends on what the model says. Override it where there are tools and it does."""
        return not self.has_tools

    async def get_reverify_mode(self) -> Any:
        """What `gym eval reverify` of NeMo Gym 0.7 may expect: transcripts are graded only with `grade_transcripts`."""
        mode = getattr(nemo, "ReverifyMode", None)
        return mode and (mode.STATELESS if self.config.grade_transcripts else mode.UNSUPPORTED)

    @property
    def has_user(self) -> bool:
        """Whether a user answers what the model says: `USER_TURN` is there."""
        app = self._app or self.setup_webserver()
        return any(getattr(route, "path", "") == USER_TURN for route in app.routes)

    async def on_start(self) -> None:
        """What is to be done when the server has started, on its event loop."""

    async def on_stop(self) -> None:
        """What is to be done when the server stops, after the last session has ended."""

    # ------------------------------------------------------------------------------------------- for tool bodies

    def episode(self, request: Request) -> Any:
        """The domain object of a tool call's session: what `new_episode()` returned."""
        return self.session_of(request).state

    def session_of(self, request: Request) -> Session:
        """The session of a tool call: its identity, and its data row without the prompt."""
        return request.scope[SESSION]

    async def session_for(self, request: Request) -> Session:
        """Find the session of a tool call, before its body runs.

        A call that brings no cookie begins an episode on the demo row, which does not last for long.

        Raises:
            ToolFailed: the session has ended or is unknown, or no new one can be had.
        """
        session: Session | None = request.scope.get(SESSION)
        if session is not None:
            return session
        session_id = request.scope.get("session", {}).get(SESSION_ID_KEY)
        cookie = request.scope.get(COOKIE)
        if session_id is not None:  # NeMo Gym 0.7 calls tools over MCP with an id of its own making.
            session = self._sessions.get(session_id)
            if session is None:
                raise ToolFailed("this session has ended or was never seeded.", 410)
            self._sessions.find(session.cookie_value)  # It is in use.
        elif cookie is not None:
            raise ToolFailed(self._whereabouts(cookie), 410)
        else:
            try:
                session = await self._begin_brief(request)
            except HTTPException as error:
                outcome = Outcome.TIMEOUT if error.status_code == 503 else Outcome.MISTAKE
                raise ToolFailed(str(error.detail), error.status_code, outcome) from None
        use_session(request.scope, session)
        return session

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Where tools run that are plain functions."""
        return self._tool_threads

    @property
    def metrics(self) -> Metrics:
        """What `/metrics` shows of the server."""
        return self._metrics

    @property
    def connections(self) -> Connections:
        """What the connections of the server have in common."""
        return self._connections

    # ------------------------------------------------------------------------------------------------- endpoints

    def setup_webserver(self) -> FastAPI:
        if self.runs_code:
            refuse_strangers(self.config.host)
        self._tool_threads = ThreadPoolExecutor(self.config.threads, thread_name_prefix="tool")
        self._episode_threads = ThreadPoolExecutor(self.config.threads, thread_name_prefix="episode")
        self._body_threads = ThreadPoolExecutor(2, thread_name_prefix="body")
        self._connections = Connections(self.config.host)
        self._metrics = Metrics()
        self._sessions = SessionStore(
            cookie_name=self.get_session_middleware_key(),
            secret=os.environ.get("ENV_SESSION_SECRET", "").encode() or secrets.token_bytes(32),
            start=self._begin_episode,
            end=self._end_episode,
            settle=self._settle,
            settings=self.config,
            metrics=self._metrics,
        )
        self._metrics.watch_sessions(self._sessions, lambda: self._sessions.places.waiting)
        app = super().setup_webserver()
        self._app = app
        app.state.gymkit = self
        app.title = project.environment_name()
        app.description = inspect.getdoc(type(self)) or ""
        if not any(getattr(route, "path", "") == "/close_session" for route in app.routes):
            app.post("/close_session")(self.close_resources_session)  # 0.4 has none
        app.get("/tools")(self.list_tools)
        app.get("/metrics")(self.show_metrics)
        app.add_exception_handler(StarletteHTTPException, self._http_error)
        inner_lifespan = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
            _quieten_access_log()
            # What has been imported is not looked through again and again: a full collection stops everybody.
            gc.collect()
            gc.freeze()
            reaper = asyncio.create_task(self._close_idle_sessions())
            await self.on_start()
            async with inner_lifespan(app) as state:
                yield state
            reaper.cancel()
            await self._sessions.close_all()
            await self.on_stop()
            for threads in (self._tool_threads, self._episode_threads, self._body_threads):
                threads.shutdown(wait=False, cancel_futures=True)

        app.router.lifespan_context = lifespan
        # Routes from here on, those of server.py, are tools.
        app.router.route_class = ToolRoute
        app.router.include_router = tools_of_routers(app.router)
        app.router.redirect_slashes = False  # `GymMiddleware` reads such paths as they are meant.
        app.openapi = lambda: openapi.document(
            app,
            with_key=bool(os.environ.get("ENV_API_KEY")),
            with_rate_limit=number_from_environ("ENV_RATE_LIMIT") is not None,
        )
        return app

    async def seed_session(self, request: Request) -> Any:
        """Begin an episode.

        The body may be empty, `{}`, a whole data row (what an agent's `/run` sends) or NeMo Gym 0.7's typed request,
        whose identity the session then has. Without a row the public demo row is played. 409 for an identity that has
        ended, and for one who brings the cookie of an episode that has no verdict yet: a model may call this endpoint
        too, and must not begin anew what it is losing. 413 for a row that is too large, 422 for one that makes no
        episode, 503 with Retry-After when the server is full.
        """
        raw, body = await self._json_object(request)
        typed = _typed_seed(body)
        row = typed.task_data if typed else body
        session_id = typed.resources_session_id if typed else None
        beginning = await self._with_body(raw, self._beginning, row, request.scope[CALLER])
        self._refuse_second_seed(request, beginning.digests if row else {}, session_id)
        session = self._sessions.get(session_id) if session_id else None
        if session is None:
            session = await self._open(beginning, session_id, request)
        use_session(request.scope, session)
        if session_id is None:
            return {}
        if self._over_mcp:  # NeMo Gym adds to it how the tools are called so.
            return getattr(nemo, "ResourcesSeedSessionResponse", dict)(resources_session_id=session_id)
        return {"resources_session_id": session_id}

    def _refuse_second_seed(self, request: Request, digests: Digests, session_id: str | None) -> None:
        """Refuse a seed that brings the cookie of an episode without a verdict, unless it names that very session."""
        session: Session | None = request.scope.get(SESSION)
        cookie: str | None = request.scope.get(COOKIE)
        if session is not None:
            if session.id == session_id and session.matched(digests) is not None:
                return  # It is asked for again, and gets the same.
        else:
            ended = self._sessions.ended(self._sessions.signed_id(cookie) or "") if cookie is not None else None
            if ended is None or ended.verified:
                return
        raise HTTPException(
            409,
            "this session cannot be begun anew: its episode has no verdict yet. Go on with it. (For another episode, "
            "ask for the verdict first, or seed without the session's cookie.)",
        )

    async def close_resources_session(self, request: Request) -> Any:
        """End a session: that of the body's `resources_session_id` (NeMo Gym 0.7's clean-up), else that of the cookie.

        Succeeds for a session that has ended or never was, and keeps a late seed from beginning it. A close by the
        cookie alone, which a model can send as well, settles the grade first: it voids no episode.
        """
        _, body = await self._json_object(request)
        session: Session | None = request.scope.get(SESSION)
        session_id = body.get("resources_session_id")
        if not isinstance(session_id, str | None):
            raise HTTPException(422, "This closes no session. resources_session_id: a text is wanted")
        known = session_id if session_id is not None and _TOKEN.fullmatch(session_id) else None
        if known is not None and (session is None or session.id == known):
            await self._sessions.close(known, Ending.CLOSED)
        elif session is not None:
            await self._settle_and_close(session)
        return {"resources_session_id": session_id} if "resources_session_id" in body else {}

    async def _settle_and_close(self, session: Session) -> None:
        if self.grades_text:
            session.frozen = True  # Its grade needs the response, which only the request for the verdict brings.
            return
        verdict = await self._settle(session)
        await self._sessions.close(session.id, Ending.CLOSED, verdict)

    async def verify(self, request: Request) -> Any:
        """Grade the episode and end its session. The answer is the request's body with the verdict's fields.

        The request has to carry the whole row that the session was seeded with, which a model does not know: any other
        gets a masked answer, and changes nothing. The first verdict is final, and is given again when asked for again.
        """
        raw, body = await self._json_object(request)
        digests = await self._with_body(raw, row_digests, body, self.config.max_row_bytes)
        verdict = await self._verdict(request, raw, body, digests)
        self._metrics.count_verdict(verdict)
        instance_config = body.get("instance_config")
        fields = verdict.as_fields()
        if "instance_config" in fields and isinstance(instance_config, dict):
            fields["instance_config"] = instance_config | fields["instance_config"]
        if verdict.failure_reason is not None:
            fields["failure_reason"] = redacted(verdict.failure_reason)
        if len(raw) <= SMALL_BODY:
            return HTTPResponse(json_body(body | fields), media_type="application/json")
        return LargeAnswer(await self._with_body(raw, large_body_with, raw, body, fields))

    async def aggregate_metrics(self, request: Request) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What NeMo Gym's statistics make of many verdicts, off the event loop; 422 where they are none."""
        _, body = await self._json_object(request)
        try:
            work = super().aggregate_metrics(nemo.AggregateMetricsRequest.model_validate(body))
            return await asyncio.get_running_loop().run_in_executor(self._body_threads, asyncio.run, work)
        except ValidationError as error:
            raise HTTPException(422, f"These are no verdicts. {_first_problem(error)}") from None
        except Exception as error:  # It checks little, and fails in many ways.
            raise HTTPException(422, f"These are no verdicts. {type(error).__name__}: {error}"[:500]) from None

    async def list_tools(self, request: Request) -> Any:
        """The tools, as Responses API function tools."""
        return tool_schemas(request.app)

    async def show_metrics(self, request: Request) -> Any:
        """The metrics, in the form of Prometheus."""
        body, content_type = self._metrics.page(request.headers.get("accept", ""))
        return HTTPResponse(body, headers={"Content-Type": content_type})

    # --------------------------------------------------------------------------------------------------- the verdict

    async def _verdict(self, request: Request, raw: bytes, body: Row, digests: Digests) -> Verdict:
        session: Session | None = request.scope.get(SESSION)
        cookie: str | None = request.scope.get(COOKIE)
        session_id = session.id if session else self._sessions.signed_id(cookie) if cookie is not None else None
        ended = self._sessions.ended(session_id) if session is None and session_id is not None else None
        of_cookie = session or ended
        matched = of_cookie.matched(digests) if of_cookie is not None else None
        # A model can make an agent lose its cookie, or take that of another session: the row tells whose verdict it is.
        # A forged cookie is none of its doing.
        found = self._sessions.unverified(digests, matched or 0) if cookie is None or session_id is not None else []
        if matched is not None and session_id is not None and not found:
            return await self._final_verdict(session, raw, body) if session else self._last_verdict(session_id)
        if len(found) == 1:
            return await self._verdict_by_row(found[0], raw, body)
        if found:
            return self._lowest("session_lost", f"{len(found)} sessions of this row wait for their verdict.")
        if cookie is None and self.config.grade_transcripts:
            row = {key: value for key, value in body.items() if key != "response"}
            response = await self._with_body(raw, self._response_of, body)
            return (await self._graded(self.grade_transcript, row, response))[0]
        if cookie is None:
            text = "the request has no session cookie, and a stored transcript is not graded (grade_transcripts)."
        elif session is not None or ended is not None:
            text = "the request does not carry the whole row that the session was seeded with."
        else:
            text = self._whereabouts(cookie)
        return Verdict.mask("session_lost", f"No verdict: {text}")

    async def _verdict_by_row(self, session_id: str, raw: bytes, body: Row) -> Verdict:
        """The verdict on the only session of a row, for a request that carries the row and not the session's cookie."""
        session = self._sessions.get(session_id)
        if session is None:
            return self._last_verdict(session_id)
        if session.calls or not self.has_tools:
            return await self._final_verdict(session, raw, body)
        # Either the client keeps no cookies, or its model has lost the cookie before the first call.
        verdict = self._lowest("session_lost", "The cookie was lost before any tool was called in this row's session.")
        await self._sessions.close(session_id, Ending.VERIFIED, verdict, verified=True)
        return verdict

    async def _final_verdict(self, session: Session, raw: bytes, body: Row) -> Verdict:
        """Grade an open or frozen session for a request that carries its whole row, and end it."""
        response = await self._with_body(raw, self._response_of, body)
        if not await self._locked(session):
            verdict = self._lowest("verifier_error", STILL_RUNNING)
            await self._sessions.close(session.id, Ending.VERIFIED, verdict, verified=True)
            return verdict
        if session.ended:  # while this request waited
            session.lock.release()
            return self._last_verdict(session.id)
        # The session keeps no prompt: it is the same in the request.
        row = session.row | {"responses_create_params": body["responses_create_params"]}
        verdict = await self._graded_session(session, row, response)
        await self._sessions.close(session.id, Ending.VERIFIED, verdict, verified=True)
        return verdict

    def _response_of(self, body: Row) -> Response:
        """The response in a request for a verdict. Calls over MCP have the tools' own names."""
        response = _response(body)
        normalize_tool_name: Any = getattr(self, "normalize_tool_name", None)
        if self._over_mcp and normalize_tool_name is not None:
            for item in response.output:
                if item.type == "function_call":
                    item.name = normalize_tool_name(item.name)
        return response

    def _last_verdict(self, session_id: str) -> Verdict:
        """The verdict on a session that has ended, for a request that carries its whole row."""
        ended = self._sessions.ended(session_id)
        if ended is None:
            return Verdict.mask("session_lost", "No verdict: this server does not know the session any more.")
        self._sessions.set_verified(session_id)
        return ended.verdict or Verdict.mask("session_lost", f"No verdict: this session has ended. {ended.reason}")

    async def _settle(self, session: Session) -> Verdict | None:
        """The verdict on a session that ends before it is asked for; None where the grade needs the response."""
        if session.frozen:  # By a call, maybe the policy's own: it must not gain by that.
            return self._lowest("session_lost", "It was closed, and its verdict was not asked for in time.")
        if self.grades_text:
            return None
        if not await self._locked(session):
            return self._lowest("verifier_error", STILL_RUNNING)
        if session.ended:
            session.lock.release()
            return None
        nothing = {"responses_create_params": {"input": []}, "response": NO_RESPONSE}
        return await self._graded_session(session, session.row, _response(nothing))

    async def _locked(self, session: Session) -> bool:
        """Take a session's lock; False where a tool call holds it for longer than a call may take."""
        try:
            async with asyncio.timeout(self.config.tool_seconds):
                await session.lock.acquire()
        except TimeoutError:
            return False
        return True

    async def _graded_session(self, session: Session, row: Row, response: Response) -> Verdict:
        """Grade a session whose lock is held. It is released when the grader is done, which may be later."""
        work = None
        try:
            if session.failure is not None:
                return Verdict.mask("provider_unavailable", session.failure)
            with logged_as(session.id):
                verdict, work = await self._graded(self.grade, session.state, row, response)
                log.debug("%s: the reward is %g", row.get("task_id"), verdict.reward)
            return verdict
        finally:
            if work is None:
                session.lock.release()
            else:
                session.hold_until(work, in_thread=not inspect.iscoroutinefunction(self.grade))

    async def _graded(self, grade: Callable[..., Any], *arguments: Any) -> tuple[Verdict, "asyncio.Future[Any] | None"]:
        """What a grader says; and, where its time is up, what still runs.

        Only `EnvironmentFailed` masks the sample. A grader that fails otherwise, or takes too long, gives the lowest
        reward: often it is the policy that has brought it about.
        """
        try:
            result = await self._call(grade, *arguments)
            return (result if isinstance(result, Verdict) else Verdict(reward=float(result))), None
        except EnvironmentFailed as error:
            log.exception("The episode cannot be graded: %s", error)
            return Verdict.mask("provider_unavailable", str(error)), None
        except TookTooLong as error:
            log.warning("%s", error)
            return self._lowest("verifier_error", str(error)), error.work
        except Exception as error:
            log.exception("The grader failed")
            return self._lowest("verifier_error", f"{type(error).__name__}: {error}"), None

    def _lowest(self, kind: str, reason: str) -> Verdict:
        """The lowest reward of the manifest, with what went wrong beside it."""
        return Verdict(project.reward_range()[0], failure_kind=kind, failure_reason=reason[:2000])

    # ---------------------------------------------------------------------------- calling what the environment defines

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the environment's: a coroutine function here, any other in a thread.

        Raises:
            TookTooLong: it has had the time of a tool call, and is not done.
        """
        is_async = inspect.iscoroutinefunction(function)
        began = perf_counter()
        work = asyncio.ensure_future(function(*arguments) if is_async else self._in_thread(function, *arguments))
        try:
            done, _ = await asyncio.wait({work}, timeout=self.config.tool_seconds)
            if not done:
                raise TookTooLong(function.__name__, self.config.tool_seconds, work)
            return work.result()
        finally:
            self._metrics.function_seconds.labels(function.__name__).observe(perf_counter() - began)
            if is_async:
                work.cancel()

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        # With the context: it says of which session its log lines are.
        work = functools.partial(copy_context().run, function, *arguments)
        result = await asyncio.get_running_loop().run_in_executor(self._episode_threads, work)
        return await result if inspect.isawaitable(result) else result

    async def _begin_episode(self, row: Row) -> Any:
        if type(self).new_episode is EnvironmentServer.new_episode:
            return None
        try:
            return await self._call(self.new_episode, row)
        except EnvironmentFailed as error:
            log.exception("An episode could not begin: %s", error)
            return error  # The session then has no state, and its sample is masked.
        except TookTooLong as error:
            error.work.add_done_callback(self._end_late_episode)
            log.warning("%s", error)
            retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise HTTPException(503, f"the environment could not begin an episode: {error}", retry) from None

    def _end_late_episode(self, work: "asyncio.Future[Any]") -> None:
        if not work.cancelled() and work.exception() is None:
            self._sessions.in_background(self._end_episode(work.result()))

    async def _end_episode(self, episode: Any) -> None:
        if type(self).end_episode is EnvironmentServer.end_episode:
            return
        try:
            await self._call(self.end_episode, episode)
        except Exception:
            log.exception("An episode could not be ended")

    def _beginning(self, row: Row, caller: str | None, brief: bool = False) -> Beginning:
        """What a session of a row is begun with; without one, of the demo row."""
        most = self.config.max_row_bytes
        try:
            return Beginning(row or rows.demo_row(), demo=not row, caller=caller, brief=brief, max_row_bytes=most)
        except RowTooLarge as error:
            raise HTTPException(413, str(error)) from None

    async def _open(self, beginning: Beginning, session_id: str | None, request: Request) -> Session:
        async def wanted() -> bool:
            return not await request.is_disconnected()

        try:
            return await self._sessions.open(beginning, session_id, wanted=wanted)
        except SessionClosed:
            raise HTTPException(409, f"The session {session_id} has ended; a new episode needs a new one.") from None
        except InvalidRow as error:
            raise HTTPException(422, f"No episode can be made from this row: {error}") from None

    async def _begin_brief(self, request: Request) -> Session:
        """A session of the demo row for a call without a cookie."""
        request.scope[COOKIE_MISSING] = True
        return await self._open(self._beginning({}, request.scope.get(CALLER), brief=True), None, request)

    # ------------------------------------------------------------------------------------------------ large bodies

    async def _with_body(self, raw: bytes, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function gives that works on a request's body: where that is large, in a thread."""
        if len(raw) <= SMALL_BODY:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._body_threads, function, *arguments)

    async def _json_object(self, request: Request) -> tuple[bytes, Row]:
        """The request's body, and what it says: an object. The content type does not matter."""
        raw = await request.body()
        try:
            return raw, await self._with_body(raw, read_object if len(raw) <= SMALL_BODY else read_large, raw)
        except BadBody as error:
            raise HTTPException(413 if isinstance(error, TooLarge) else 422, str(error)) from None

    # ----------------------------------------------------------------------------------------- tools over MCP (0.7)

    @property
    def _over_mcp(self) -> bool:
        """Whether NeMo Gym makes the tools callable at `/mcp` too. (0.4 does not know the setting.)"""
        return bool(getattr(self.config, "expose_tools_over_mcp", False))

    def mcp_tools(self, harvested: Any, catchall: Any) -> Any:
        """The tools that NeMo Gym makes callable over MCP: those that agents see. A call goes the way of one over HTTP.

        It asks before it replaces `/seed_session` and `/verify` by endpoints of its own, which are no tools.
        """
        assert self._app is not None
        self._app.router.route_class = APIRoute
        handlers = {route.path: _over_mcp(route.get_route_handler()) for route in tool_routes(self._app)}
        tools = [tool for tool in harvested if tool.path in handlers]
        for tool in tools:
            # The handler takes the request, and reads the arguments itself.
            way = {"body_param": None, "body_model": None, "body_is_dict": False, "request_params": ("request",)}
            tool.binding = replace(tool.binding, endpoint=handlers[tool.path], is_coroutine=True, **way)
        return tools

    # -------------------------------------------------------------------------------- NeMo Gym's middleware, replaced

    def setup_session_middleware(self, app: FastAPI) -> None:
        if not self._over_mcp:
            self._add_middleware(app)

    def setup_exception_middleware(self, app: FastAPI) -> None:
        """`GymMiddleware` does it. NeMo Gym makes no tools callable over MCP where there is middleware that is not its
        own, since their calls go round it; ours needs to see the requests to `/mcp` alone. So it comes after that."""
        if self._over_mcp:
            self._add_middleware(app)

    def _add_middleware(self, app: FastAPI) -> None:
        origins = os.environ.get("ENV_CORS_ORIGINS", "").split()
        app.add_middleware(
            GymMiddleware,
            sessions=self._sessions,
            api_key=os.environ.get("ENV_API_KEY") or None,
            max_body_bytes=self.config.max_body_bytes,
            max_body_parts=self.config.max_body_parts,
            per_second=number_from_environ("ENV_RATE_LIMIT"),
            origins=origins,
            shared=is_shared(self.config.host),
        )
        if origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["X-Session-Token", "Retry-After"],
            )
        proxies = trusted_proxies()
        if proxies:  # Then a request's client is whoever is behind them.
            app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)

    def setup_cancellation_middleware(self, app: FastAPI) -> None:
        """`ToolRoute` cancels a tool whose client has gone."""

    def setup_liveness(self, app: FastAPI) -> None:
        """Answer health checks, HEAD too (Hugging Face Spaces ask so), with the environment's name; browsers at `/` get
        the page."""

        async def alive() -> dict[str, str]:
            return {"status": "ok", "environment": project.environment_name()}

        async def root(request: Request) -> HTTPResponse:
            if page.is_wanted(request.scope):
                return page.page(
                    tool_schemas(request.app),
                    rows.demo_row(),
                    str(request.base_url).rstrip("/"),
                    with_key=bool(os.environ.get("ENV_API_KEY")),
                    with_answer=self.grades_text,
                    with_user=self.has_user,
                )
            return JSONResponse(await alive(), headers={"Vary": "Accept"})

        app.add_api_route("/", root, methods=["GET", "HEAD"], include_in_schema=False)
        for path in ("/health", "/healthz", "/livez", "/readyz"):
            app.add_api_route(path, alive, methods=["GET", "HEAD"], include_in_schema=False)

    # ------------------------------------------------------------------------------------------------------ inside

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
            names = ", ".join(route.path[1:] for route in tool_routes(request.app))
            text = f"there is no tool {request.url.path[1:100]!r}. "
            text += f"The tools are: {names}." if names else "This environment has no tools."
        return HTTPResponse(error_body(text), error.status_code, error.headers, "application/json")


_TOKEN = re.compile(r"[A-Za-z0-9._~:-]{1,256}")
"""What an identity of a session may be."""


def _over_mcp(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """A tool's handler for the requests that NeMo Gym makes of calls over MCP: `GymMiddleware` does not see them."""

    async def handle(request: Request) -> Any:
        log_as(request.session[SESSION_ID_KEY])
        return await handler(request)

    return handle


def _quieten_access_log() -> None:
    """Log no answers on NeMo Gym 0.4, as on 0.7: it makes a record of each, and then drops those of status 200."""
    access = logging.getLogger("uvicorn.access")
    if any(type(part).__name__ == "No200Filter" for part in access.filters):
        access.setLevel(logging.WARNING)


def _typed_seed(body: Row) -> Any:
    """NeMo Gym 0.7's `ResourcesSeedSessionRequest`, or None for any other body."""
    model: type[BaseModel] | None = getattr(nemo, "ResourcesSeedSessionRequest", None)
    if model is None or "resources_session_id" not in body:
        return None
    try:
        seed: Any = model.model_validate(body)
    except ValidationError as error:
        raise HTTPException(422, f"This seeds no session. {_first_problem(error)}") from None
    # It stands in a cookie, in logs and in messages.
    if not _TOKEN.fullmatch(seed.resources_session_id):
        raise HTTPException(
            422, "This seeds no session. resources_session_id: 256 characters at most, of A-Za-z0-9-._~:"
        )
    return seed


def _response(body: Row) -> Response:
    """The response in a request for a verdict."""
    if not isinstance(body.get("responses_create_params"), dict):
        raise HTTPException(422, "This is no request for a verdict. responses_create_params: an object is wanted")
    if "response" not in body:
        raise HTTPException(422, "This is no request for a verdict. response: it is missing")
    try:
        return read_response(body["response"])
    except ValueError as error:
        raise HTTPException(422, f"This is no request for a verdict. {error}") from None


def _first_problem(error: ValidationError) -> str:
    issue = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}"
