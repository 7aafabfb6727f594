# Part of the template: changes belong there (`copier update` merges this file).
"""Items of the Responses API: what a model says and calls, and what it is answered."""

import json
from typing import Any

Item = dict[str, Any]


def function_call(number: int, name: str, arguments: str, call_id: str | None = None) -> Item:
    """A function call. `arguments` is JSON."""
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": call_id or f"call_{number}",
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def message(number: int, text: str) -> Item:
    """An assistant's message."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": content}


def text_of(item: Item) -> str:
    """The text of a message."""
    content = item["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def output_text(result: str) -> str:
    """The text in a tool's answer, `{"output": "..."}`; any other answer as it is."""
    try:
        return str(json.loads(result)["output"])
    except (ValueError, KeyError, TypeError):
        return result
