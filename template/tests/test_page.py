# Part of the template: changes belong there (`copier update` merges this file).
"""The page at `/`, and the session token that it plays by, over plain HTTP. The template's own tests use a browser."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
import requests
from fastapi import FastAPI, Request
from harness import Client, LiveServer, verify_body
from probe import ROW, Log, ProbeServer
from pydantic import BaseModel, Field

from gymkit import project
from gymkit.answers import Response, final_answer
from gymkit.rows import Row, demo_row
from gymkit.server import EnvironmentServer
from gymkit.tools import ToolRequest

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
TOKEN = "X-Session-Token"


class Page(HTMLParser):
    """What stands in the page: the text of elements with an id, and all attributes."""

    VOID = frozenset({"meta", "link", "input", "img", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(dict(attrs).get("id"))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for name in filter(None, self._open):
            self.texts[name] = self.texts.get(name, "") + data

    def controls(self, tool: str) -> dict[str, dict[str, str | None]]:
        """The attributes of a form's controls, by the parameter's name."""
        prefix = f"{tool}-"
        found = [attributes for tag, attributes in self.elements if "data-kind" in attributes]
        return {str(item["name"]): item for item in found if str(item["id"]).startswith(prefix)}


def html_of(client: Client, **headers: str) -> str:
    response = client.get("/", headers=BROWSER | headers)
    assert response.status_code == 200
    return response.text


def prompt_texts(row: Row) -> Iterator[str]:
    for item in row["responses_create_params"]["input"]:
        content = item["content"]
        yield from [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]


# -------------------------------------------------------------------------------------------- who gets what at `/`


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        "application/json, text/plain, */*",
        "text/html;q=0.5, application/json",
        "text/html;q=x",
        "",
    ],
)
def test_api_clients_and_health_checks_get_json(client: Client, accept: str) -> None:
    response = client.get("/", headers={"Accept": accept})
    assert response.json() == {"status": "ok", "environment": project.environment_name()}
    assert response.headers["Vary"] == "Accept"
    assert client.head("/", headers=BROWSER).headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", [BROWSER["Accept"], "text/html", "TEXT/HTML", "application/json;q=0.5, text/html"])
def test_browsers_get_the_page(client: Client, accept: str) -> None:
    response = client.get("/", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Vary"] == "Accept"
    assert client.get("/health", headers={"Accept": accept}).json()["status"] == "ok"


# ------------------------------------------------------------------------------------------------- what stands in it


def test_it_shows_the_task_and_the_tools(live: LiveServer, client: Client) -> None:
    html = html_of(client)
    page = Page(html)
    text = page.texts["content"]
    for prompt in prompt_texts(demo_row()):
        assert prompt in text
    for tool in client.get("/tools").json():
        assert tool["description"] in text
        assert set(page.controls(tool["name"])) == set(tool["parameters"]["properties"])
        for field in tool["parameters"]["properties"].values():
            assert field.get("description", "") in text
    labelled = {attributes["for"] for tag, attributes in page.elements if tag == "label"}
    controls = {a["id"] for tag, a in page.elements if tag in ("input", "textarea", "select")}
    assert controls == labelled
    assert ("answer" in controls) == live.server.grades_text


def test_the_answer_of_the_demo_row_does_not_stand_in_it(client: Client, monkeypatch: Any) -> None:
    hidden = demo_row() | {"ground_truth": [{"expected_output": "the-answer"}], "own_field": "the-answer"}
    monkeypatch.setattr("gymkit.rows.demo_row", lambda: hidden)
    html = html_of(client)
    assert "the-answer" not in html
    assert "ground_truth" not in html


def test_nothing_in_it_comes_from_elsewhere_or_may(client: Client) -> None:
    response = client.get("/", headers=BROWSER)
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["style-src"])
    assert policy["frame-ancestors"] == "'self' https://huggingface.co"
    assert "X-Frame-Options" not in response.headers
    for tag, attributes in Page(response.text).elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action", "formaction", "data"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    style = response.text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_other_sites_may_be_allowed_to_frame_it(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_FRAME_ANCESTORS", "https://example.com")
    policy = client.get("/", headers=BROWSER).headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors https://example.com")


class Color(StrEnum):
    red = "red"
    other = '"<b>&other'


class Point(BaseModel):
    x: int
    y: int = 0


class Everything(ToolRequest):
    text: str = Field(description="A text </script><script>alert(1)</script> & more.")
    count: int = Field(ge=0, le=9, description="A count.")
    ratio: float = Field(0.5, description="A ratio.")
    flag: bool = Field(description="A flag.")
    maybe: bool | None = Field(None, description="A flag or not.")
    button: Literal["left", "right"] = Field("right", description="A button.")
    color: Color = Field(description="A colour.")
    keys: list[str] = Field(description="Keys.")
    path: list[Point] = Field([], description="Points.")
    point: Point = Field(description="A point.")
    note: str | None = Field(description="A note or none.")
    either: int | str = Field(description="Either.")


class FormServer(ProbeServer):
    """A server with a tool that takes every kind of argument, and one that takes none."""

    def setup_webserver(self) -> FastAPI:
        app = EnvironmentServer.setup_webserver(self)
        app.post("/everything")(self.everything)
        app.post("/nothing")(self.nothing)
        return app

    def everything(self, body: Everything, request: Request) -> str:
        """Say the arguments again. <script>alert(1)</script>"""
        self.episode(request)
        return body.model_dump_json()


class SpokenServer(ProbeServer):
    """A server without tools, which grades what is said."""

    def setup_webserver(self) -> FastAPI:
        return EnvironmentServer.setup_webserver(self)

    def grade(self, episode: Log, row: Row, response: Response) -> float:
        return float(final_answer(response) == "Your answer")


def test_a_form_has_a_control_for_every_kind_of_argument(serve: Any) -> None:
    live = serve(FormServer)
    html = html_of(live.client())
    assert "<script>alert" not in html
    page = Page(html)
    controls = page.controls("everything")
    kinds = {name: (attributes["data-kind"], attributes["data-absent"]) for name, attributes in controls.items()}
    assert kinds == {
        "text": ("text", "keep"),
        "count": ("number", "keep"),
        "ratio": ("number", "omit"),
        "flag": ("choice", "keep"),
        "maybe": ("choice", "omit"),
        "button": ("choice", "omit"),
        "color": ("choice", "keep"),
        "keys": ("list", "keep"),
        "path": ("json", "omit"),
        "point": ("json", "keep"),
        "note": ("text", "null"),
        "either": ("json", "keep"),
    }
    assert controls["count"].items() >= {"min": "0", "max": "9", "step": "1"}.items()
    options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    assert options == [
        "false",
        "true",
        "",
        "false",
        "true",
        '"left"',
        '"right"',
        '"red"',
        json.dumps(Color.other.value),
    ]
    assert json.loads(page.texts["task"])["responses_create_params"]["tools"][0]["name"] == "everything"


# --------------------------------------------------------------------------------------------------------- snippets


@pytest.mark.parametrize(
    ("server_class", "key", "reward"), [(FormServer, "", 1), (FormServer, "sesame", 1), (SpokenServer, "", 1)]
)
def test_the_snippets_work_when_pasted(
    serve: Any, tmp_path: Path, monkeypatch: Any, server_class: type, key: str, reward: float
) -> None:
    monkeypatch.setenv("ENV_API_KEY", key)
    live = serve(server_class)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    page = Page(html_of(live.client(), **headers))
    (tmp_path / "snippet.py").write_text(page.texts["python"])
    (tmp_path / "snippet.sh").write_text(page.texts["curl"])
    in_bash = [["bash", "-e", "snippet.sh"]] if shutil.which("curl") else []
    for command in ([sys.executable, "snippet.py"], *in_bash):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert re.search(rf'Reward: {reward}|"reward": ?{reward}', done.stdout), done.stdout
        assert "called wrongly" not in done.stdout
        assert len(live.server._sessions) == 0
    assert key not in page.texts["content"] or not key


def test_the_snippets_of_this_environment_can_be_run(live: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(Page(html_of(live.client())).texts["python"])
    done = subprocess.run([sys.executable, "snippet.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Reward: " in done.stdout


# ------------------------------------------------------------------------------------------------------ the API key


def test_with_an_api_key_the_page_asks_for_it_and_says_nothing_else(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_API_KEY", "sesame")
    client = serve().client()
    for header in ({}, {"Authorization": "Bearer wrong"}):
        response = client.get("/", headers=BROWSER | header)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "Content-Security-Policy" in response.headers
        assert 'id="key-form"' in response.text
        assert "sesame" not in response.text
        title = project.environment_name().replace("_", " ").title()
        tools = [tool["name"] for tool in client.get("/tools", headers={"Authorization": "Bearer sesame"}).json()]
        for secret in (project.environment_name(), f">{title}<", *(f"Call {name}" for name in tools)):
            assert secret not in response.text
        assert client.get("/?key=sesame", headers=BROWSER).status_code == 401
    assert "sesame" not in html_of(client, Authorization="Bearer sesame")


# ------------------------------------------------------------------------------------------------ the session token


OTHER = {**ROW, "reward": 0.25}


def seeded_token(client: Client, row: Row, token: str = "") -> str:
    response = client.post("/seed_session", json=row, headers={TOKEN: token})
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    return response.headers[TOKEN]


def test_a_token_stands_for_the_session(probe: LiveServer) -> None:
    client = probe.client()
    client.headers[TOKEN] = seeded_token(client, ROW)
    response = client.post("/verify", json=verify_body(ROW))
    assert response.json()["reward"] == 1.0
    assert response.headers[TOKEN] == client.headers[TOKEN]
    assert client.verdict(ROW) == response.json()
    assert not client.cookies


def test_two_tokens_are_two_sessions(probe: LiveServer) -> None:
    client = probe.client()
    tokens = [seeded_token(client, row) for row in (ROW, OTHER)]
    assert len(probe.server._sessions) == 2
    for token, row in zip(tokens, (ROW, OTHER), strict=True):
        client.headers[TOKEN] = token
        assert client.verdict(row)["reward"] == row.get("reward", 1.0)


def test_a_seed_with_the_token_of_an_open_session_is_refused(probe: LiveServer) -> None:
    client = probe.client()
    token = seeded_token(client, ROW)
    refused = client.post("/seed_session", json=OTHER, headers={TOKEN: token})
    assert refused.status_code == 409
    assert refused.headers[TOKEN] == token
    assert len(probe.server._sessions) == 1


def test_the_token_goes_before_the_cookie(probe: LiveServer) -> None:
    client = probe.client()
    client.seed(ROW)
    token = seeded_token(client, OTHER)  # An empty one: no session yet, whatever the cookie says.
    assert len(probe.server._sessions) == 2
    by_token = client.post("/verify", json=verify_body(OTHER), headers={TOKEN: token}).json()
    assert (by_token["reward"], by_token["mask_sample"]) == (0.25, False)
    assert client.verdict(ROW)["reward"] == 1.0


@pytest.mark.parametrize("token", ["forged", "forged.signature", "a" * 5000])
def test_a_forged_token_is_a_forged_cookie(probe: LiveServer, token: str) -> None:
    client = probe.client()
    response = client.post("/verify", json=verify_body(ROW), headers={TOKEN: token})
    assert (response.json()["reward"], response.json()["failure_kind"]) == (0.0, "session_lost")
    assert TOKEN not in response.headers
    assert client.post("/count", json={}, headers={TOKEN: token}).status_code == 410


def test_a_token_is_not_given_unless_it_is_asked_for(probe: LiveServer) -> None:
    client = probe.client()
    assert TOKEN not in client.seed(ROW).headers
    assert TOKEN not in client.get("/tools").headers
    assert TOKEN not in client.post("/close_session").headers


def test_other_sites_cannot_send_a_token_or_read_an_answer(probe: LiveServer) -> None:
    """A page of another site has to ask first whether it may send the header: CORS is closed."""
    headers = {"Origin": "https://example.com"}
    asked = headers | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": TOKEN.lower()}
    answers = [
        requests.options(f"{probe.url}/seed_session", headers=asked, timeout=10),
        requests.post(f"{probe.url}/seed_session", headers=headers, timeout=10),
        requests.get(probe.url, headers=headers | BROWSER, timeout=10),
    ]
    assert not answers[0].ok
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
