# Part of the template: changes belong there (`copier update` merges this file).
"""The page at `/`: what the environment is, a form for each tool, the transcript and the verdict, for a person to play.

The HTML is made here, from the routes, the config and the demo row; page.js plays. Style and script stand in the page
itself, so that it is one request, also where an API key is wanted: then a browser first gets the page without content,
which asks for the key, and fetches the content with it.
"""

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Scope

from gymkit import project
from gymkit.turns import USER_TURN

FRAME_ANCESTORS = "'self' https://huggingface.co"
"""Sites that may show the page in a frame, unless ENV_FRAME_ANCESTORS names others."""

Schema = Mapping[str, Any]


def is_wanted(scope: Scope) -> bool:
    """Whether a request is a browser's for the page. Health checks and API clients (`*/*`, JSON, HEAD) get JSON."""
    if scope["method"] != "GET" or scope["path"] != "/":
        return False
    quality = {"text/html": 0.0, "application/json": 0.0}
    for part in ",".join(Headers(scope=scope).getlist("accept")).split(","):
        media_type, *parameters = (text.strip().lower() for text in part.split(";"))
        if media_type in quality:
            weights = [text[2:] for text in parameters if text.startswith("q=")]
            try:
                quality[media_type] = float(weights[0]) if weights else 1.0
            except ValueError:
                continue
    return quality["text/html"] > quality["application/json"]


def locked() -> HTMLResponse:
    """The page that asks for the API key. It says nothing of the environment."""
    return _response("API key", "", status=401)


def page(
    tools: list[dict[str, Any]],
    row: Mapping[str, Any],
    url: str,
    *,
    with_key: bool,
    with_answer: bool,
    with_user: bool,
) -> HTMLResponse:
    """The page of the environment.

    Args:
        tools: The tools, as Responses API function tools.
        row: The demo row. What its agent gets to see is shown, nothing else.
        url: Where the environment is reached, for the snippets. The script puts in what the browser knows better.
        with_key: Whether callers need the API key.
        with_answer: Whether what the player says matters to the grade: then there is a form for it.
        with_user: Whether a user answers what the player says: then there is a form for that.
    """
    _, settings = project.resources_server_instance()
    title = project.environment_name().replace("_", " ").title()
    params = row["responses_create_params"]
    task = {"task_id": row.get("task_id"), "responses_create_params": {**params, "tools": tools}}
    content = Template(_file("content.html")).substitute(
        title=escape(title),
        description=escape(settings.get("description") or ""),
        prompt="".join(_messages(params["input"])),
        tools="".join(map(_tool, tools, _open_or_not(len(tools))))
        + (_user_form() if with_user else "")
        + (_ANSWER_FORM if with_answer else ""),
        heading="Tools" if tools else "Answer",
        key_hint=" The key is read from the variable <code>ENV_API_KEY</code>." if with_key else "",
        curl=escape(_curl(url, tools, with_key, with_answer)),
        python=escape(_python(url, tools, with_key, with_answer)),
        url=escape(url),
        # No `<` in it can end the script element.
        task=json.dumps(task).replace("<", "\\u003c"),
    )
    return _response(title, content)


# ------------------------------------------------------------------------------------------------------ the document


def _response(title: str, content: str, status: int = 200) -> HTMLResponse:
    style, script = _file("page.css"), _file("page.js")
    document = Template(_file("page.html")).substitute(
        title=escape(title),
        style=style,
        script=script,
        content=content,
        key_form_hidden="hidden" if content else "",
    )
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        # X-Frame-Options knows no list of sites.
        "frame-ancestors": os.environ.get("ENV_FRAME_ANCESTORS") or FRAME_ANCESTORS,
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return HTMLResponse(document, status, headers)


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@cache
def _hash(text: str) -> str:
    """How a Content-Security-Policy names a script or style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _messages(items: str | Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """The task's messages, texts and pictures."""
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        content = item.get("content") or ""
        parts = [{"text": content}] if isinstance(content, str) else content
        role = item.get("role", "")
        if role not in ("", "user"):
            yield f'<p class="role">{escape(role)}</p>'
        for part in parts:
            if part.get("text"):
                yield f'<p class="text">{escape(part["text"])}</p>'
            elif str(part.get("image_url")).startswith("data:image/"):
                yield f'<img src="{escape(part["image_url"])}" alt="Picture of the task">'


# --------------------------------------------------------------------------------------------------- a tool's form


def _open_or_not(tools: int) -> list[str]:
    """The attributes of the tools' `<details>`: of many, one is open at a time."""
    return ["open"] * tools if tools < 3 else ['name="tool" open'] + ['name="tool"'] * (tools - 1)


def _user_form() -> str:
    """The form by which a player talks to the user, or is the user himself. It is posted like a tool's."""
    name = USER_TURN[1:]
    said = {"type": "string", "description": "What is said to the user."}
    answer = {"type": "string", "description": "What he answers, where a person plays him; else he does so himself."}
    leaves = {"type": "boolean", "description": "Whether he leaves with that.", "default": False}
    return f"""<details class="tool" open>
<summary>The user</summary>
<form data-tool="{name}">
{_field(f"{name}-text", "text", said, {}, True)}
{_field(f"{name}-answer", "answer", answer, {}, False)}
{_field(f"{name}-leaves", "leaves", leaves, {}, False)}
<button class="primary">Say it</button>
</form>
</details>
"""


def _tool(tool: Mapping[str, Any], attributes: str) -> str:
    name, parameters = escape(tool["name"]), tool["parameters"]
    required = parameters.get("required", [])
    fields = [
        _field(f"{tool['name']}-{key}", key, field, parameters, key in required)
        for key, field in parameters["properties"].items()
    ]
    return f"""<details class="tool" {attributes}>
<summary><code>{name}</code></summary>
<form data-tool="{name}">
<p class="text">{escape(tool["description"])}</p>
{"".join(fields)}
<button class="primary">Call {name}</button>
</form>
<details class="schema">
<summary>As the model sees it</summary>
<pre tabindex="0">{escape(json.dumps(tool, indent=2, ensure_ascii=False))}</pre>
</details>
</details>
"""


_ANSWER_FORM = """<form id="answer-form">
<div class="field">
<label for="answer">Say something <span class="type">what the model would say</span></label>
<textarea id="answer" rows="2" aria-describedby="answer-hint" required></textarea>
<p class="hint" id="answer-hint">The last thing that you say is the answer that is graded.</p>
</div>
<button class="primary">Say it</button>
</form>
"""


def _field(field_id: str, name: str, schema: Schema, root: Schema, required: bool) -> str:
    """A parameter's label, control and hint. page.js reads a control as its `data-kind` and `data-absent` say."""
    schema, nullable = _plain(schema, root)
    kind = _kind(schema, root)
    default = schema.get("default")
    notes = [_type(schema, root)]
    if not required:
        notes.append("optional" if default is None else f"optional, else {json.dumps(default, ensure_ascii=False)}")
    elif nullable:
        notes.append("may be empty")
    absent = "omit" if not required else "null" if nullable else "keep"
    field_id = escape(field_id)
    attributes = (
        f'id="{field_id}" name="{escape(name)}" data-kind="{kind}" data-absent="{absent}" '
        f'aria-describedby="{field_id}-hint"'
    )
    hint = f"{schema.get('description', '')} {_HOW_TO_TYPE.get(kind, '')}".strip()
    return f"""<div class="field">
<label for="{field_id}"><code>{escape(name)}</code> <span class="type">{escape(", ".join(notes))}</span></label>
{_control(kind, schema, attributes, required=required and not nullable)}
<p class="hint" id="{field_id}-hint">{escape(hint)}</p>
</div>
"""


_HOW_TO_TYPE = {"list": "One a line.", "json": "As JSON."}


def _kind(schema: Schema, root: Schema) -> str:
    """How a value is typed in: `choice`, `number`, `text`, `list` (of texts), or `json` for all the rest."""
    kind = schema.get("type")
    if "enum" in schema or "const" in schema or kind == "boolean":
        return "choice"
    if kind == "array" and _plain(schema.get("items", {}), root)[0].get("type") == "string":
        return "list"
    return {"integer": "number", "number": "number", "string": "text"}.get(str(kind), "json")


def _control(kind: str, schema: Schema, attributes: str, *, required: bool) -> str:
    """The HTML of a control."""
    must = "required" if required else ""
    if kind == "choice":
        return f"<select {attributes}>{_options(schema, required)}</select>"
    if kind == "number":
        names = {"min": "minimum", "max": "maximum"}
        limits = " ".join(f'{html}="{schema[name]}"' for html, name in names.items() if name in schema)
        step = "1" if schema["type"] == "integer" else "any"
        return f'<input type="number" step="{step}" {limits} {must} {attributes}>'
    typed_as_it_is = 'autocapitalize="off" autocomplete="off" autocorrect="off" spellcheck="false"'
    rows = 1 if kind == "text" else 2
    return f'<textarea rows="{rows}" {typed_as_it_is} {must if kind == "json" else ""} {attributes}></textarea>'


def _options(schema: Schema, required: bool) -> str:
    """The choices, as JSON with a label; without a default, one that need not be made comes first as none."""
    default = schema.get("default")
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [False, True])
    options = [] if required or default is not None else ['<option value="">(none)</option>']
    for choice in choices:
        value = json.dumps(choice, ensure_ascii=False)
        label = choice if isinstance(choice, str) else value
        options.append(
            f'<option value="{escape(value)}" {"selected" if choice == default else ""}>{escape(label)}</option>'
        )
    return "".join(options)


def _plain(schema: Schema, root: Schema) -> tuple[Schema, bool]:
    """A parameter's schema without references, and whether it may be null."""
    nullable = False
    while True:
        outer = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf")}
        if "$ref" in schema:
            inner = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        elif len(schema.get("allOf", ())) == 1:
            inner = schema["allOf"][0]
        elif len(others := [item for item in schema.get("anyOf", ()) if item.get("type") != "null"]) == 1:
            nullable = nullable or len(schema["anyOf"]) > 1
            inner = others[0]
        else:
            return schema, nullable
        schema = {**inner, **outer}


def _type(schema: Schema, root: Schema) -> str:
    """The kind of value, in words."""
    if "enum" in schema or "const" in schema:
        return "choice"
    kind = schema.get("type", "any value")
    if kind == "array":
        items, _ = _plain(schema.get("items", {}), root)
        return f"list of {items.get('type', 'value')}s"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    if low is not None or high is not None:
        return f"{kind}, at least {low}" if high is None else f"{kind}, at most {high}"
    return kind


# -------------------------------------------------------------------------------------------------------- snippets
# `/verify` wants a model's response: an empty one where the server grades its own state, else one with an answer.


def _curl(url: str, tools: list[dict[str, Any]], with_key: bool, with_answer: bool) -> str:
    key = ' \\\n  -H "Authorization: Bearer $ENV_API_KEY"' if with_key else ""
    commands = [f"curl -c cookies.txt -X POST {url}/seed_session{key}"]
    if tools:
        name, arguments = _example_call(tools)
        data = shlex.quote(json.dumps(arguments, ensure_ascii=False))
        commands.append(f"curl -b cookies.txt {url}/{name}{key} \\\n  -d {data}")
    output = json.dumps(_output(with_answer), indent=1).replace("\n", "\n" + " " * 20)
    commands.append(f"""curl -b cookies.txt {url}/verify{key} \\
  -d '{{"responses_create_params": {{"input": []}},
       "response": {{"id": "r1", "created_at": 0, "model": "me",
                    "object": "response", "output": {output},
                    "tools": [], "tool_choice": "auto",
                    "parallel_tool_calls": false}}}}'
""")
    return "\n\n".join(commands)


def _python(url: str, tools: list[dict[str, Any]], with_key: bool, with_answer: bool) -> str:
    imports = "import os\n\nimport requests" if with_key else "import requests"
    key = 'session.headers["Authorization"] = f"Bearer {os.environ[\'ENV_API_KEY\']}"\n' if with_key else ""
    call = ""
    if tools:
        name, arguments = _example_call(tools)
        call = f"""arguments = {_literal(arguments)}
answer = session.post(f"{{url}}/{name}", json=arguments)
print(answer.json())

"""
    output = json.dumps(_output(with_answer), indent=1).replace("\n", "\n" + " " * 12)
    return f"""{imports}

url = "{url}"
session = requests.Session()  # it keeps the episode's cookie
{key}session.post(f"{{url}}/seed_session").raise_for_status()

{call}response = {{"id": "r1", "created_at": 0, "model": "me",
            "object": "response", "output": {output}, "tools": [],
            "tool_choice": "auto", "parallel_tool_calls": False}}
body = {{"responses_create_params": {{"input": []}}, "response": response}}
verdict = session.post(f"{{url}}/verify", json=body)
print("Reward:", verdict.json()["reward"])
"""


def _output(with_answer: bool) -> list[dict[str, Any]]:
    """The output of the snippets' response: one message, where what is said is graded."""
    text = {"type": "output_text", "text": "Your answer", "annotations": []}
    said = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [text]}
    return [said] if with_answer else []


def _literal(value: Any) -> str:
    """A JSON value as Python writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _example_call(tools: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The first tool, with the arguments that it must have."""
    parameters = tools[0]["parameters"]
    properties = parameters["properties"]
    return tools[0]["name"], {key: _example(properties[key], parameters) for key in parameters.get("required", [])}


def _example(schema: Schema, root: Schema) -> Any:
    """Some value that a schema allows."""
    schema, nullable = _plain(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [_example(schema.get("items", {}), root)] * max(1, schema.get("minItems", 0))
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {key: _example(properties[key], root) for key in schema.get("required", [])}
    values = {"string": "...", "boolean": False, "integer": schema.get("minimum", 1), "number": 1.0}
    return values.get(schema.get("type", ""), None if nullable else "...")
