"""A player that knows the answers, and thinks aloud first."""

from collections.abc import Generator
from typing import Any

from gymkit.rows import expected_output


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    yield "Let me think."
    yield f"{expected_output(row)}."
