# Part of the template: changes belong there (`copier update` merges this file).
"""A tool as the Python function that TRL wants: its schema is made again from type hints and a docstring.

Type hints hold types, enums and which arguments are required. What they cannot hold of a plain value (limits, patterns,
defaults) goes into the description. What no description can carry is refused, by the names of tool and argument.
"""

import inspect
import keyword
from collections.abc import Callable
from typing import Any, Literal, Optional, Union

from gymkit.errors import CommandError

Schema = dict[str, Any]

RESERVED = frozenset({"reset", "get_reward"})
"""What TRL itself calls on an environment."""
SCALARS = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict}
LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "of the pattern {}",
    "format": "a {}",
    "default": "default: {}",
}
"""How a description says what a type hint cannot."""
HELD = {"type", "enum", "const", "anyOf", "items", "description", "$ref", "$defs", "title", "examples"}


class SchemaRefused(CommandError):
    """A tool that cannot be shown to a model by TRL. The message names it, and the argument."""


def tool_method(tool: Schema, call: Callable[[Any, str, dict[str, Any]], Any]) -> Callable[..., Any]:
    """A method with the name, the signature and the docstring of a tool.

    Args:
        tool: As `GET /tools` gives it.
        call: What the method does: it is handed the instance, the tool's name and the arguments that the model gave.

    Raises:
        SchemaRefused: it cannot be shown to a model in this way.
    """
    name, parameters = tool["name"], tool["parameters"]
    if name in RESERVED or name.startswith("_"):
        raise SchemaRefused(f"The tool {name!r}: TRL keeps this name for itself. Rename the tool in server.py.")
    definitions, required = parameters.get("$defs", {}), parameters.get("required", [])

    def method(self: Any, **arguments: Any) -> Any:
        return call(self, name, arguments)

    signature = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    lines = [_line(tool.get("description") or name), "", "Args:"]
    hints: dict[str, Any] = {}
    for argument, schema in parameters.get("properties", {}).items():
        place = f"The tool {name!r}, argument {argument!r}"
        if not argument.isidentifier() or keyword.iskeyword(argument) or argument in ("self", "return"):
            raise SchemaRefused(f"{place}: Python keeps this name for itself. Rename the argument in server.py.")
        limits: list[str] = []
        hints[argument] = _hint(schema, definitions, place, limits)
        # Any default: the model is not shown it as such, and what it leaves out is not sent.
        default = inspect.Parameter.empty if argument in required else None
        signature.append(
            inspect.Parameter(argument, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[argument])
        )
        lines.append(f"    {argument}: {described(argument, schema, limits)}")
    method.__name__ = method.__qualname__ = name
    method.__annotations__ = hints
    method.__signature__ = inspect.Signature(signature)  # pyright: ignore[reportFunctionMemberAccess]
    method.__doc__ = "\n".join(lines if hints else lines[:1])
    return method


def described(argument: str, schema: Schema, limits: list[str]) -> str:
    """The description of an argument, with its limits behind it."""
    text = _line(schema.get("description") or argument)
    return f"{text} ({'; '.join(limits)})" if limits else text


def check_carried(tool: Schema, seen: Schema) -> None:
    """Compare a tool with the schema that TRL will show to the model.

    Args:
        tool: As `GET /tools` gives it.
        seen: What `transformers.utils.get_json_schema` makes of its method.

    Raises:
        SchemaRefused: a name, a type, an enum, a description or what is required is not the same.
    """
    function, parameters = seen["function"], tool["parameters"]
    definitions = parameters.get("$defs", {})
    if _line(function["description"]) != _line(tool.get("description") or tool["name"]):
        raise SchemaRefused(f"The tool {tool['name']!r}: its description would reach the model as {_cut(function)}")
    shown = function["parameters"]
    if set(shown.get("required", [])) != set(parameters.get("required", [])):
        raise SchemaRefused(f"The tool {tool['name']!r}: other arguments would be required: {_cut(shown)}")
    wanted = parameters.get("properties", {})
    if list(shown["properties"]) != list(wanted):
        raise SchemaRefused(f"The tool {tool['name']!r}: its arguments would reach the model as {_cut(shown)}")
    for argument, schema in wanted.items():
        limits: list[str] = []
        _hint(schema, definitions, "", limits)
        arrived = shown["properties"][argument]
        if arrived.get("description") != described(argument, schema, limits) or (
            _kinds(arrived, {}) != _kinds(schema, definitions)
        ):
            raise SchemaRefused(
                f"The tool {tool['name']!r}, argument {argument!r}: it would reach the model as {_cut(arrived)}"
            )


def _hint(schema: Schema, definitions: Schema, place: str, limits: list[str]) -> Any:
    """The type hint of a schema. What it does not hold is added to `limits`, in words."""
    if "$ref" in schema:
        return _hint(definitions[schema["$ref"].rpartition("/")[2]], definitions, place, limits)
    extra = set(schema) - HELD - set(LIMITS) - {"properties", "required", "additionalProperties"}
    if extra:
        raise SchemaRefused(
            f"{place}: TRL makes schemas from type hints, which cannot hold {', '.join(sorted(extra))}."
        )
    if schema.get("properties"):
        raise SchemaRefused(
            f"{place}: it is an object with fields of its own, and TRL makes schemas from type hints, which hold none. "
            "Make its fields arguments of the tool, or train with NeMo RL or verifiers."
        )
    limits += [text.format(schema[key]) for key, text in LIMITS.items() if schema.get(key) is not None]
    if "const" in schema or "enum" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not all(isinstance(value, str | int | bool) for value in values):
            raise SchemaRefused(f"{place}: TRL cannot hold the choices {values}.")
        return Literal[tuple(values)]
    if "anyOf" in schema:
        kinds = [part for part in schema["anyOf"] if part.get("type") != "null"]
        hints = tuple(_hint(part, definitions, place, limits) for part in kinds)
        union = Union[hints]  # noqa: UP007
        return Optional[union] if len(kinds) < len(schema["anyOf"]) else union  # noqa: UP045
    if schema.get("type") == "array":
        return list[_hint(schema["items"], definitions, place, limits)] if schema.get("items") else list
    if schema.get("type") not in SCALARS:
        raise SchemaRefused(f"{place}: TRL cannot hold the type {schema.get('type', 'any')!r}.")
    return SCALARS[schema["type"]]


def _kinds(schema: Schema, definitions: Schema) -> frozenset[Any]:
    """The values that a schema takes, as far as types and enums say: in transformers' form as in pydantic's."""
    if "$ref" in schema:
        return _kinds(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    nullable: frozenset[Any] = frozenset({"null"} if schema.get("nullable") else ())
    if "anyOf" in schema:
        return nullable.union(*(_kinds(part, definitions) for part in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return nullable | {("value", value) for value in schema.get("enum", [schema.get("const")])}
    types = schema.get("type")
    if types == "array":
        return nullable | {("array", _kinds(schema.get("items") or {}, definitions))}
    return nullable | set(types if isinstance(types, list) else [types])


def _line(text: str) -> str:
    return " ".join(text.split())


def _cut(value: Any) -> str:
    return str(value)[:300]
