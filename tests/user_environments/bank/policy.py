"""A careful player: it always saves one month more than would be best, and earns 7 of 10 by one call."""

from collections.abc import Generator
from typing import Any


def expected_reward(row: dict[str, Any]) -> float:
    return 7.0


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    yield "save", {"months": row["best_month"] + 1}
