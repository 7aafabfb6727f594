"""A player that needs no model: rollout.py's default. It finds everything out through the tools."""

import re
from collections.abc import Generator
from datetime import date, timedelta
from typing import Any

KM_PER_MILE = 1.609344

Moves = Generator[tuple[str, dict[str, Any]] | str, str, Any]
Reports = dict[str, tuple[float, float, float]]
"""By part of the day: °C, millimetres of rain, km/h."""


def play(row: dict[str, Any]) -> Moves:
    """Play one episode: yield a tool call as `(name, arguments)` and be sent its output, or yield a text to say.

    Args:
        row: The data row. This player looks at its kind and parameters, which say what is asked; not at its answer.
    """
    answer = yield from SOLVERS[row["kind"]](row["parameters"])
    yield rf"The answer is \boxed{{{answer}}}."


# ------------------------------------------------------------------------------------------------------- the weather


def forecasts(title: str, *ahead: int) -> Generator[tuple[str, dict[str, Any]] | str, str, tuple[str, list[Reports]]]:
    """The identifier of a place, and its forecasts for so many days ahead."""
    found = yield "find_place", {"name": title.split(",")[0]}
    code = next(line.split()[0] for line in found.splitlines() if line.endswith(title))
    said = yield "local_time", {"place": code}
    today = date.fromisoformat(re.findall(r"\d{4}-\d\d-\d\d", said)[0])
    reports = []
    for days in ahead:
        text = yield "forecast", {"place": code, "day": str(today + timedelta(days=days))}
        reports.append(reports_in(text))
    return code, reports


def reports_in(text: str) -> Reports:
    """A forecast in metric units."""
    reports: Reports = {}
    for part, degrees, unit, rain, wind, speed in LINE.findall(text):
        celsius = (float(degrees) - 32) * 5 / 9 if unit == "F" else float(degrees)
        reports[part] = celsius, float(rain), float(wind) * (KM_PER_MILE if speed == "mph" else 1)
    return reports


LINE = re.compile(r"^(\w+): (-?\d+) °([CF]), rain ([\d.]+) mm, wind (\d+) (km/h|mph)$", re.MULTILINE)


def temperature(asked: dict[str, Any]) -> Moves:
    _, (reports,) = yield from forecasts(asked["places"][0], *asked["ahead"])
    return whole(reports[asked["part"]][0])


def rain(asked: dict[str, Any]) -> Moves:
    _, days = yield from forecasts(asked["places"][0], *asked["ahead"])
    return whole(sum(report[1] for reports in days for report in reports.values()))


def difference(asked: dict[str, Any]) -> Moves:
    found = []
    for title, ahead in zip(asked["places"], asked["ahead"], strict=True):
        _, (reports,) = yield from forecasts(title, ahead)
        found.append(reports[asked["part"]][0])
    return whole(found[0] - found[1])


def alert(asked: dict[str, Any]) -> Moves:
    code, (reports,) = yield from forecasts(asked["places"][0], *asked["ahead"])
    strongest = max(report[2] for report in reports.values())
    if strongest > asked["limit"]:
        yield "send_alert", {"place": code, "level": "storm"}
    return whole(strongest)


def whole(number: float) -> int:
    return round(round(number, 6))


# --------------------------------------------------------------------------------------------------------- the search

PATTERNS = {
    "year": r"first lit in (\d{4})|since (\d{4})",
    "height": r"(?:is|came to) (\d+)(?: metres high)?[.,]|(\d+) metres high",
    "steps": r"(\d+) steps",
    "keeper": r"first keeper was (\w+ \w+)\.|\. (\w+ \w+) was the first keeper|first keeper, (\w+ \w+),",
    "born": r"[Bb]orn in [^.]*?(\d{4})",
    "served": r"(\d+) years",
    "town": r"[Bb]orn in (?:\d{4} in )?([A-Z][\w ]+) \(",
    "country": r"[Bb]orn in [^(.]*\((\w+)\)",
}


def said_of(what: str, text: str) -> str:
    """What a page says. What it tells its reader to do is no matter."""
    match = re.search(PATTERNS[what], text)
    assert match, f"the page says nothing of {what}"
    return next(filter(None, match.groups()))


def page(title: str) -> Generator[tuple[str, dict[str, Any]] | str, str, str]:
    """The page of a title."""
    found = yield "search", {"query": title}
    url = re.search(rf"^\d+\. {re.escape(title)}\n(\S+)$", found, re.MULTILINE)
    assert url, f"the search has not found {title}"
    return (yield "read_page", {"url": url[1]})


def fact(asked: dict[str, Any]) -> Moves:
    text = yield from page(f"{asked['lighthouse']} lighthouse")
    return said_of(asked["asked"], text)


def chain(asked: dict[str, Any]) -> Moves:
    text = yield from page(f"{asked['lighthouse']} lighthouse")
    text = yield from page(said_of("keeper", text))
    return said_of(asked["asked"], text)


def both(asked: dict[str, Any]) -> Moves:
    text = yield from page(f"{asked['lighthouse']} lighthouse")
    text = yield from page(said_of("keeper", text))
    _, (reports,) = yield from forecasts(f"{said_of('town', text)}, {said_of('country', text)}", *asked["ahead"])
    return whole(reports[asked["part"]][0])


SOLVERS = {
    "temperature": temperature,
    "rain": rain,
    "difference": difference,
    "alert": alert,
    "fact": fact,
    "chain": chain,
    "notice": fact,
    "both": both,
}
