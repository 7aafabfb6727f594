# Part of the template: changes belong there (`copier update` merges this file).
"""A type as source code, and whether JSON can hold it."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

PLAIN = (str, int, float, bool, type(None))
GENERIC: dict[Any, str] = {
    list: "list",
    dict: "dict",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    Sequence: "list",
    Iterable: "list",
    Mapping: "dict",
}
LIMITS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")


class NoJson(Exception):
    """JSON cannot hold a value of this type; the message says which."""


@dataclasses.dataclass
class Source:
    """A type as source code."""

    text: str
    json_text: str
    """The type of the JSON value that makes one."""
    imports: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    limits: str = ""
    """Of the whole value, as arguments of pydantic's `Field`."""


def source_of(hint: Any) -> Source:
    """The source code of a type.

    Raises:
        NoJson: no value of the type can be made from JSON.
    """
    try:
        TypeAdapter(hint).json_schema()
    except Exception as error:
        raise NoJson(_name(hint)) from error
    if get_origin(hint) is Annotated:
        return dataclasses.replace(_source(get_args(hint)[0]), limits=_written(limits_of(hint)))
    return _source(hint)


def _source(hint: Any) -> Source:
    origin, args = get_origin(hint), get_args(hint)
    if hint in (Any, object):
        return Source("Any", "Any", {("typing", "Any")})
    if origin is Annotated:
        return _limited(_source(args[0]), limits_of(hint))
    if origin is Literal:
        return _literal(args)
    if origin in (Union, types.UnionType):
        parts = [_source(arg) for arg in args]
        return _joined(parts, " | ".join(part.text for part in parts), " | ".join(part.json_text for part in parts))
    if origin in GENERIC:
        return _generic(GENERIC[origin], args)
    if hint in PLAIN:
        name = "None" if hint is type(None) else hint.__name__
        return Source(name, name)
    if hint in GENERIC:
        return _generic(GENERIC[hint], ())
    if isinstance(hint, type) and "<locals>" not in hint.__qualname__ and "." not in hint.__qualname__:
        return Source(hint.__name__, _json_text(hint), {(hint.__module__, hint.__name__)})
    raise NoJson(_name(hint))


def _literal(values: Sequence[Any]) -> Source:
    if not all(isinstance(value, PLAIN) and not isinstance(value, Enum) for value in values):
        raise NoJson(f"Literal[{', '.join(map(repr, values))}]")
    text = f"Literal[{', '.join(map(repr, values))}]"
    return Source(text, text, {("typing", "Literal")})


def _generic(name: str, args: Sequence[Any]) -> Source:
    json_name = "dict" if name == "dict" else "list"
    if not args or args == ((),):
        bare = {"dict": "dict[str, Any]", "tuple": "tuple[Any, ...]"}.get(name, f"{name}[Any]")
        return Source(bare, "dict[str, Any]" if name == "dict" else "list[Any]", {("typing", "Any")})
    parts = [Source("...", "...") if arg is Ellipsis else _source(arg) for arg in args]
    json_parts = [part.json_text for part in parts if part.text != "..."]
    if name == "tuple":
        json_parts = [" | ".join(dict.fromkeys(json_parts))]
    return _joined(parts, f"{name}[{', '.join(part.text for part in parts)}]", f"{json_name}[{', '.join(json_parts)}]")


def _joined(parts: Sequence[Source], text: str, json_text: str) -> Source:
    return Source(text, json_text, set().union(*(part.imports for part in parts)))


def _limited(source: Source, limits: Mapping[str, Any]) -> Source:
    if not limits:
        return source
    text = _written(limits)
    imports = source.imports | {("typing", "Annotated"), ("pydantic", "Field")}
    return Source(f"Annotated[{source.text}, Field({text})]", f"Annotated[{source.json_text}, Field({text})]", imports)


def _written(limits: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in limits.items())


def limits_of(hint: Any) -> dict[str, Any]:
    """What `Annotated` says of a value: `ge`, `max_length` and such, whether by pydantic or by annotated-types."""
    found: dict[str, Any] = {}
    for mark in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        for each in mark.metadata if isinstance(mark, FieldInfo) else [mark]:
            found |= {name: value for name in LIMITS if (value := getattr(each, name, None)) is not None}
    return {name: value for name, value in found.items() if isinstance(value, str | int | float)}


def description_in(hint: Any) -> str:
    """The description that `Annotated` gives: a text, `Field(description=...)`, or `Doc(...)`."""
    for mark in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        for text in (mark, getattr(mark, "description", None), getattr(mark, "documentation", None)):
            if isinstance(text, str):
                return text
    return ""


def _json_text(hint: type) -> str:
    """The JSON value that makes an object of a class."""
    if issubclass(hint, Enum):
        return _literal([member.value for member in hint]).json_text
    if issubclass(hint, BaseModel) or dataclasses.is_dataclass(hint) or typing.is_typeddict(hint):
        return "dict[str, Any]"
    kind = TypeAdapter(hint).json_schema().get("type")
    return {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}.get(str(kind), "Any")


def default_source(value: Any) -> Source | None:
    """A default as source code; None where it is no value that a reader of the code would write down."""
    if isinstance(value, Enum):
        kind = type(value)
        return Source(f"{kind.__name__}.{value.name}", repr(value.value), {(kind.__module__, kind.__name__)})
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, PLAIN):
        return Source(repr(value), repr(value))
    if isinstance(value, list | tuple) and all(isinstance(each, PLAIN) for each in value):
        return Source(repr(value), repr(value))
    if isinstance(value, dict) and all(isinstance(each, PLAIN) for pair in value.items() for each in pair):
        return Source(repr(value), repr(value))
    return None


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
