"""A player that finds the train and books it."""

from collections.abc import Generator
from typing import Any


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    yield "stations", {}
    found = yield "departures", {"station": row["start"]}
    assert row["train"] in found
    booked = yield "book", {"train": row["train"], "name": row["name"]}
    seat = yield "seat", {"code": booked.split()[-1]}
    yield seat.split()[-1]
