"""A player that talks between its calls."""

from collections.abc import Generator
from typing import Any


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    yield "Red first."
    red = yield "look_up", {"name": "red"}
    yield f"{red}. Now blue."
    blue = yield "look_up", {"name": "blue"}
    yield f"red={red.split()[-1]} blue={blue.split()[-1]}"
