# Part of the template: changes belong there (`copier update` merges this file).
"""The route of a tool: arguments in, text out, one call of a session at a time, with a time limit."""

import asyncio
import functools
import inspect
import logging
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from enum import Enum
from time import perf_counter
from typing import Any, get_type_hints

from fastapi import APIRouter, HTTPException, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Receive

from gymkit.access import CannotServe
from gymkit.bodies import error_body
from gymkit.grading import EnvironmentFailed
from gymkit.logs import about_tool
from gymkit.signatures import Signature, read_signature
from gymkit.turns import USER_TURN

log = logging.getLogger("gymkit")

RESERVED_PATHS = frozenset({"/seed_session", "/verify", "/close_session", "/aggregate_metrics", "/mcp"})
"""NeMo Gym's own endpoints: a POST to one of them is no tool call."""

COOKIE_MISSING = "gymkit.cookie_missing"
"""Where the ASGI scope says that a call without a cookie has begun the session."""
MISSING_NOTE = (
    "(This call came without the session's cookie, so it was played in a new session of the demo row, which does not "
    "last for long.)"
)
MISSING_HEADER = {"X-Session-Note": "the cookie was missing"}

CUT_MARK = "\n[... {left_out:,} characters left out ...]\n"


class ToolSettings(BaseModel):
    """Limits of the tools."""

    tool_seconds: float = Field(
        default=60, gt=0, description="Time limit of a tool call, of `new_episode()`, and of `grade()`."
    )
    threads: int = Field(
        default=64,
        gt=0,
        description="Tools that are plain functions, running at once; and as many of `grade()` and such beside them.",
    )
    max_arguments_bytes: int = Field(default=1_000_000, gt=0, description="Size limit of a tool's arguments.")
    max_output_characters: int = Field(default=100_000, gt=0, description="A longer tool output has its middle cut.")


class ToolRequest(BaseModel):
    """Arguments of a tool. Give every field a description: the model reads it. Unknown arguments are refused."""

    model_config = ConfigDict(extra="forbid")


class ToolResponse(BaseModel):
    """What a tool answers: text for the model."""

    output: str


class Outcome(Enum):
    """What has come of a call, and at which level that is logged."""

    OK = ("ok", logging.DEBUG)
    MISTAKE = ("mistake", logging.INFO)  # The model's.
    GONE = ("gone", logging.INFO)  # The caller has.
    TIMEOUT = ("timeout", logging.WARNING)
    FAILED = ("failed", logging.ERROR)  # The environment has (`EnvironmentFailed`).
    FAILED_BEFORE = ("failed_before", logging.INFO)
    ERROR = ("error", logging.ERROR)  # The tool has raised, or answered with what is no JSON.

    def __init__(self, word: str, level: int) -> None:
        self.word = word
        self.level = level


class ToolFailed(Exception):
    """The call comes to nothing, for a reason that the model can act on."""

    def __init__(self, text: str, status: int = 200, outcome: Outcome = Outcome.MISTAKE) -> None:
        super().__init__(text)
        self.status = status
        self.outcome = outcome


NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What models may call: OpenAI's rule for the names of functions."""

ERRORS: dict[int | str, dict[str, Any]] = {
    410: {"description": "The session has ended, or this server does not know it."},
    413: {"description": "The arguments are too large."},
    422: {"description": "The arguments are wrong. The text says what is wrong with each."},
    503: {"description": "A call without a session begins one, and the environment is full or stopping."},
}
"""The answers of a tool besides 200; a call that fails is 200 as well, with a text for the model."""


def _is_tool(path: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether a route is a tool: every POST is, unless it is left out of the schema.

    Raises:
        CannotServe: it would be one that no agent could call, or that is called in another way than it says.
    """
    methods = {method.upper() for method in kwargs.get("methods") or ()}
    if "POST" not in methods or kwargs.get("include_in_schema") is False:
        return False
    problem = ""
    if methods != {"POST"}:
        problem = "a tool is a POST and nothing else"
    elif path in RESERVED_PATHS:
        problem = "that is an endpoint of NeMo Gym's"
    elif not NAME.fullmatch(path[1:]):
        problem = "a tool's path is `/` and a name of at most 64 letters, digits, `_` and `-`"
    elif kwargs.get("dependencies"):
        problem = "a tool has no dependencies: call them in its body"
    if problem:
        raise CannotServe(
            f"POST {path} is no tool: {problem}. (An endpoint that is none: app.post(..., include_in_schema=False).)"
        )
    return True


class ToolRoute(APIRoute):
    """The route class of `app.post("/<tool>")(self.<tool>)`.

    FastAPI still sees an ordinary route (OpenAPI, NeMo Gym's MCP exposure), but a request takes a short way: the body
    is parsed once, by the request model, and the answer is serialized once.

    A user's turn (`USER_TURN`) is no tool, but is called like one.

    Raises:
        CannotServe: the function cannot be a tool; one line says why.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> None:
        self.is_tool = _is_tool(path, kwargs)
        self.is_call = self.is_tool or path == USER_TURN
        if self.is_call:
            self.tool_endpoint = endpoint
            self.signature = read_signature(path[1:], endpoint)
            endpoint = _answering(path[1:], endpoint, self.signature, kwargs.get("status_code") or 200)
            kwargs["responses"] = {**ERRORS, **(kwargs.get("responses") or {})}
        super().__init__(path, endpoint, **kwargs)

    @property
    def arguments_model(self) -> type[BaseModel] | None:
        """The request model; None where there are no arguments."""
        return self.signature.model

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        if not self.is_call:
            return super().get_route_handler()
        name = self.path[1:]
        model = self.signature.model
        arguments_name, request_name = self.signature.whole or "arguments", self.signature.request or "request"
        answered = self.endpoint

        async def handle(request: Request) -> Response:
            kwargs: dict[str, Any] = {request_name: request}
            if model is not None:
                began = perf_counter()
                try:
                    kwargs[arguments_name] = await _arguments(name, model, request)
                except ToolFailed as failure:
                    return _failed(name, request, failure, began)
            return await answered(**kwargs)

        return handle


def _answering(
    name: str, endpoint: Callable[..., Any], signature: Signature, status: int
) -> Callable[..., Coroutine[Any, Any, Response]]:
    """The tool as an endpoint that always answers: with what the tool does, or with the text of a failure."""
    call = _guarded(name, endpoint, signature)
    request_name = signature.request or "request"

    async def answering(**given: Any) -> Response:
        request: Request = given[request_name]
        began = perf_counter()
        try:
            try:
                answer = _bytes_of(await call(**given))
            except PydanticSerializationError as error:
                raise ToolFailed(f"{name} failed: {error}", outcome=Outcome.ERROR) from error
        except ToolFailed as failure:
            return _failed(name, request, failure, began)
        _note(name, request, Outcome.OK, began)
        headers = MISSING_HEADER if COOKIE_MISSING in request.scope else None
        return Response(answer, status, headers=headers, media_type="application/json")

    answering.__name__ = answering.__qualname__ = name
    answering.__doc__ = endpoint.__doc__
    returns = get_type_hints(endpoint).get("return")
    shown = ToolResponse if returns is str else returns
    is_model = isinstance(shown, type) and issubclass(shown, BaseModel)
    answering.__signature__ = signature.as_endpoint(shown if is_model else Any)  # pyright: ignore[reportFunctionMemberAccess]
    return answering


def _failed(name: str, request: Request, failure: ToolFailed, began: float) -> Response:
    _note(name, request, failure.outcome, began, failure)
    return Response(error_body(str(failure)), failure.status, media_type="application/json")


def _note(name: str, request: Request, outcome: Outcome, began: float, failure: ToolFailed | None = None) -> None:
    """Count a call, and log it: a fault of the environment with its traceback, anything else in one line."""
    seconds = perf_counter() - began
    request.app.state.gymkit.metrics.count_call(name, outcome.word, seconds)
    if log.isEnabledFor(outcome.level):
        # Where in the domain a mistake was found is of use to its author alone.
        with_place = outcome.level >= logging.ERROR or log.isEnabledFor(logging.DEBUG)
        cause = failure.__cause__ if failure is not None and with_place else None
        log.log(outcome.level, "%s", failure or "done", exc_info=cause, extra=about_tool(name, seconds))


def _bytes_of(answer: Any) -> bytes:
    """A tool's answer as JSON; a response that the tool has made itself, too."""
    if isinstance(answer, Response) and isinstance(getattr(answer, "body", None), bytes):
        if "json" in answer.headers.get("content-type", ""):
            return bytes(answer.body)
        return to_json(ToolResponse(output=bytes(answer.body).decode(errors="replace")))
    return to_json(answer)


def tools_of_routers(router: APIRouter) -> Callable[..., None]:
    """An `include_router` for the application's own router that makes the POSTs of another one tools."""
    include = router.include_router

    def include_router(other: APIRouter, *, prefix: str = "", **options: Any) -> None:
        rest: list[Any] = []
        outer = [*other.dependencies, *(options.get("dependencies") or [])]
        for route in other.routes:
            if not isinstance(route, Route | Mount | WebSocketRoute):
                raise CannotServe("A router with tools includes another one: include both in the application.")
            methods = list(route.methods or ()) if isinstance(route, APIRoute) else []
            if not isinstance(route, APIRoute) or "POST" not in methods:
                rest.append(route)
                continue
            router.add_api_route(
                prefix + route.path,
                getattr(route, "tool_endpoint", route.endpoint),
                methods=methods,
                dependencies=[*outer, *(each for each in route.dependencies if each not in other.dependencies)],
                include_in_schema=route.include_in_schema,
                status_code=route.status_code,
            )
        if rest:
            others = APIRouter(dependencies=other.dependencies)
            others.routes.extend(rest)
            include(others, prefix=prefix, **options)

    return include_router


async def _arguments(name: str, model: type[BaseModel], request: Request) -> BaseModel:
    """The call's arguments, or a text that says what is wrong with them."""
    limit = request.app.state.gymkit.config.max_arguments_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise ToolFailed(f"the arguments of {name} are larger than {limit:,} bytes.", 413)
    try:
        return model.model_validate_json(bytes(body).removeprefix(BOM_UTF8).strip() or b"{}")
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            where = ".".join(str(part) for part in item["loc"])
            problems.append(f"{where}: {item['msg']}" if where else item["msg"])
        raise ToolFailed(f"{name} was called wrongly. {'; '.join(problems)[:2000]}", 422) from None


def _guarded(name: str, endpoint: Callable[..., Any], signature: Signature) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The tool's body with the session's lock and a time limit. Whatever it raises becomes a `ToolFailed`."""
    is_async = inspect.iscoroutinefunction(endpoint)
    request_name = signature.request or "request"

    async def guarded(**given: Any) -> Any:
        request: Request = given.pop(request_name)
        kwargs = signature.keywords(next(iter(given.values()), None), request)
        server = request.app.state.gymkit
        session = await server.session_for(request)
        limit = server.config.tool_seconds
        loop = asyncio.get_running_loop()

        if session.lock.locked():
            # A model may call several tools at once; they are applied one after the other.
            try:
                async with asyncio.timeout(limit):
                    await session.lock.acquire()
            except TimeoutError:
                text = f"an earlier call of this session is still running after {limit:g} seconds; try again later."
                raise ToolFailed(text, outcome=Outcome.TIMEOUT) from None
        else:
            await session.lock.acquire()

        work: asyncio.Future[Any]
        try:
            if session.ended or session.frozen:
                raise ToolFailed("this episode has ended.", 410)
            if session.failure is not None:
                text = f"the environment has failed. {session.failure}"
                raise ToolFailed(text, outcome=Outcome.FAILED_BEFORE)
            session.calls += 1
            if is_async:
                # An eager task runs at once, here: a tool that does not wait costs no turn of the event loop.
                work = asyncio.eager_task_factory(loop, endpoint(**kwargs))
            else:
                # With the context: it says of which session its log lines are.
                body = functools.partial(copy_context().run, functools.partial(endpoint, **kwargs))
                work = loop.run_in_executor(server.threads, body)
        except BaseException:
            session.lock.release()
            raise
        if work.done():
            session.lock.release()
        else:
            # Held until the body has really ended: a thread cannot be stopped, and the next call must not meet it.
            session.hold_until(work, in_thread=not is_async)
            await _finish(work, request.receive, limit, name)
        try:
            note = MISSING_NOTE if COOKIE_MISSING in request.scope else ""
            return _limited(work.result(), server.config.max_output_characters, note)
        except ToolFailed:
            raise
        except EnvironmentFailed as error:
            session.failure = str(error)
            text = f"the environment has failed. {error}"[:2000]
            raise ToolFailed(text, outcome=Outcome.FAILED) from error
        except ValueError as error:
            # What domains raise for a wrong move: the model's mistake, not the server's.
            raise ToolFailed(f"{error or 'a wrong value.'}"[:2000]) from error
        except HTTPException as error:  # as endpoints that are no tools refuse a request
            raise ToolFailed(str(error.detail)[:2000]) from error
        except Exception as error:
            text = f"{name} failed: {type(error).__name__}: {error}"[:2000]
            raise ToolFailed(text, outcome=Outcome.ERROR) from error

    return guarded


async def _finish(work: "asyncio.Future[Any]", receive: Receive, limit: float, name: str) -> None:
    """Wait for a tool that did not answer at once: until it is done, its time is up, or its client has gone."""
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({work, gone}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        client_left = gone.done()
    finally:
        gone.cancel()
        if not work.done() and isinstance(work, asyncio.Task):
            work.cancel()
    if not work.done() or work.cancelled():
        if client_left:
            raise ToolFailed("the caller has gone.", outcome=Outcome.GONE)
        raise ToolFailed(f"{name} took more than {limit:g} seconds.", outcome=Outcome.TIMEOUT)


async def _disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    ended = False
    while (message := await receive())["type"] != "http.disconnect":
        if ended:
            # A call that comes over MCP has no connection of its own: NeMo Gym gives its body again and again.
            await asyncio.Event().wait()
        ended = not message.get("more_body", False)


def _limited(result: Any, limit: int, note: str) -> Any:
    """A tool's answer, with the middle of a text cut out that is longer than a model should have to read, and a note
    below it.

    What is no character (half of a surrogate pair, a byte of a file's name that is no UTF-8) becomes a question mark.
    """
    if isinstance(result, str):
        result = ToolResponse(output=result)
    if isinstance(result, ToolResponse) and not result.output.isascii():
        result = result.model_copy(update={"output": result.output.encode("utf-8", "replace").decode()})
    if isinstance(result, ToolResponse) and len(result.output) > limit:
        half = limit // 2
        mark = CUT_MARK.format(left_out=len(result.output) - 2 * half)
        result = result.model_copy(update={"output": result.output[:half] + mark + result.output[-half:]})
    if isinstance(result, ToolResponse) and note:
        result = result.model_copy(update={"output": f"{result.output}\n{note}"})
    return result
