"""What an assistant may do in one episode, what it has really done, and what that is worth. Plain Python.

An answer counts only where the calls have been made that it has to come from, and where the assistant has sent the
alerts that were asked for and no other.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from weather import Weather, as_text

TOLERANCE = 0.5 + 1e-6
"""Numbers are asked for as whole ones: what is exactly between two may be rounded either way."""

LEVELS = ("watch", "storm")
MAX_CALLS = 40
"""What is called beyond these is refused."""

NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True)
class Task:
    """What a row asks for.

    Attributes:
        world: The seed of the weather.
        answer: A number, or a text.
        needs: Calls that have to be made, in any order: `forecast Ashford, Kel 2031-03-05` or `read_page URL`.
        alerts: The alerts that have to be sent, and no other, as `storm Ashford, Kel`.
        budget: So many calls are enough; what is called beyond them is counted, and costs nothing.
    """

    world: int
    answer: float | str
    needs: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    budget: int = MAX_CALLS

    @classmethod
    def of(cls, row: Mapping[str, Any], answer: Any) -> "Task":
        """The task of a data row.

        Raises:
            ValueError: it makes none; the message says why.
        """
        if isinstance(answer, bool) or not isinstance(answer, int | float | str) or not str(answer).strip():
            raise ValueError("ground_truth[0].expected_output: a number or a text is wanted")
        if not isinstance(answer, str) and not math.isfinite(answer):
            raise ValueError("ground_truth[0].expected_output: a finite number is wanted")
        world, budget = row.get("world", 0), row.get("budget", MAX_CALLS)
        for name, value in (("world", world), ("budget", budget)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"{name}: a whole number is wanted")
        lists: dict[str, tuple[str, ...]] = {}
        for name in ("needs", "alerts"):
            value = row.get(name, [])
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise ValueError(f"{name}: a list of texts is wanted")
            lists[name] = tuple(value)
        return cls(world, answer, lists["needs"], lists["alerts"], budget)


@dataclass
class Assistant:
    """One episode: the tools that it has, and what has been called."""

    task: Task
    calls: int = 0
    unrecorded: int = 0
    """Calls to which replay has no answer."""
    done: set[str] = field(default_factory=set)
    """What has been called and answered, written as in `Task.needs`."""
    alerts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.weather = Weather(self.task.world)

    def count(self) -> None:
        """Count a call.

        Raises:
            ValueError: it is one too many.
        """
        if self.calls >= MAX_CALLS:
            raise ValueError(f"no further call is answered: there were {MAX_CALLS}. Give your answer.")
        self.calls += 1

    # --- the tools

    def find_place(self, name: str) -> str:
        """The places of a name, a line each: identifier, name, country."""
        found = self.weather.find(name)
        if not found:
            return f"There is no place {name.strip()[:80]!r}."
        return "\n".join(f"{place.code}  {place.title}" for place in found)

    def local_time(self, place: str) -> str:
        """Date and time in a place."""
        found = self.weather.place(place)
        return f"In {found.title} it is {self.weather.local_time(found):%A, %Y-%m-%d, %H:%M}."

    def forecast(self, place: str, day: str) -> str:
        """The forecast for a day."""
        found = self.weather.place(place)
        try:
            wanted = date.fromisoformat(day.strip())
        except ValueError:
            raise ValueError(f"{day.strip()[:40]!r} is no date of the form 2031-12-31.") from None
        text = as_text(found, wanted, self.weather.forecast(found, wanted))
        self.done.add(f"forecast {found.title} {wanted}")
        return text

    def send_alert(self, place: str, level: str) -> str:
        """Send an alert to all who live in a place. It cannot be taken back."""
        found = self.weather.place(place)
        if level not in LEVELS:
            raise ValueError(f"level: {' or '.join(LEVELS)} is wanted.")
        self.alerts.append(f"{level} {found.title}")
        return f"The alert {level!r} has gone to everybody in {found.title}."

    def has_read(self, url: str) -> None:
        """Keep in mind that a page has been read."""
        self.done.add(f"read_page {url}")

    # --- the grade

    def grade(self, answers: list[str]) -> float:
        """1.0 where the answer is right, what it has to come from has been called, and the right alerts were sent.

        Args:
            answers: All that the final message states: each has to be right.
        """
        right = bool(answers) and all(is_right(given, self.task.answer) for given in answers)
        called = set(self.task.needs) <= self.done
        return float(right and called and sorted(set(self.alerts)) == sorted(set(self.task.alerts)))


def is_right(given: str, expected: float | str) -> bool:
    """Whether a stated answer is the expected one: the whole of it, not a part."""
    given = given.strip()
    if isinstance(expected, str):
        return " ".join(given.casefold().split()) == " ".join(expected.casefold().split())
    if not NUMBER.fullmatch(given):
        return False
    return abs(float(given) - expected) <= TOLERANCE
