# Part of the template: changes belong there (`copier update` merges this file).
"""What has been read of a domain's class: plain data, which JSON can hold and `gymkit wrap --check` compares."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from gymkit.errors import CommandError


class WrapError(CommandError):
    """What is asked for cannot be wrapped. The message is one line that names the file and the remedy."""


@dataclass
class Parameter:
    """One argument of a method, a function or a constructor."""

    name: str
    type: str
    """As source code."""
    imports: list[tuple[str, str]]
    """What the source code needs: `(module, name)`."""
    json_type: str
    """The type of the JSON value that makes it, as source code that needs `typing` alone."""
    description: str
    default: str | None = None
    """As source code; None where it has to be given."""
    json_default: str | None = None
    """The default as a JSON value has it, as source code."""
    described: bool = True
    """Whether the description is the author's."""
    limits: str = ""
    """As arguments of pydantic's `Field`: `ge=0, le=9`."""
    typed: bool = True
    """Whether it has a type. Without one it is a text."""


@dataclass
class Method:
    """What becomes a tool."""

    name: str
    description: str
    parameters: list[Parameter]
    is_async: bool = False
    returns_text: bool = False


@dataclass
class Interface:
    """A class, or a module of functions."""

    shape: str
    """class, gymnasium, dataset, functions, or answers: a hand-made server without tools."""
    module: str
    name: str
    """The class; empty for functions."""
    file: str
    summary: str
    """The first sentence of its docstring."""
    constructor: list[Parameter] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)
    members: dict[str, str] = field(default_factory=dict)
    """What can be the reward: `property`, `method` or `async method`, by name."""
    truths: list[str] = field(default_factory=list)
    """Those of them that are bools."""
    close: str | None = None
    """`method` or `async method`, where the class has a `close()`."""
    render: str | None = None
    """The render mode of a Gymnasium environment."""


ADAPTER: TypeAdapter[Interface] = TypeAdapter(Interface)


def as_data(interface: Interface) -> dict[str, Any]:
    return ADAPTER.dump_python(interface, mode="json")
