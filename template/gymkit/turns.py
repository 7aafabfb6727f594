# Part of the template: changes belong there (`copier update` merges this file).
"""A user's turn, from the outside: what agents and players do after a turn of the policy's that ends without a call."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from gymkit.items import Item, text_of

USER_TURN = "/user/turn"
"""Where an environment is asked for what its user says. It is no tool."""

MOST_SAID = 20_000
"""A longer text has its middle cut before the user hears it."""


class Answer(NamedTuple):
    """What a user has answered."""

    item: Item | None
    """His message; None where he said nothing."""
    done: bool
    """Whether the conversation is over: it is, too, where he said nothing."""


def has_user(row: Item) -> bool:
    """Whether a user answers what the policy says: the row has his file."""
    return isinstance(row.get("user"), dict)


def said_in(output: Sequence[Item]) -> str | None:
    """What the messages of a policy's turn say to the user; None where there is none."""
    messages = [text_of(item) for item in output if item.get("type") == "message"]
    text = "\n".join(filter(None, messages))
    if not messages:
        return None
    half = MOST_SAID // 2
    text = text if len(text) <= MOST_SAID else f"{text[:half]}\n[...]\n{text[-half:]}"
    return text.encode(errors="replace").decode()  # no half characters


def read_answer(status: int, text: str) -> Answer:
    """What an environment has answered to `USER_TURN`. The conversation is over where it is no user's answer."""
    try:
        answer = json.loads(text)
        said, done = answer["output"], answer["done"] is not False
    except (ValueError, LookupError, TypeError, RecursionError):
        return Answer(None, True)
    if status != 200 or not isinstance(said, str):
        return Answer(None, True)
    # Every field that the Responses API knows is set: NeMo Gym passes on only what is set.
    return Answer({"type": "message", "role": "user", "content": said}, done) if said else Answer(None, True)
