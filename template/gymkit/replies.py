# Part of the template: changes belong there (`copier update` merges this file).
"""What a model has answered, read into items of the Responses API, whatever form it comes in.

It is strict about nothing that can be understood: arguments that are an object, nothing at all, or JSON in JSON;
content that is null, a text or a list; missing ids; an answer in pieces that nobody has asked for. What it cannot
understand it says: in one line for the person who runs the model (`BadReply`), or in a text for the model
(`BadArguments`).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import unescape
from typing import Any, NamedTuple

from gymkit.items import Item, function_call, message

LINE = 400
"""Characters of a message that is shown to a person."""


class BadReply(ValueError):
    """What came is no answer of a model. The message is one line, with what the endpoint says of it."""


class BadArguments(ValueError):
    """The arguments of a call cannot be understood. The message is for the model."""


class Reply(NamedTuple):
    """One answer of a model."""

    items: list[Item]
    cut_off: bool
    """Whether it ended before its end, at a limit on tokens for instance. Its calls are not to be made."""


# --------------------------------------------------------------------------------------------------------- arguments


def read_arguments(raw: Any) -> dict[str, Any]:
    """The arguments of a call, as an object that JSON can carry.

    Raises:
        BadArguments: they are none.
    """
    value = raw
    try:
        for _ in range(3):  # Some models write JSON into a text of JSON.
            if not isinstance(value, str):
                break
            text = value.strip().removeprefix("\ufeff").strip()
            # A line break within a string is no JSON, and yet plain.
            value = json.loads(text, strict=False) if text else {}
        value = clean({} if value is None else value)
        json.dumps(value, allow_nan=False)
    except RecursionError:
        raise BadArguments("the arguments are nested too deeply.") from None
    except ValueError as error:
        if "Out of range float" in str(error):
            raise BadArguments("the arguments hold NaN or an infinite number, which is no JSON.") from None
        raise BadArguments(f"the arguments are no JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise BadArguments(f"the arguments are no JSON object, but {type(value).__name__}.")
    return dict(value)


def arguments_text(raw: Any) -> str:
    """The arguments of a call as the text that stands in its item: what the model has written."""
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return "{}"
    return raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)


def arguments_again(text: str) -> str:
    """The arguments of a call for the model's endpoint, which may parse them: an empty object where they are none."""
    try:
        return json.dumps(read_arguments(text), ensure_ascii=False)
    except BadArguments:
        return "{}"


def clean(value: Any) -> Any:
    """A JSON value without half characters: a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    return value


# ------------------------------------------------------------------------------------------------------------ answers


def read_reply(text: str, number: int, taken: set[str]) -> Reply:
    """Read the body of an endpoint's answer, of the Responses API or of Chat Completions.

    Args:
        text: The body.
        number: How many items the episode has already: it goes into the ids that are missing.
        taken: The ids of the episode's calls. Those of this answer are added; one that is there already is replaced.

    Raises:
        BadReply: it holds no answer.
    """
    body = _decoded(text)
    if not isinstance(body, dict):
        raise BadReply(f"The model's endpoint answered with what is no object: {error_text(text)}")
    if isinstance(body.get("output"), list):
        return _read_response(body, number, taken)
    if isinstance(body.get("choices"), list) and body["choices"]:
        return _read_completion(body, number, taken)
    raise BadReply(f"The model's endpoint answered without an answer: {error_text(text)}")


def error_text(text: str) -> str:
    """What an endpoint says in the body of an error, in one line: the message of its JSON, or the title of its page."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        said = unescape(title[1]) if title else re.sub(r"<[^>]*>", " ", text)
    else:
        said = _message_in(body) or text
    line = " ".join(said.encode("utf-8", "replace").decode().split())
    return (line if len(line) <= LINE else line[: LINE - 3] + "...") or "(nothing)"


def _message_in(body: Any) -> str:
    """The message in the JSON of an error: `{"error": {"message": ...}}` and its like."""
    if isinstance(body, list):
        return next(filter(None, map(_message_in, body)), "")
    if not isinstance(body, dict):
        return body if isinstance(body, str) else ""
    for key in ("error", "message", "msg", "detail", "error_description", "incomplete_details"):
        said = _message_in(body.get(key))
        if said:
            return said
    return ""


def _decoded(text: str) -> Any:
    """The JSON of an answer; that of an event stream is put together."""
    text = text.removeprefix("\ufeff")
    try:
        if re.match(r"\s*(data|event|id|retry)?:", text):
            return clean(_joined(_events(text)))
        return clean(json.loads(text))
    except RecursionError:
        raise BadReply("The model's endpoint answered with JSON that is nested too deeply.") from None
    except ValueError:
        raise BadReply(f"The model's endpoint answered with what is no JSON: {error_text(text)}") from None


def _events(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data and data != "[DONE]":
            yield json.loads(data)


def _joined(events: Iterable[Any]) -> Any:
    """The answer that an event stream brings in pieces: the whole one at its end, or the sum of Chat Completions."""
    whole: Any = None
    said: dict[str, str] = {}
    calls: dict[int, dict[str, Any]] = {}
    finish: Any = None
    for event in events:
        if not isinstance(event, dict) or event.get("error"):
            return event
        whole = event["response"] if isinstance(event.get("response"), dict) else whole
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or {}
            finish = choice.get("finish_reason") or finish
            for key in ("content", "reasoning_content", "reasoning", "refusal"):
                if isinstance(delta.get(key), str):
                    said[key] = said.get(key, "") + delta[key]
            for part in delta.get("tool_calls") or []:
                call = calls.setdefault(part.get("index", len(calls)), {"function": {"arguments": ""}})
                function = part.get("function") or {}
                call["id"] = part.get("id") or call.get("id")
                call["function"]["name"] = function.get("name") or call["function"].get("name")
                call["function"]["arguments"] += function.get("arguments") or ""
    if whole is not None or not (said or calls or finish):
        return whole
    # A stream that ends without a reason has been cut off.
    answer = {**said, "tool_calls": [call for _, call in sorted(calls.items())]}
    return {"choices": [{"message": answer, "finish_reason": finish or "length"}]}


def _read_response(body: Item, number: int, taken: set[str]) -> Reply:
    """An answer of the Responses API."""
    output: list[Any] = body["output"]
    if not output and (body.get("error") or body.get("status") == "failed"):
        raise BadReply(f"The model's endpoint answered: {error_text(json.dumps(body))}")
    cut_off = body.get("status") == "incomplete" or bool(body.get("incomplete_details"))
    items: list[Item] = []
    for raw in output:
        item = {"type": "message", "content": raw} if isinstance(raw, str) else raw
        if not isinstance(item, dict):
            continue
        at = number + len(items)
        kind = item.get("type") or ("function_call" if "arguments" in item else "message")
        if kind == "message":
            items.append({**item, **_message(at, item)})
        elif kind == "function_call":
            call_id = item.get("call_id") or item.get("id")
            items.append(_call(at, item.get("name"), item.get("arguments"), call_id, taken, cut_off))
        elif kind == "reasoning":
            items.append({**item, "id": item.get("id") or f"rs_{at}", "summary": _summary(item.get("summary"))})
        elif isinstance(kind, str):
            items.append(item)  # a tool of the provider's own
    return Reply(items, cut_off)


def _read_completion(body: Item, number: int, taken: set[str]) -> Reply:
    """An answer of Chat Completions."""
    choice = body["choices"][0]
    answer = choice.get("message") or choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(answer, dict) or choice.get("error"):
        raise BadReply(f"The model's endpoint answered without a message: {error_text(json.dumps(choice or body))}")
    items: list[Item] = []
    cut_off = choice.get("finish_reason") in ("length", "content_filter")
    for key in REASONING_KEYS:
        if isinstance(answer.get(key), str) and answer[key]:
            # `key` stays with it: endpoints that want their reasoning back want it under the same name.
            items.append({**reasoning(number, answer[key]), "key": key})
            break
    said = _message(number + len(items), answer)
    if said["content"]:
        items.append(said)
    calls = answer.get("tool_calls") or []
    calls = list(calls) if isinstance(calls, list) else [calls]
    if answer.get("function_call"):  # the form before `tool_calls`
        calls.append({"function": answer["function_call"]})
    for raw in calls:
        call = raw if isinstance(raw, dict) else {}
        function = call.get("function") or call.get("custom") or call
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments", function.get("input"))
        items.append(_call(number + len(items), function.get("name"), arguments, call.get("id"), taken, cut_off))
    return Reply(items, cut_off)


REASONING_KEYS = ("reasoning_content", "reasoning")
"""Where endpoints put a model's reasoning in Chat Completions, which has no word for it."""


def reasoning(number: int, text: str) -> Item:
    """A model's reasoning, as an item."""
    return {"type": "reasoning", "id": f"rs_{number}", "summary": [{"type": "summary_text", "text": text}]}


def _message(number: int, item: Item) -> Item:
    """A message in the one form that it has elsewhere, with the parts that hold something."""
    content = item.get("content")
    parts: list[Item] = []
    for part in content if isinstance(content, list) else [content]:
        said = part.get("text", part.get("refusal")) if isinstance(part, dict) else part
        if not isinstance(said, str) or not said:
            continue
        if isinstance(part, dict) and isinstance(part.get("annotations"), list):
            parts.append(part)
        elif isinstance(part, dict) and part.get("type") == "refusal":
            parts.append({"type": "refusal", "refusal": said})
        else:
            parts += message(number, said)["content"]
    if isinstance(item.get("refusal"), str) and item["refusal"]:
        parts.append({"type": "refusal", "refusal": item["refusal"]})
    made = message(number, "")
    return {**made, "id": item["id"] if isinstance(item.get("id"), str) else made["id"], "content": parts}


def _call(number: int, name: Any, arguments: Any, call_id: Any, taken: set[str], cut_off: bool) -> Item:
    made = f"call_{number}"
    while made in taken:
        made += "_"
    used = call_id if isinstance(call_id, str) and call_id and call_id not in taken else made
    taken.add(used)
    call = function_call(number, name if isinstance(name, str) else "", arguments_text(arguments), used)
    return {**call, "status": "incomplete"} if cut_off else call


def _summary(summary: Any) -> list[Item]:
    parts = summary if isinstance(summary, list) else [summary]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return [{"type": "summary_text", "text": text} for text in texts if isinstance(text, str)]
