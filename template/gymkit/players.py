# Part of the template: changes belong there (`copier update` merges this file).
"""Who plays an episode without a model: the environment's own player (policy.py), and one who does nothing."""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from gymkit.items import Item, function_call, message, output_text
from gymkit.rows import Row
from gymkit.turns import has_user

Move = tuple[str, dict[str, Any]] | str
"""A tool call as `(name, arguments)`, or a text to say."""


class Policy(Protocol):
    """Given all items so far, the next output items: messages, function calls. Without a call, the episode is over."""

    def next_items(self, items: list[Item]) -> list[Item]: ...


@dataclass(frozen=True)
class Player:
    """What policy.py defines."""

    play: Callable[[Row], Generator[Move, str, None]]
    """Plays an episode: yields moves, and is sent the output of each call; after a text, the user's answer, or an empty
    text where there is no user."""
    expected_reward: Callable[[Row], float]
    """The reward that `play` earns on a row."""

    def policy(self, row: Row) -> Policy:
        """The player on a row, as a policy."""
        return _Moves(self.play(row), has_user(row))


class _Moves:
    def __init__(self, moves: Generator[Move, str, None], has_user: bool) -> None:
        self._moves = moves
        self._has_user = has_user
        self._begun = False

    def next_items(self, items: list[Item]) -> list[Item]:
        reply = _reply(items)
        output: list[Item] = []
        while True:
            number = len(items) + len(output)
            try:
                move = self._moves.send(reply) if self._begun else next(self._moves)
            except StopIteration:
                return output
            self._begun = True
            if not isinstance(move, str):
                name, arguments = move
                return [*output, function_call(number, name, json.dumps(arguments))]
            output.append(message(number, move))
            if self._has_user:
                return output
            reply = ""


def _reply(items: list[Item]) -> str:
    """What the last move was answered with: by the user, or by a tool."""
    for item in reversed(items):
        if item["type"] == "function_call_output":
            return output_text(item["output"])
        if item["type"] == "message" and item["role"] == "user" and isinstance(item["content"], str):
            return item["content"]
    return ""


class Silent:
    """A policy that says one word and does nothing."""

    def next_items(self, items: list[Item]) -> list[Item]:
        return [message(len(items), "Done.")]
