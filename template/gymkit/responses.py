# Part of the template: changes belong there (`copier update` merges this file).
"""A model's response as graders get it, read from a request for a verdict."""

from typing import Any

from nemo_gym.openai_utils import NeMoGymResponse as Response
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

__all__ = ["NO_RESPONSE", "OtherItem", "Response", "read_response"]


class OtherItem(BaseModel):
    """An item that this line of NeMo Gym has no class for: a tool of the provider's own, say. All fields are kept."""

    model_config = ConfigDict(extra="allow")

    type: str


NO_RESPONSE: dict[str, Any] = {
    "id": "none",
    "created_at": 0.0,
    "model": "none",
    "object": "response",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}
"""The response of a policy that has not been asked for one."""

ITEMS_AT_ONCE = 100
"""So many items of a response are read in one step."""

_items: TypeAdapter[Any] = TypeAdapter(Response.model_fields["output"].annotation or list[Any])


def read_response(body: Any) -> Response:
    """A response as agents really send it.

    NeMo Gym's own class is strict, and more so on 0.4: it refuses usage without details, a message without annotations,
    an item with a status of null, an item of a kind that it does not know. None of it matters to a grade. What cannot
    be read of the response's own fields is left out; an item that cannot be read is kept as it is (`OtherItem`).

    Raises:
        ValueError: it is no response: there is no list of items with a type each. The message says so.
    """
    try:
        return _as_it_is(body)
    except ValidationError:
        pass
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        raise ValueError("response: it has no list `output`")
    items = [_item(item, number) for number, item in enumerate(body["output"])]
    fields = {**NO_RESPONSE, **body, "output": []}
    try:
        response = Response.model_validate(fields)
    except ValidationError as error:
        # Required fields have a plain value, others are left out.
        fields |= {name: NO_RESPONSE.get(name) for name in {str(each["loc"][0]) for each in error.errors()}}
        response = Response.model_validate(fields)
    response.output = items
    return response


def _as_it_is(body: Any) -> Response:
    """A response that NeMo Gym's class takes. A long one is read a few items at a time: it holds the interpreter."""
    output = body.get("output") if isinstance(body, dict) else None
    if not isinstance(output, list) or len(output) <= ITEMS_AT_ONCE:
        return Response.model_validate(body)
    response = Response.model_validate(body | {"output": []})
    for start in range(0, len(output), ITEMS_AT_ONCE):
        response.output += _items.validate_python(output[start : start + ITEMS_AT_ONCE])
    return response


def _item(item: Any, number: int) -> Any:
    for form in (item, _mended(item)):
        try:
            return _items.validate_python([form])[0]
        except ValidationError:
            continue
    try:
        return OtherItem.model_validate(item)
    except ValidationError:
        raise ValueError(f"response.output.{number}: an item is an object with a `type`") from None


def _mended(item: Any) -> Any:
    """An item without what is null in it; a message with its content in the usual form."""
    if not isinstance(item, dict):
        return item
    kept = {key: part for key, part in item.items() if part is not None}
    kept.setdefault("id", "none")
    if "content" in item or item.get("type") == "message":
        content = kept.get("content") or []
        parts = [content] if isinstance(content, str) else content
        if isinstance(parts, list):
            kept["content"] = [_part(part) for part in parts]
    if kept.get("type") == "reasoning":
        kept.setdefault("summary", [])
    return kept


def _part(part: Any) -> Any:
    if isinstance(part, str):
        part = {"type": "output_text", "text": part}
    if not isinstance(part, dict) or part.get("type", "output_text") != "output_text":
        return part
    kept = {key: each for key, each in part.items() if key != "logprobs"}
    return {"type": "output_text", **kept, "text": part.get("text") or "", "annotations": []}
