# Part of the template: changes belong there (`copier update` merges this file).
"""Pictures in tool answers: a model sees one only as an image of its own, not as text in the tool's output."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from gymkit.items import Item

LEFT_OUT = {"type": "input_text", "text": "[an earlier picture, left out]"}


class Answer(NamedTuple):
    """A tool's answer, taken apart."""

    output: str
    """What goes into the function call's output: the answer without the picture."""
    picture: str | None
    """The picture, as a data URL."""
    done: bool
    """Whether the tool says that the episode is over."""


def take_apart(body: str) -> Answer:
    """Take a picture out of a tool's answer, `{"output": "...", "image": "data:image/..."}`."""
    try:
        answer = json.loads(body)
    except ValueError:
        return Answer(body, None, False)
    if not isinstance(answer, dict):
        return Answer(body, None, False)
    picture = answer.get("image")
    if not isinstance(picture, str) or not picture.startswith("data:image/"):
        return Answer(body, None, answer.get("done") is True)
    rest = {key: value for key, value in answer.items() if key != "image"}
    return Answer(json.dumps(rest, ensure_ascii=False), picture, answer.get("done") is True)


def picture_message(pictures: Sequence[str]) -> Item:
    """The message that shows pictures to a model. It stands after all tool outputs of its turn: every field that the
    Responses API knows is set, for NeMo Gym passes on only what is set."""
    content = [{"type": "input_image", "image_url": picture, "detail": "auto"} for picture in pictures]
    return {"type": "message", "role": "user", "content": content}


def with_last_pictures(items: Sequence[Item], most: int | None) -> list[Item]:
    """The items with all but the last so many pictures replaced by a word; None keeps all."""
    if most is None:
        return list(items)
    kept: list[Item] = []
    left = most
    for item in reversed(items):
        if has_pictures(item):
            content = []
            for part in reversed(item["content"]):
                is_picture = part.get("type") == "input_image"
                content.append(LEFT_OUT if is_picture and left <= 0 else part)
                left -= is_picture
            item = {**item, "content": content[::-1]}
        kept.append(item)
    return kept[::-1]


def has_pictures(item: Item) -> bool:
    """Whether an item is a message with pictures in it."""
    content = item.get("content")
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "input_image" for part in content
    )
