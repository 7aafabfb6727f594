# Part of the template: changes belong there (`copier update` merges this file).
"""Arguments of a tool made from its schema: any that it admits, or a given text wherever one fits."""

from collections.abc import Mapping
from random import Random
from typing import Any

from gymkit.items import Item

Schema = Mapping[str, Any]

DEEPEST = 6


def takes_text(tool: Item) -> bool:
    """Whether a tool has an argument for any text."""
    parameters = tool["parameters"]
    return any(_is_text(schema, parameters) for schema in parameters.get("properties", {}).values())


def with_text(tool: Item, text: str, random: Random) -> dict[str, Any]:
    """Arguments in which each one that takes any text is the given one."""
    parameters = tool["parameters"]
    arguments = any_arguments(tool, random, [text])
    return arguments | {
        name: text for name, schema in parameters.get("properties", {}).items() if _is_text(schema, parameters)
    }


def any_arguments(tool: Item, random: Random, words: list[str]) -> dict[str, Any]:
    """Arguments that the schema admits; texts are some of the words, or of letters drawn at random."""
    parameters = tool["parameters"]
    return _object(parameters, parameters, random, words, 0)


def _is_text(schema: Schema, root: Schema) -> bool:
    schema = _resolved(schema, root)
    return schema.get("type") == "string" and "enum" not in schema and "const" not in schema


def _resolved(schema: Schema, root: Schema) -> Schema:
    """A schema with its reference followed, and without a null beside it."""
    for _ in range(DEEPEST):
        if "$ref" in schema:
            schema = root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
        elif "anyOf" in schema or "oneOf" in schema:
            choices = schema.get("anyOf") or schema["oneOf"]
            schema = next((choice for choice in choices if choice.get("type") != "null"), {})
        else:
            break
    return schema


def _object(schema: Schema, root: Schema, random: Random, words: list[str], depth: int) -> dict[str, Any]:
    required = schema.get("required", [])
    return {
        name: _value(inner, root, random, words, depth + 1)
        for name, inner in schema.get("properties", {}).items()
        if name in required or (depth < DEEPEST and random.random() < 0.5)
    }


def _value(schema: Schema, root: Schema, random: Random, words: list[str], depth: int) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return random.choice(list(schema["enum"]))
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, root, random, words, depth)
    if kind == "array":
        least = schema.get("minItems", 0 if depth > DEEPEST else 1)
        return [_value(schema.get("items", {}), root, random, words, depth + 1) for _ in range(least)]
    if kind in ("integer", "number"):
        return _number(schema, random)
    if kind == "boolean":
        return random.random() < 0.5
    if kind == "null":
        return None
    return _text(schema, random, words)


def _number(schema: Schema, random: Random) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 1000))
    if schema["type"] == "integer":
        least = int(low) + ("minimum" not in schema and "exclusiveMinimum" in schema)
        most = int(high) - ("maximum" not in schema and "exclusiveMaximum" in schema)
        return random.randint(least, max(least, most))
    # Not the ends themselves, which may be excluded; and no long waits.
    return low + (high - low) * random.uniform(0.01, 0.1)


def _text(schema: Schema, random: Random, words: list[str]) -> str:
    least, most = schema.get("minLength", 1), schema.get("maxLength", 10_000)
    text = random.choice(words) if words and random.random() < 0.5 else ""
    while len(text) < max(least, 1):
        text += random.choice("abcdefghijklmnopqrstuvwxyz") if len(text) % 6 < 5 else " "
    return text[:most]
