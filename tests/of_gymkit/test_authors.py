"""What authors write, and what their clients send: tools as any FastAPI endpoint is written, and odd requests."""

import json
import logging
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from harness import Client, LiveServer
from nemo_gym.server_utils import ServerClient
from probe import ROW, NoArguments, ProbeServer
from pydantic import BaseModel, Field

from gymkit.access import CannotServe
from gymkit.fixture import make_server
from gymkit.schemas import tool_schemas
from gymkit.tools import ToolFailed, ToolRequest

Serve = Callable[..., LiveServer]


class Guess(ToolRequest):
    word: str = Field(description="A word.")


class Book(BaseModel):
    title: str


# --------------------------------------------------------------------------------------- tools in FastAPI's own forms


async def whole(body: Guess, request: Request) -> str:
    """The request model."""
    return body.word


async def whole_alone(body: Guess) -> str:
    """Without the request."""
    return body.word


def embedded(guess: Annotated[Guess, Body(embed=True)], request: Request) -> str:
    """Embedded."""
    return guess.word


def embedded_by_default(request: Request, guess: Guess = Body(embed=True)) -> str:  # noqa: B008
    """Embedded, as it was written before `Annotated`."""
    return guess.word


def plain(word: str, times: int = 1, *, request: Request) -> str:
    """Plain parameters."""
    return word * times


def described(word: Annotated[str, Query(description="A word.", max_length=5)], request: Request) -> str:
    """Plain parameters with a description."""
    return word


def by_body(request: Request, word: str = Body(description="A word.")) -> str:
    """A plain parameter from the body."""
    return word


def two(guess: Guess, book: Book, request: Request) -> str:
    """Two models."""
    return guess.word + book.title


def one_or_none(request: Request, guess: Guess | None = None) -> str:
    """A model that may be missing."""
    return guess.word if guess else "nothing"


def kinds(words: list[str], kind: Literal["a", "b"], table: dict[str, int], request: Request) -> str:
    """Lists and such."""
    return f"{words} {kind} {table}"


async def without_anything() -> str:
    """No parameters at all."""
    return "done"


def answers_json(request: Request) -> Response:
    """A response of its own."""
    return JSONResponse({"output": "so", "more": 1})


def answers_text(request: Request) -> Response:
    """A response of its own, which is no JSON."""
    return PlainTextResponse("so")


def refuses(request: Request) -> str:
    """As endpoints refuse that are no tools."""
    raise HTTPException(400, "the word is too long")


WORD = {"word": "crane"}
FORMS: list[tuple[Callable[..., Any], Any, str]] = [
    (whole, WORD, "crane"),
    (whole_alone, WORD, "crane"),
    (embedded, {"guess": WORD}, "crane"),
    (embedded_by_default, {"guess": WORD}, "crane"),
    (plain, WORD, "crane"),
    (plain, {**WORD, "times": 2}, "cranecrane"),
    (described, WORD, "crane"),
    (by_body, WORD, "crane"),
    (two, {"guess": WORD, "book": {"title": "Dune"}}, "craneDune"),
    (one_or_none, {}, "nothing"),
    (one_or_none, {"guess": WORD}, "crane"),
    (kinds, {"words": ["x"], "kind": "a", "table": {"y": 1}}, "['x'] a {'y': 1}"),
    (without_anything, {}, "done"),
    (answers_json, {}, "so"),
    (answers_text, {}, "so"),
    (refuses, {}, "Error: the word is too long"),
]


class Forms(ProbeServer):
    """A tool in each form, half of them by a router."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        router = APIRouter()
        for number, tool in enumerate(dict.fromkeys(tool for tool, _, _ in FORMS)):
            (app if number % 2 else router).post(f"/{tool.__name__}")(tool)
        router.get("/about")(lambda: {"about": "this"})
        app.include_router(router)
        return app


@pytest.fixture(scope="module")
def forms(serve_for_all: Serve) -> LiveServer:
    return serve_for_all(Forms)


@pytest.mark.parametrize(("tool", "arguments", "output"), FORMS)
def test_a_tool_may_be_written_as_any_endpoint(
    forms: LiveServer, tool: Callable[..., Any], arguments: Any, output: str
) -> None:
    client = forms.client()
    client.seed(ROW)
    [schema] = [each for each in client.tools() if each["name"] == tool.__name__]
    assert schema["description"] == tool.__doc__
    assert set(schema["parameters"]["properties"]) >= set(arguments)
    answered = client.post(f"/{tool.__name__}", json=arguments)
    assert (answered.status_code, answered.json()["output"]) == (200, output)
    if schema["parameters"]["required"]:
        wrong = client.post(f"/{tool.__name__}", json={"x": 1})
        assert wrong.status_code == 422
        assert "was called wrongly" in wrong.json()["output"]


def test_what_a_router_has_besides_tools_is_served_as_ever(forms: LiveServer) -> None:
    assert forms.client().get("/about").json() == {"about": "this"}
    assert "about" not in [tool["name"] for tool in forms.client().tools()]


def test_descriptions_and_limits_reach_the_schema(forms: LiveServer) -> None:
    tools = {tool["name"]: tool["parameters"]["properties"] for tool in forms.client().tools()}
    assert tools["described"]["word"] == {"description": "A word.", "maxLength": 5, "type": "string"}
    assert tools["by_body"]["word"]["description"] == "A word."
    assert tools["plain"]["times"] == {"default": 1, "type": "integer"}


def with_default(body: NoArguments, request: Request, db: Any = Depends(lambda: 1)) -> str:  # noqa: B008
    return ""


def with_dependency(body: NoArguments, db: Annotated[int, Depends(lambda: 1)], request: Request) -> str:
    return ""


def with_header(request: Request, agent: Annotated[str, Header()]) -> str:
    return ""


def with_path(request: Request, number: Annotated[int, Path()]) -> str:
    return ""


def with_response(body: NoArguments, response: Response, request: Request) -> str:
    return ""


def with_anything(request: Request, **arguments: Any) -> str:
    return ""


def without_a_type(word, request: Request) -> str:  # type: ignore[no-untyped-def]
    return word


def with_an_object(client: ServerClient, server: LiveServer, request: Request) -> str:
    return ""


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (with_default, "`db` that uses Depends()"),
        (with_dependency, "`db` that uses Depends()"),
        (with_header, "`agent` that uses Header()"),
        (with_path, "`number` that uses Path()"),
        (with_response, "`response` of the type Response"),
        (with_anything, "`arguments` that takes anything"),
        (without_a_type, "`word` without a type"),
        (with_an_object, "nothing that JSON can hold"),
    ],
)
def test_what_an_agent_cannot_call_is_refused_at_the_start_in_one_line(tool: Callable[..., Any], says: str) -> None:
    with pytest.raises(CannotServe) as refused:
        make_server(ProbeServer, configured=False).setup_webserver().post("/tool")(tool)
    assert says in str(refused.value)
    assert "tool" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/count/letter", {}),
        ("/guess/", {}),
        ("/{name}", {}),
        ("/guess word", {}),
        ("/verify", {}),
        ("/guess", {"methods": ["GET", "POST"]}),
        ("/guess", {"dependencies": [Depends(lambda: 1)]}),
    ],
)
def test_a_post_that_would_not_be_listed_is_refused_at_the_start(path: str, options: dict[str, Any]) -> None:
    app = make_server(ProbeServer, configured=False).setup_webserver()
    with pytest.raises(CannotServe, match=f"POST {path.replace('{', '.')} is no tool"):
        app.api_route(path, **{"methods": ["POST"], **options})(whole)
    app.api_route(path, **{"methods": ["POST"], **options}, include_in_schema=False)(lambda name="": "")
    assert "whole" not in json.dumps(tool_schemas(app))


def test_a_router_that_cannot_be_a_tools_is_refused_at_the_start() -> None:
    inner, outer = APIRouter(), APIRouter()
    inner.post("/guess")(whole)
    outer.include_router(inner)
    for router, options in ((inner, {"prefix": "/game"}), (inner, {"dependencies": [Depends(lambda: 1)]}), (outer, {})):
        app = make_server(ProbeServer, configured=False).setup_webserver()
        try:
            app.include_router(router, **options)
        except CannotServe:
            continue
        # Some versions of FastAPI resolve routers within routers by themselves.
        assert router is outer and "guess" in [tool["name"] for tool in tool_schemas(app)]


# ------------------------------------------------------------------------------------------------ mistakes of a model


class Domain(ProbeServer):
    """Its domain raises."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/guess")(self.guess)
        app.post("/refuse")(self.refuse)
        return app

    def guess(self, body: Guess, request: Request) -> str:
        """Guess."""
        if not body.word.isalpha():
            raise ValueError(f"{body.word} is no word")
        return body.word

    async def refuse(self, body: Guess, request: Request) -> str:
        """Refuse."""
        raise ToolFailed("not now.")


def test_a_mistake_of_the_model_is_a_text_for_it_and_no_error_of_the_servers(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(Domain).client()
    client.seed(ROW)
    with caplog.at_level(logging.INFO, "gymkit"):
        assert client.post("/guess", json={"word": "4711"}).json() == {"output": "Error: 4711 is no word"}
        assert client.tool("refuse", word="x") == "Error: not now."
        assert client.post("/guess", json={}).status_code == 422
        client.tool("fail")
    records = [(record.levelname, record.tool, record.exc_info is not None) for record in caplog.records]  # type: ignore[attr-defined]
    assert records == [
        ("INFO", "guess", False),
        ("INFO", "refuse", False),
        ("INFO", "guess", False),
        ("ERROR", "fail", True),
    ]


# -------------------------------------------------------------------------------------------------------- odd requests


@pytest.fixture
def client(probe: LiveServer) -> Client:
    """A client of the probe environment, with no session yet."""
    return probe.client()


@pytest.mark.parametrize("path", ["/nothing/", "//nothing", "//nothing//", "/nothing///"])
def test_stray_slashes_lead_to_the_tool_and_are_no_redirect(client: Client, path: str) -> None:
    cookie = {"Cookie": client.seed(ROW).headers["Set-Cookie"].split(";")[0]}
    for headers in (cookie, {**cookie, "X-Forwarded-Proto": "https", "Host": "space.example"}):
        answered = client.post(path, json={}, headers=headers, allow_redirects=False)
        assert (answered.status_code, answered.json()) == (200, {"output": "done"})
    seeded = client.post("//seed_session/", json=ROW, headers={"Cookie": ""}, allow_redirects=False)
    assert seeded.status_code == 200


def test_a_byte_order_mark_in_arguments_is_no_mistake(client: Client) -> None:
    client.seed(ROW)
    answered = client.post("/wait", data="\ufeff" + json.dumps({"seconds": 0}))
    assert answered.json() == {"output": "in out"}
    assert client.post("/nothing", data=b"\xef\xbb\xbf").json() == {"output": "done"}


@pytest.mark.parametrize("several_headers", [False, True])
def test_a_stale_duplicate_of_the_cookie_hides_no_session(probe: LiveServer, several_headers: bool) -> None:
    name = probe.server.get_session_middleware_key()
    before, now = probe.client(), probe.client()
    before.seed(ROW)
    before.verdict(ROW)
    now.seed(ROW)
    stale, fresh = before.cookies[name], now.cookies[name]
    for values in ([stale, fresh], [fresh, stale], ["forged", fresh], ["forged", stale, fresh], [fresh, "forged"]):
        pairs = [f"{name}={value}" for value in values]
        assert raw_post(probe.url, "/count", pairs if several_headers else ["; ".join(pairs)]) == {"count": 0}
    ended = raw_post(probe.url, "/count", [f"{name}=forged", f"{name}={stale}"])
    assert "this session has ended" in ended["output"]


def raw_post(url: str, path: str, cookies: list[str]) -> Any:
    """Post `{}` with cookie headers as they are."""
    from http.client import HTTPConnection

    connection = HTTPConnection(url.removeprefix("http://"))
    connection.putrequest("POST", path)
    for cookie in cookies:
        connection.putheader("Cookie", cookie)
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"{}")
    with connection.getresponse() as answer:
        return json.loads(answer.read())


# ------------------------------------------------------------------------------------------------------- /openapi.json


def test_the_openapi_document_says_what_the_endpoints_take_and_answer(forms: LiveServer) -> None:
    document = forms.client().get("/openapi.json").json()
    paths = document["paths"]
    tools = [tool["name"] for tool in forms.client().tools()]
    assert {f"/{name}" for name in (*tools, "seed_session", "verify", "close_session", "tools")} <= set(paths)
    guess = paths["/whole"]["post"]
    assert guess["description"] == whole.__doc__
    body = guess["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert document["components"]["schemas"][body]["properties"]["word"]["description"] == "A word."
    assert {"200", "403", "410", "413", "422", "500", "503"} <= set(guess["responses"])
    for path, operations in paths.items():
        for operation in operations.values():
            assert "HTTPValidationError" not in json.dumps(operation), path
    assert not paths["/seed_session"]["post"]["requestBody"]["required"]


def test_statistics_of_what_are_no_verdicts_are_refused(client: Client) -> None:
    rows = [{"_ng_task_index": {}, "reward": 1.0}]
    answered = client.post("/aggregate_metrics", json={"verify_responses": rows})
    assert answered.status_code == 422
    assert "These are no verdicts." in answered.json()["output"]
    rows = [{"_ng_task_index": 0, "_ng_rollout_index": 0, "reward": 1.0}]
    assert client.post("/aggregate_metrics", json={"verify_responses": rows}).status_code == 200
