# Part of the template: changes belong there (`copier update` merges this file).
"""The route of a tool: arguments in, text out, one call of a session at a time, with a time limit."""

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response
from starlette.types import Receive

from gymkit.bodies import error_body
from gymkit.grading import EnvironmentFailed

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


class ToolFailed(Exception):
    """The call comes to nothing, for a reason that the model can act on."""

    def __init__(self, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.status = status


def _is_tool(path: str, methods: Collection[str] | None) -> bool:
    """Whether a route is a tool: a POST to a path of one part that is not NeMo Gym's own."""
    return set(methods or ()) == {"POST"} and path.count("/") == 1 and "{" not in path and path not in RESERVED_PATHS


class ToolRoute(APIRoute):
    """The route class of `app.post("/<tool>")(self.<tool>)`.

    FastAPI still sees an ordinary route (OpenAPI, NeMo Gym's MCP exposure), but a request takes a short way: the body
    is parsed once, by the request model, and the answer is serialized once.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> None:
        self.is_tool = _is_tool(path, kwargs.get("methods"))
        if self.is_tool:
            self.tool_endpoint = endpoint
            self.arguments_model, self._arguments_name, self._request_name = _parameters(endpoint)
            endpoint = _guarded(endpoint, self._request_name)
        super().__init__(path, endpoint, **kwargs)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        if not self.is_tool:
            return super().get_route_handler()
        name = self.path[1:]
        model, arguments_name, request_name = self.arguments_model, self._arguments_name, self._request_name
        call = self.endpoint

        async def handle(request: Request) -> Response:
            kwargs: dict[str, Any] = {request_name: request}
            try:
                if model is not None:
                    kwargs[arguments_name] = await _arguments(name, model, request)
                answer = to_json(await call(**kwargs))
            except ToolFailed as failure:
                return Response(error_body(str(failure)), failure.status, media_type="application/json")
            except PydanticSerializationError as error:
                log.exception("Tool %s answered with what is no JSON", name)
                return Response(error_body(f"{name} failed: {error}"), media_type="application/json")
            headers = MISSING_HEADER if COOKIE_MISSING in request.scope else None
            return Response(answer, headers=headers, media_type="application/json")

        return handle


def _parameters(endpoint: Callable[..., Any]) -> tuple[type[BaseModel] | None, str, str]:
    """The request model of a tool, the name of that parameter, and the name of its `Request`."""
    hints = get_type_hints(endpoint)
    model: type[BaseModel] | None = None
    model_name = request_name = ""
    for name in inspect.signature(endpoint).parameters:
        hint = hints.get(name)
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            model, model_name = hint, name
        elif isinstance(hint, type) and issubclass(hint, Request):
            request_name = name
    if not request_name:
        raise TypeError(f"{endpoint.__qualname__}() needs a parameter `request: Request`, to find its session by")
    return model, model_name, request_name


async def _arguments(name: str, model: type[BaseModel], request: Request) -> BaseModel:
    """The call's arguments, or a text that says what is wrong with them."""
    limit = request.app.state.gymkit.config.max_arguments_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise ToolFailed(f"the arguments of {name} are larger than {limit:,} bytes.", 413)
    try:
        return model.model_validate_json(bytes(body) or b"{}")
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            where = ".".join(str(part) for part in item["loc"])
            problems.append(f"{where}: {item['msg']}" if where else item["msg"])
        raise ToolFailed(f"{name} was called wrongly. {'; '.join(problems)[:2000]}", 422) from None


def _guarded(endpoint: Callable[..., Any], request_name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The tool's body with the session's lock, a time limit, and every failure turned into text."""
    is_async = inspect.iscoroutinefunction(endpoint)

    @functools.wraps(endpoint)
    async def guarded(**kwargs: Any) -> Any:
        request: Request = kwargs[request_name]
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
                raise ToolFailed(text) from None
        else:
            await session.lock.acquire()

        work: asyncio.Future[Any]
        try:
            if session.ended or session.frozen:
                raise ToolFailed("this episode has ended.", 410)
            if session.failure is not None:
                raise ToolFailed(f"the environment has failed. {session.failure}")
            session.calls += 1
            if is_async:
                # An eager task runs at once, here: a tool that does not wait costs no turn of the event loop.
                work = asyncio.eager_task_factory(loop, endpoint(**kwargs))
            else:
                work = loop.run_in_executor(server.threads, functools.partial(endpoint, **kwargs))
        except BaseException:
            session.lock.release()
            raise
        if work.done():
            session.lock.release()
        else:
            # Held until the body has really ended: a thread cannot be stopped, and the next call must not meet it.
            work.add_done_callback(lambda _: session.lock.release())
            await _finish(work, request.receive, limit, endpoint.__name__)
        try:
            note = MISSING_NOTE if COOKIE_MISSING in request.scope else ""
            return _limited(work.result(), server.config.max_output_characters, note)
        except ToolFailed:
            raise
        except EnvironmentFailed as error:
            log.error("Tool %s: %s", endpoint.__name__, error)
            session.failure = str(error)
            raise ToolFailed(f"the environment has failed. {error}"[:2000]) from None
        except Exception as error:
            log.exception("Tool %s failed", endpoint.__name__)
            raise ToolFailed(f"{endpoint.__name__} failed: {type(error).__name__}: {error}"[:2000]) from None

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
        raise ToolFailed("the caller has gone." if client_left else f"{name} took more than {limit:g} seconds.")


async def _disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except RuntimeError:
        # A call that comes over MCP has no connection of its own to watch.
        await asyncio.Event().wait()


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
