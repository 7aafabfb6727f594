"""A player that needs no model: rollout.py's default. It makes the calls of the row: real clicks and keys."""

import re
from collections.abc import Generator
from typing import Any

from office_layout import SCREEN


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    """Play one episode: yield a tool call as `(name, arguments)` and be sent its output, or yield a text to say.

    Args:
        row: The data row; its key `oracle` lists tool calls, for the screen that `office_layout` describes.
    """
    size = yield "get_screen_size", {}
    width, height = map(int, re.findall(r"\d+", size)[:2]) if "pixels" in size else SCREEN
    for name, arguments in row["oracle"]:
        yield name, {key: scaled(key, value, width, height) for key, value in arguments.items()}


def scaled(key: str, value: Any, width: int, height: int) -> Any:
    """A coordinate in pictures of another size than the screen's; any other argument as it is."""
    if key.split("_")[-1] == "x":
        return value * width // SCREEN[0]
    return value * height // SCREEN[1] if key.split("_")[-1] == "y" else value
