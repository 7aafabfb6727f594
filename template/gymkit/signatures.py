# Part of the template: changes belong there (`copier update` merges this file).
"""A tool's function, written as any FastAPI endpoint is: which of its parameters make up the arguments.

They all come from the body, for an agent sends nothing else: a request model, several of them, plain parameters, with
`Body()` or `Query()` or without. What an agent cannot fill in is refused when the server starts.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from fastapi import Request, params
from fastapi.security import SecurityScopes
from pydantic import BaseModel, ConfigDict, create_model
from pydantic.errors import PydanticUserError
from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection
from starlette.responses import Response

from gymkit.access import CannotServe

NOT_OF_AN_AGENT = (params.Depends, params.Path, params.Header, params.Cookie, params.Form)
OF_THE_SERVER = (HTTPConnection, Response, BackgroundTasks, SecurityScopes)


class Signature(NamedTuple):
    """How a tool's function takes its arguments."""

    model: type[BaseModel] | None
    """What the body is validated by; None where there are no arguments."""
    whole: str | None
    """The parameter that gets all of it. Without, each field goes to the parameter of its name."""
    request: str | None
    """The parameter that gets the request."""

    def keywords(self, arguments: BaseModel | None, request: Request) -> dict[str, Any]:
        """What the function is called with."""
        found: dict[str, Any] = {self.request: request} if self.request else {}
        if self.whole:
            found[self.whole] = arguments
        elif arguments is not None:
            found |= {name: getattr(arguments, name) for name in type(arguments).model_fields}
        return found

    def as_endpoint(self, returns: Any) -> inspect.Signature:
        """The same as FastAPI is to see it: one model as the body, and the request."""
        named: dict[str, Any] = {self.request or "request": Request}
        if self.model is not None:
            named[self.whole or "arguments"] = self.model
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint) for name, hint in named.items()
        ]
        return inspect.Signature(parameters, return_annotation=returns)


def read_signature(tool: str, endpoint: Callable[..., Any]) -> Signature:
    """The signature of a tool's function.

    Args:
        tool: The tool's name.
        endpoint: The function.

    Raises:
        CannotServe: an agent could not call it; one line with the parameter and what to do.
    """
    try:
        hints = get_type_hints(endpoint, include_extras=True)
    except Exception as error:  # a name that cannot be found, for instance
        raise CannotServe(f"The types of the tool {tool} cannot be read: {error}") from None
    request: str | None = None
    wholes: list[str] = []
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(endpoint).parameters.values():
        name, hint = parameter.name, hints.get(parameter.name, inspect.Parameter.empty)
        kind, marks = _taken_apart(hint)
        if isinstance(kind, type) and issubclass(kind, Request):
            request = name
            continue
        _refuse(tool, parameter, kind, (*marks, parameter.default))
        fields[name] = (hint, ... if parameter.default is inspect.Parameter.empty else parameter.default)
        embedded = any(getattr(mark, "embed", False) for mark in (*marks, parameter.default))
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not embedded:
            wholes.append(name)
    if len(fields) == 1 and wholes:
        model: type[BaseModel] = _taken_apart(hints[wholes[0]])[0]
        _schema(tool, model)
        return Signature(model, wholes[0], request)
    return Signature(_model_of(tool, fields) if fields else None, None, request)


def _taken_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type, and what `Annotated` adds to it."""
    if get_origin(hint) is Annotated:
        kind, *marks = get_args(hint)
        return kind, tuple(marks)
    return hint, ()


def _refuse(tool: str, parameter: inspect.Parameter, kind: Any, marks: tuple[Any, ...]) -> None:
    where = f"The tool {tool} has a parameter `{parameter.name}`"
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise CannotServe(f"{where} that takes anything: name its arguments, or take one request model.")
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise CannotServe(f"{where} without a name: leave out the `/`.")
    found = next((mark for mark in marks if isinstance(mark, NOT_OF_AN_AGENT)), None)
    if found is not None:
        word = type(found).__name__
        raise CannotServe(
            f"{where} that uses {word}(): an agent sends arguments and nothing else. Take it from `self`, from "
            "`self.episode(request)`, or from `request`."
        )
    if isinstance(kind, type) and issubclass(kind, OF_THE_SERVER):
        raise CannotServe(f"{where} of the type {kind.__name__}, which a tool does not get: take `request: Request`.")
    if kind is inspect.Parameter.empty:
        raise CannotServe(f"{where} without a type: give it one, as in `{parameter.name}: str`.")


def _model_of(tool: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """A request model with a field for each parameter."""
    name = "".join(part.capitalize() for part in tool.replace("-", "_").split("_")) + "Arguments"
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **dict(fields))
    except (PydanticUserError, NameError, TypeError) as error:
        raise CannotServe(f"The parameters of the tool {tool} are nothing that JSON can hold: {_line(error)}") from None
    _schema(tool, model)
    return model


def _schema(tool: str, model: type[BaseModel]) -> None:
    """Make sure that the model has a schema, of an object."""
    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise CannotServe(f"The arguments of the tool {tool} have no JSON schema: {_line(error)}") from None
    if schema.get("type", "object") != "object" or not ({"properties", "$ref", "type"} & schema.keys()):
        raise CannotServe(f"The arguments of the tool {tool} are no object: give {model.__name__} fields.")


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
