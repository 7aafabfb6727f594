# Part of the template: changes belong there (`copier update` merges this file).
"""The schemas of the tools, as an agent and a data row have them: made from the routes, never written twice."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from gymkit.tools import ToolRoute

Schema = dict[str, Any]

STRICT_KEYWORDS = (
    {"$ref", "$defs", "anyOf", "const", "description", "enum", "type"}
    | {"additionalProperties", "properties", "required"}
    | {"items", "maxItems", "minItems"}
    | {"format", "pattern"}
    | {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}
)
"""What OpenAI documents for strict mode (developers.openai.com/api/docs/guides/structured-outputs); all else is refused
there, or may be."""
STRICT_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
STRICT_LEVELS, STRICT_PROPERTIES, STRICT_VALUES = 10, 5000, 1000
"""The most nested objects, properties in all, and values of enums in all."""


def tool_schemas(app: FastAPI) -> list[Schema]:
    """The tools of an application as Responses API function tools: what a row's `tools` must hold.

    Name, description and parameters come from the route, the docstring and the request model. `strict` is set where
    OpenAI's strict mode takes the whole schema: every argument required, none other admitted, in nested objects too.
    """
    return [_schema(route) for route in tool_routes(app)]


def tool_routes(app: FastAPI) -> list[ToolRoute]:
    """The routes of an application that are tools, in the order in which they were registered."""
    return [route for route in app.routes if isinstance(route, ToolRoute) and route.is_tool]


def _schema(route: ToolRoute) -> Schema:
    parameters = parameters_of(route.arguments_model)
    return {
        "type": "function",
        "name": route.path[1:],
        "description": inspect.getdoc(route.tool_endpoint) or "",
        "parameters": parameters,
        "strict": is_strict(parameters),
    }


def parameters_of(model: type[BaseModel] | None) -> Schema:
    """The schema of a tool's arguments, an object at its root.

    Titles are left out, which only repeat names. A reference that has a description beside it is replaced by what it
    refers to: strict mode takes a reference alone.
    """
    if model is None:
        return {"type": "object", "properties": {}, "additionalProperties": False, "required": []}
    schema = _without_titles(model.model_json_schema())
    definitions = schema.get("$defs", {})
    if "$ref" in schema:  # the root of a model that holds others of its kind
        schema = {**_referred(schema, definitions), "$defs": definitions}
    schema = _inlined(schema, definitions, ())
    used = _references(schema)
    if "$defs" in schema:
        schema["$defs"] = {name: each for name, each in schema["$defs"].items() if f"#/$defs/{name}" in used}
        if not schema["$defs"]:
            del schema["$defs"]
    schema.pop("description", None)
    schema.setdefault("properties", {})
    schema.setdefault("required", [])
    return schema


def _mapped(schema: Schema, change: Callable[[Any], Any]) -> Schema:
    """A schema with the schemas in it changed; values (examples, defaults, enums) are none, whatever they look like."""
    changed = dict(schema)
    for key, part in schema.items():
        if key in ("properties", "patternProperties", "$defs", "dependentSchemas") and isinstance(part, dict):
            changed[key] = {name: change(each) for name, each in part.items()}
        elif key in ("anyOf", "allOf", "oneOf", "prefixItems") and isinstance(part, list):
            changed[key] = [change(each) for each in part]
        elif key in SUBSCHEMAS and isinstance(part, dict):
            changed[key] = change(part)
    return changed


SUBSCHEMAS = frozenset(
    {"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else", "unevaluatedProperties"}
)


def _without_titles(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    return _mapped({key: part for key, part in schema.items() if key != "title"}, _without_titles)


def _referred(schema: Schema, definitions: Mapping[str, Any]) -> Schema:
    """What a schema's reference refers to."""
    return definitions[schema["$ref"].removeprefix("#/$defs/")]


def _inlined(schema: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """A schema with the references replaced that have a description beside them.

    Args:
        schema: The schema.
        definitions: What its references refer to.
        inside: The references that have been replaced on the way here. One that holds itself stays a reference.
    """
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and len(schema) > 1:
        beside = {key: part for key, part in schema.items() if key != "$ref"}
        if schema["$ref"] in inside:
            return {"anyOf": [{"$ref": schema["$ref"]}], **beside}
        inside = (*inside, schema["$ref"])
        schema = {**_referred(schema, definitions), **beside}
    return _mapped(schema, lambda part: _inlined(part, definitions, inside))


def _references(schema: Any) -> set[str]:
    """The references in a schema, and in the definitions that it refers to."""
    definitions = schema.get("$defs", {})
    found: set[str] = set()

    def look(part: Any) -> Any:
        if isinstance(part, dict):
            name = part.get("$ref")
            if isinstance(name, str) and name not in found:
                found.add(name)
                look(definitions.get(name.removeprefix("#/$defs/")))
            _mapped({key: each for key, each in part.items() if key != "$defs"}, look)
        return part

    look(schema)
    return found


def is_strict(schema: Schema) -> bool:
    """Whether OpenAI's strict mode takes the schema of a tool's arguments."""
    counted = {"properties": 0, "values": 0}

    def takes(part: Any, level: int) -> bool:
        if not isinstance(part, dict) or not part.keys() <= STRICT_KEYWORDS:
            return False
        if not {"type", "enum", "const", "anyOf", "$ref"} & part.keys():
            return False  # any value at all
        inner = [*part.get("anyOf", []), *part.get("$defs", {}).values()]
        if part.get("type") == "object":
            level += 1
            properties = part.get("properties", {})
            if part.get("additionalProperties") is not False or set(part.get("required", [])) != set(properties):
                return False
            counted["properties"] += len(properties)
            inner += properties.values()
        elif part.get("type") == "array":
            inner.append(part.get("items"))
        elif part.get("format", "date") not in STRICT_FORMATS or "(?" in part.get("pattern", ""):
            return False
        counted["values"] += len(part.get("enum", []))
        return level <= STRICT_LEVELS and all(takes(each, level) for each in inner)

    taken = schema.get("type") == "object" and takes(schema, 0)
    return taken and counted["properties"] <= STRICT_PROPERTIES and counted["values"] <= STRICT_VALUES
