# Part of the template: changes belong there (`copier update` merges this file).
"""The bodies of requests and responses: strict JSON in, JSON out that any client can read. Large ones: `large_bodies`."""

import json
import math
from typing import Any

MOST_NESTED = 100
"""So deep a body may be nested."""


class BadBody(ValueError):
    """A request's body is not what it has to be; the message says why."""


def read_object(raw: bytes) -> dict[str, Any]:
    """A request's body as a JSON object; an empty body is an empty object.

    Raises:
        BadBody: it is no JSON object, is nested too deeply, or holds a number that could not be sent back.
    """
    if not raw.strip():
        return {}
    return checked(decoded(raw))


def decoded(raw: bytes) -> Any:
    """What a body says.

    Raises:
        BadBody: it is no JSON, or holds a number that could not be sent back.
    """
    try:
        return _DECODER.decode(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise BadBody("The body is no JSON.") from None


def checked(body: Any) -> dict[str, Any]:
    """The same, an object that is not nested too deeply.

    Raises:
        BadBody: it is not.
    """
    if not isinstance(body, dict):
        raise BadBody("The body is no JSON object.")
    level: list[Any] = [body]
    for _ in range(MOST_NESTED):
        level = [
            part
            for nested in level
            for part in (nested.values() if isinstance(nested, dict) else nested)
            if isinstance(part, dict | list)
        ]
        if not level:
            return body
    raise BadBody(f"The body is nested deeper than {MOST_NESTED} levels.")


def json_body(value: Any) -> bytes:
    """A value as JSON. A lone surrogate, which JSON can bring in and UTF-8 cannot take out, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def error_body(text: str) -> bytes:
    """A JSON body that a model can read as a tool's output."""
    return json_body({"output": f"Error: {text}"})


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large, and could not be sent back")
    return number


# One for all: json.loads() makes a new decoder for each text that it is to read in another way than usual.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
