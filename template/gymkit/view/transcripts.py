# Part of the template: changes belong there (`copier update` merges this file).
"""An episode as it is read: messages, calls with their answers, and the verdict with what it was made from.

Files come from elsewhere, and any value may have any type: what is of no known form is shown as JSON.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gymkit.view import pictures

Json = dict[str, Any]
Keep = Callable[[pictures.Picture], Json]
"""Keeps a picture; the part that stands for it: `{"picture": NAME}`, or a text where it is left out."""

_OF_THE_VERDICT = ("reward", "mask_sample", "failure_kind", "failure_reason")
_OF_THE_ROW = ("ground_truth", "expected_answer", "verifier_metadata")
_OF_NEMO_GYM = ("agent_ref", "task_source", "instance_config", "_ng_", "ng_")
_NOT_SHOWN = {"responses_create_params", "response", *_OF_THE_VERDICT, *_OF_THE_ROW}


def transcript(result: Json, keep: Keep) -> Json:
    """What the page shows of an episode.

    Args:
        result: What `/verify` answered, or the record of an episode that failed.
        keep: For the pictures in it.

    Returns:
        `items` (of `kind` message, reasoning, call or other, with `parts`), `tools` (names), `answer` (the last that
        was said), `verdict`, `truth` and `fields` (the others, of the row and of the grader).
    """
    params = mapping(result.get("responses_create_params"))
    items: list[Json] = []
    calls: dict[str, Json] = {}
    instructions = params.get("instructions")
    asked = [{"role": "system", "content": instructions}] if instructions else []
    given = params.get("input")
    asked += [{"role": "user", "content": given}] if isinstance(given, str) else sequence(given)
    said = sequence(mapping(result.get("response")).get("output"))
    for item in [*asked, *said]:
        answered = mapping(item).get("call_id") if mapping(item).get("type") == "function_call_output" else None
        if isinstance(answered, str) and answered in calls:
            call = calls[answered]
            call["output"] = call.get("output", []) + _answer(item.get("output"), keep)
            call["failed"] = is_error(item.get("output"))
            continue
        shown = _item(item, keep)
        if shown["kind"] == "call" and isinstance(item.get("call_id"), str):
            calls[item["call_id"]] = shown
        if items and items[-1]["kind"] == "call" and _is_screen(shown):
            items[-1]["output"] = items[-1].get("output", []) + shown["parts"]
        else:
            items.append(shown)
    return {
        "items": items,
        "tools": [_name(tool.get("name")) for tool in sequence(params.get("tools")) if isinstance(tool, dict)],
        "answer": final_answer(said),
        "verdict": {name: result[name] for name in _OF_THE_VERDICT if result.get(name) is not None},
        "truth": {name: _plain(result[name]) for name in _OF_THE_ROW if result.get(name) is not None},
        "fields": {
            _name(name): value
            for name, value in result.items()
            if name not in _NOT_SHOWN and not name.startswith(_OF_NEMO_GYM)
        },
    }


def _plain(truth: Any) -> Any:
    """An expected output without what it is wrapped into in a row."""
    if (
        isinstance(truth, list)
        and len(truth) == 1
        and isinstance(truth[0], dict)
        and set(truth[0]) == {"expected_output"}
    ):
        return truth[0]["expected_output"]
    return truth


def _is_screen(shown: Json) -> bool:
    """Whether it is the message by which an agent shows a model the pictures that a call was answered with."""
    by_the_agent = shown["kind"] == "message" and shown["role"] == "user"
    return by_the_agent and bool(shown["parts"]) and all("text" not in part for part in shown["parts"])


def _item(item: Any, keep: Keep) -> Json:
    """A message, a call, or whatever else it is."""
    if not isinstance(item, dict):
        return {"kind": "other", "name": type(item).__name__, "parts": _parts(item, keep)}
    kind = item.get("type", "message")
    if kind == "function_call":
        return {"kind": "call", "name": _name(item.get("name")), "arguments": _pretty(item.get("arguments"))}
    if kind == "function_call_output":  # of a call that nobody has made
        return {"kind": "call", "name": "", "arguments": "", "output": _answer(item.get("output"), keep)}
    if kind == "reasoning":
        text = [*sequence(item.get("summary")), *sequence(item.get("content"))]
        return {"kind": "reasoning", "parts": _parts(text, keep)}
    if kind == "message" and "content" in item:
        return {"kind": "message", "role": _name(item.get("role", "")), "parts": _parts(item["content"], keep)}
    return {"kind": "other", "name": _name(kind), "parts": _parts(json.dumps(item, indent=1, ensure_ascii=False), keep)}


def _parts(content: Any, keep: Keep) -> list[Json]:
    """The texts and pictures of a message's content."""
    if isinstance(content, str):
        return [part if isinstance(part, dict) else {"text": part} for part in _split(content, keep)]
    if content is None:
        return []
    if not isinstance(content, list):
        return _parts(json.dumps(content, indent=1, ensure_ascii=False), keep)
    found: list[Json] = []
    for part in content:
        source = part.get("image_url") if isinstance(part, dict) else None
        source = source.get("url") if isinstance(source, dict) else source  # as Chat Completions has it
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            found += _parts(part["text"], keep)
        elif isinstance(source, str):
            found += _parts(source if source.startswith("data:image/") else f"[picture, not shown: {source}]", keep)
        else:
            found += _parts(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False), keep)
    return found


def _split(text: str, keep: Keep) -> Iterable[str | Json]:
    for part in pictures.split(text):
        yield keep(part) if isinstance(part, pictures.Picture) else part


def _answer(output: Any, keep: Keep) -> list[Json]:
    """What a tool answered: of `{"output": TEXT, ...}` the text, and the others by their names."""
    if not isinstance(output, str):
        return _parts(output, keep)
    value = _loaded(output)
    if not isinstance(value, dict):
        return _parts(output, keep)
    found = _parts(value["output"], keep) if isinstance(value.get("output"), str) else []
    for name, part in value.items():
        if name != "output" or not isinstance(part, str):
            text = part if isinstance(part, str) else json.dumps(part, indent=1, ensure_ascii=False)
            found += [{"name": _name(name)}, *_parts(text, keep)]
    return found


def is_error(output: Any) -> bool:
    """Whether a tool answered that it failed: by a text that begins so, or a field `error`."""
    value = _loaded(output) if isinstance(output, str) else output
    if isinstance(value, dict):
        text = value.get("output")
        return bool(value.get("error")) or (isinstance(text, str) and _says_error(text))
    return isinstance(output, str) and _says_error(output)


def _says_error(text: str) -> bool:
    return text.lstrip()[:5].lower() == "error"


def final_answer(output: list[Any]) -> str | None:
    """The text of the last message of the model, None where it said nothing."""
    for item in reversed(output):
        if isinstance(item, dict) and item.get("type") == "message" and item.get("role") == "assistant":
            content = item.get("content")
            parts = [{"text": content}] if isinstance(content, str) else sequence(content)
            return "".join(text for part in parts if isinstance(text := mapping(part).get("text"), str))
    return None


def _pretty(arguments: Any) -> str:
    """A call's arguments: a line for each, texts as they are."""
    value = _loaded(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(value, dict):
        return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    lines = []
    for name, part in value.items():
        text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
        newline = "\n" if "\n" in text else ""
        lines.append(f"{name}: {newline}{text}")
    return "\n".join(lines)


def _loaded(text: str) -> Any:
    if text.lstrip()[:1] != "{":
        return None
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _name(value: Any) -> str:
    return str(value)[:500]


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
