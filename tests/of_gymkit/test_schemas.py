"""The schemas of tools: `strict` where OpenAI's strict mode takes all of it, as OpenAI's own client converts it."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from openai import pydantic_function_tool
from pydantic import BaseModel, Field

from gymkit.schemas import STRICT_KEYWORDS, is_strict, parameters_of
from gymkit.tools import ToolRequest


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Flat(ToolRequest):
    word: str = Field(description="A word.")
    kind: Literal["a", "b"]
    words: list[str] = Field(min_length=1, max_length=5)
    maybe: int | None = Field(ge=0, le=9)


class Point(ToolRequest):
    """A point."""

    x: int
    y: int


class Nested(ToolRequest):
    point: Point
    several: list[Point]


class Described(ToolRequest):
    start: Point = Field(description="Where it begins.")
    end: Point = Field(description="Where it ends.")
    colour: Colour = Field(description="Its colour.")


class Node(ToolRequest):
    value: int
    children: list["Node"]


class DescribedNode(ToolRequest):
    value: int
    children: list[Annotated["DescribedNode", Field(description="A child.")]]


class Either(ToolRequest):
    shape: Point | Colour | str = Field(description="One of them.")


class Dates(ToolRequest):
    day: date
    moment: datetime | None


class WithDefault(ToolRequest):
    word: str = "crane"


class Table(ToolRequest):
    cells: dict[str, int]


class Anything(ToolRequest):
    value: Any


class Loose(BaseModel):
    x: int


class LooselyNested(ToolRequest):
    inner: Loose


class Lengths(ToolRequest):
    word: str = Field(min_length=1)


MODELS: list[tuple[type[BaseModel], bool]] = [
    *((model, True) for model in (Flat, Nested, Described, Node, DescribedNode, Either, Dates)),
    *((model, False) for model in (WithDefault, Table, Anything, LooselyNested, Lengths, Loose)),
]


@pytest.mark.parametrize(("model", "strict"), MODELS, ids=[model.__name__ for model, _ in MODELS])
def test_a_schema_is_strict_where_openais_rules_hold_for_all_of_it(model: type[BaseModel], strict: bool) -> None:
    schema = parameters_of(model)
    assert is_strict(schema) is strict
    assert schema["type"] == "object"
    assert "title" not in json.dumps(schema)
    for part in parts(schema):
        assert "$ref" not in part or len(part) == 1, "strict mode takes a reference alone"
        if strict:
            assert part.keys() <= STRICT_KEYWORDS
            if part.get("type") == "object":
                assert part["additionalProperties"] is False
                assert sorted(part["required"]) == sorted(part["properties"])


@pytest.mark.parametrize("model", [model for model, strict in MODELS if strict and model not in (Node, DescribedNode)])
def test_it_is_what_openais_client_makes_of_the_model(model: type[BaseModel]) -> None:
    """Of recursive models it makes a reference at the root, which the API refuses, or does not come to an end."""
    theirs: Any = pydantic_function_tool(model)["function"]
    assert comparable(parameters_of(model)) == comparable(theirs["parameters"])
    assert theirs["strict"] is True


def test_models_that_hold_themselves_are_objects_at_the_root() -> None:
    for model in (Node, DescribedNode):
        schema = parameters_of(model)
        assert schema["properties"]["value"] == {"type": "integer"}
        assert list(schema["$defs"]) == [model.__name__]


def test_examples_keep_all_their_keys() -> None:
    example = {"title": "Dune", "properties": {"title": "x"}}

    class Books(ToolRequest):
        book: dict[str, Any] = Field(examples=[example], description="A book.")
        title: str = Field(default="title", json_schema_extra={"enum": ["title"]})

    properties = parameters_of(Books)["properties"]
    assert properties["book"]["examples"] == [example]
    assert properties["title"] == {"default": "title", "enum": ["title"], "type": "string"}


def test_a_schema_beyond_the_documented_limits_is_not_strict() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(11):
        schema = {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}
    assert not is_strict(schema)
    assert is_strict(schema["properties"]["x"])
    long = {"type": "string", "enum": [str(number) for number in range(1001)]}
    assert not is_strict({**schema, "properties": {"x": long}})
    assert not is_strict({"anyOf": [parameters_of(Flat)]})


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """All schemas in a schema."""
    if isinstance(schema, dict):
        yield schema
        named = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
        for part in (*named, *schema.get("anyOf", []), schema.get("items")):
            yield from parts(part)


def comparable(schema: Any) -> Any:
    """A schema without titles and descriptions, and with nothing defined: what it says of the values alone."""
    definitions = schema.get("$defs", {})

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return plain(definitions[part["$ref"].removeprefix("#/$defs/")])
        return {
            key: {name: plain(each) for name, each in value.items()}
            if key == "properties"
            else sorted(value)
            if key == "required"
            else plain(value)
            for key, value in part.items()
            if key not in ("title", "description", "$defs")
        }

    return plain(schema)
