"""Trips to book, by the timetable of the railway."""

from typing import Any

TOWNS = ("Oak", "Elm", "Ash", "Yew")


def trip(number: int) -> dict[str, Any]:
    start, end, train = TOWNS[number % 4], TOWNS[(number + 1 + number // 4 % 3) % 4], f"T{number}"
    return {
        "task_id": f"trip-{number:02d}",
        "prompt": f"Book the train from {start} to {end} at {6 + number % 12}:{number % 60:02d} for passenger {number} "
        "(name: 'P' and the number), and say the number of the seat alone.",
        "expected_output": 1000 + 37 * number,
        "train": train,
        "start": start,
        "name": f"P{number}",
    }


def tasks() -> dict[str, list[dict[str, Any]]]:
    trips = [trip(number) for number in range(24)]
    return {"demo": trips[:1], "example": trips[1:6], "validation": trips[6:12], "train": trips[12:]}
