# Part of the template: changes belong there (`copier update` merges this file).
"""`/openapi.json`: what the endpoints really take and answer, in the environment's own words."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gymkit import project
from gymkit.tools import ToolRoute

Schema = dict[str, Any]

ERROR = {"$ref": "#/components/schemas/Error"}
COMPONENTS: Schema = {
    "Error": {
        "type": "object",
        "description": "What went wrong, as a text that a model can read.",
        "properties": {"output": {"type": "string"}},
        "required": ["output"],
    },
    "Tool": {
        "type": "object",
        "description": "A function tool of OpenAI's Responses API.",
        "properties": {
            "type": {"const": "function"},
            "name": {"type": "string"},
            "description": {"type": "string"},
            "parameters": {"type": "object"},
            "strict": {"type": "boolean"},
        },
        "required": ["type", "name", "description", "parameters", "strict"],
    },
    "Verdict": {
        "type": "object",
        "description": "The body of the request, with the verdict's fields.",
        "properties": {
            "reward": {"type": "number"},
            "mask_sample": {"type": "boolean", "description": "Whether the environment has spoiled the sample."},
            "failure_kind": {"type": ["string", "null"]},
            "failure_reason": {"type": ["string", "null"]},
        },
        "required": ["reward", "mask_sample"],
    },
    "Identity": {
        "type": "object",
        "properties": {"resources_session_id": {"type": ["string", "null"]}},
    },
}
ANY_STATUS = {
    "413": "The body is too large.",
    "500": "The environment failed; its log has the reason.",
    "503": "The environment is full, or is stopping. Retry-After says when to ask again.",
}
CONTROL: dict[str, Schema] = {
    "/seed_session": {
        "summary": "Begin an episode",
        "description": "The body is empty, `{}`, a whole data row, or NeMo Gym 0.7's typed request. Without a row the "
        "public demo row is played. The answer sets the session's cookie.",
        "body": {"type": "object", "description": "A data row."},
        "answer": {"$ref": "#/components/schemas/Identity"},
        "statuses": {
            "409": "The session has ended, or its episode has no verdict yet.",
            "422": "The body is no JSON object, or no episode can be made from the row.",
        },
    },
    "/verify": {
        "summary": "Grade the episode and end it",
        "description": "The body is the whole row that the session was seeded with, with the model's `response`. "
        "Without that, the verdict is masked.",
        "body": {"type": "object", "description": "A data row with `responses_create_params` and `response`."},
        "answer": {"$ref": "#/components/schemas/Verdict"},
        "statuses": {"422": "The body is no JSON object, or has no response."},
    },
    "/close_session": {
        "summary": "End the session",
        "description": "That of the body's `resources_session_id`, else that of the cookie. It may be called again.",
        "body": {"$ref": "#/components/schemas/Identity"},
        "answer": {"$ref": "#/components/schemas/Identity"},
        "statuses": {"422": "The body is no JSON object, or names no session."},
    },
    "/aggregate_metrics": {
        "summary": "Statistics of many verdicts",
        "description": "NeMo Gym's own.",
        "body": {
            "type": "object",
            "properties": {"verify_responses": {"type": "array", "items": {"type": "object"}}},
            "required": ["verify_responses"],
        },
        "answer": {"type": "object"},
        "statuses": {"422": "The body is no JSON object, or holds no verdicts."},
    },
    "/tools": {
        "summary": "The tools",
        "description": "As an agent gets them.",
        "answer": {"type": "array", "items": {"$ref": "#/components/schemas/Tool"}},
        "statuses": {},
    },
    "/metrics": {
        "summary": "Metrics",
        "description": "Of sessions, tools, verdicts and the process, in the form of Prometheus.",
        "answer": {"type": "string"},
        "content_type": "text/plain",
        "statuses": {},
    },
}


def document(app: FastAPI, with_key: bool, with_rate_limit: bool) -> Schema:
    """The OpenAPI document of an application.

    Args:
        app: The application.
        with_key: Whether it wants an API key.
        with_rate_limit: Whether callers may be told that they are too fast.
    """
    if app.openapi_schema is None:
        _, settings = project.resources_server_instance()
        made = get_openapi(
            title=project.environment_name(),
            version=str(project.load_manifest().get("version", "0")),
            description=str(settings.get("description", "")),
            routes=app.routes,
        )
        made.setdefault("components", {}).setdefault("schemas", {}).update(COMPONENTS)
        statuses = dict(ANY_STATUS)
        if with_key:
            made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"key": []}]
            statuses["401"] = "The API key is missing or wrong."
        if with_key or with_rate_limit:
            statuses["429"] = "Too many requests. Retry-After says when to ask again."
        for route in app.routes:
            if isinstance(route, ToolRoute) and route.is_tool and route.arguments_model is not None:
                needed = any(field.is_required() for field in route.arguments_model.model_fields.values())
                made["paths"][route.path]["post"]["requestBody"]["required"] = needed
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                _describe(path, operation)
                if method == "post":
                    _answer(operation, {**statuses, "403": "A page of another site may not call."})
                else:
                    _answer(operation, {key: text for key, text in statuses.items() if key != "413"})
        app.openapi_schema = made
    return app.openapi_schema


def _describe(path: str, operation: Schema) -> None:
    """Say of an endpoint what FastAPI cannot know of it."""
    known = CONTROL.get(path)
    if known is None:
        content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
        schema = content.get("schema")
        if "410" in operation["responses"] and schema:  # A tool: one that comes to nothing answers with a text
            content["schema"] = {"anyOf": [schema, ERROR]}
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")) and "content" not in response:
                response["content"] = {"application/json": {"schema": ERROR}}
        return
    operation["summary"], operation["description"] = known["summary"], known["description"]
    if "body" in known:
        operation["requestBody"] = {
            "required": "required" in known["body"],
            "content": {"application/json": {"schema": known["body"]}},
        }
    answer = {
        "description": "Done.",
        "content": {known.get("content_type", "application/json"): {"schema": known["answer"]}},
    }
    operation["responses"] = {"200": answer}
    _answer(operation, known["statuses"])


def _answer(operation: Schema, statuses: dict[str, str]) -> None:
    for status, text in statuses.items():
        response = {"description": text, "content": {"application/json": {"schema": ERROR}}}
        operation["responses"].setdefault(status, response)
