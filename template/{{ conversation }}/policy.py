"""A player that needs no model: rollout.py's default. It says and calls what the row's solution has."""

from collections.abc import Generator
from typing import Any


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    """Play one episode: yield a tool call as `(name, arguments)` and be sent its output, or yield a text to say and be
    sent the user's answer.

    Args:
        row: The data row; its key `oracle` lists texts to say, and tool calls.
    """
    for move in row["oracle"]:
        if isinstance(move, str):
            yield move
        else:
            name, arguments = move
            yield name, arguments
