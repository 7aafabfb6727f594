# Part of the template: changes belong there (`copier update` merges this file).
"""The schemas of the tools, as an agent and a data row have them: made from the routes, never written twice."""

import inspect
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from gymkit.tools import ToolRoute

NOT_IN_STRICT_MODE = {"default", "allOf", "oneOf", "not", "patternProperties", "prefixItems", "propertyNames"}


def tool_schemas(app: FastAPI) -> list[dict[str, Any]]:
    """The tools of an application as Responses API function tools: what a row's `tools` must hold.

    Name, description and parameters come from the route, the docstring and the request model. `strict` is set where
    OpenAI's strict mode takes the whole schema: every argument required, none other admitted, in nested objects too.
    """
    return [_schema(route) for route in tool_routes(app)]


def tool_routes(app: FastAPI) -> list[ToolRoute]:
    """The routes of an application that are tools, in the order in which they were registered."""
    return [route for route in app.routes if isinstance(route, ToolRoute) and route.is_tool]


def _schema(route: ToolRoute) -> dict[str, Any]:
    parameters: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    if route.arguments_model is not None:
        parameters = _without_titles(route.arguments_model.model_json_schema())
        parameters.pop("description", None)
    parameters.setdefault("properties", {})
    parameters.setdefault("required", [])
    return {
        "type": "function",
        "name": route.path[1:],
        "description": inspect.getdoc(route.tool_endpoint) or "",
        "parameters": parameters,
        "strict": _is_strict(parameters),
    }


def _is_strict(schema: Any) -> bool:
    """Whether strict mode takes a schema: https://platform.openai.com/docs/guides/structured-outputs."""
    if not isinstance(schema, Mapping) or NOT_IN_STRICT_MODE & schema.keys():
        return False
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", [])) != set(properties):
            return False
    elif not {"type", "enum", "const", "anyOf", "$ref"} & schema.keys():
        return False  # any value at all
    elif schema.get("type") == "array" and "items" not in schema:
        return False
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", [])]
    return all(map(_is_strict, inner + ([schema["items"]] if "items" in schema else [])))


def _without_titles(schema: Any) -> Any:
    """Drop the titles that pydantic adds: they only repeat the names."""
    if isinstance(schema, dict):
        return {
            key: {name: _without_titles(value) for name, value in item.items()}
            if key in ("properties", "$defs")
            else _without_titles(item)
            for key, item in schema.items()
            if key != "title"
        }
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    return schema
