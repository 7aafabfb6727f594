# Part of the template: changes belong there (`copier update` merges this file).
"""Whether an expected output stands where a model can read it: in prompts, schemas, pages, and the first outputs.

A long answer is looked for as it is. A short one stands everywhere by chance: in a prompt it counts where the prompts
of other rows do not have it as well, and elsewhere it is tried by a marker that stands in its place.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from gymkit.audit.chance import declared
from gymkit.audit.cheats import as_text
from gymkit.client import EnvironmentClient
from gymkit.items import text_of
from gymkit.rows import Row, demo_row, expected_output

LONG = 10
"""An answer of so many characters does not stand anywhere by chance."""
LONG_PART = 20
"""Nor does a part of an answer that has parts."""
SHORTEST = 4
"""A shorter one is looked for nowhere but by its marker."""
OTHERS = 100
"""So many other prompts a prompt is compared with."""
LIST = 0.2
"""A text that holds this share of all short answers lists them."""

RARE = "qxzjvkw"
PAGES = (("/", "text/html"), ("/", "application/json"), ("/openapi.json", "application/json"), ("/tools", "*/*"))


def pages_of(client: EnvironmentClient) -> dict[str, str]:
    """What anybody can read at the environment's address, by path."""
    found: dict[str, str] = {}
    for path, accept in PAGES:
        answer = client.http.get(f"{client.url}{path}", headers={"Accept": accept}, timeout=60)
        if answer.ok:
            found[path] = found.get(path, "") + answer.text
    return found


class Leaks:
    """What a model can read of expected outputs without playing.

    Args:
        rows: All rows that are audited.
        pages: As `pages_of` gives them.
    """

    def __init__(self, rows: Sequence[Row], pages: Mapping[str, str]) -> None:
        self.pages = {path: text.casefold() for path, text in pages.items()}
        self._public = _prompt(demo_row()).casefold()
        self._prompts = [(_answer(row), _prompt(row).casefold()) for row in rows]
        short = {text for row in rows for text in _texts(expected_output(row)) if SHORTEST <= len(text) < LONG}
        self.lists = {
            path
            for path, text in self.pages.items()
            if sum(_stands_in(answer, text) for answer in short) >= max(3, LIST * len(short))
        }

    def of(self, row: Row) -> str | None:
        """Where a row's expected output stands, in one line; None where it does not."""
        expected = expected_output(row)
        for answer in _texts(expected):
            is_long = len(answer) >= (LONG_PART if isinstance(expected, list | Mapping) else LONG)
            for path, text in self.pages.items():
                if (is_long or path in self.lists) and answer not in self._public and _stands_in(answer, text):
                    return f"the expected output stands in {path}"
        answer = _answer(row)
        if answer is None or len(answer) < SHORTEST or declared(row, "chance") is not None:
            return None  # Where there are options, the right one stands among them.
        if _stands_in(answer, _prompt(row).casefold()) and not self._common(answer):
            return (
                "the expected output stands in the prompt (where it may, as one of several options, declare `chance`)"
            )
        return None

    def _common(self, answer: str) -> bool:
        """Whether an answer stands in the prompts of other rows as well, whose answer it is not."""
        others = [prompt for other, prompt in self._prompts if other != answer][:OTHERS]
        return sum(_stands_in(answer, prompt) for prompt in others) * 2 > len(others)


def _prompt(row: Row) -> str:
    given = row["responses_create_params"]["input"]
    return given if isinstance(given, str) else "\n".join(map(text_of, given))


def _answer(row: Row) -> str | None:
    """The expected output as a model would read it, in small letters."""
    expected = expected_output(row)
    return None if expected is None or isinstance(expected, bool) else as_text(expected).strip().casefold()


def _texts(expected: Any) -> Iterator[str]:
    """All texts and numbers in an expected output, in small letters."""
    if isinstance(expected, Mapping):
        expected = list(expected.values())
    if isinstance(expected, list):
        for inner in expected:
            yield from _texts(inner)
    elif expected is not None and not isinstance(expected, bool):
        yield as_text(expected).strip().casefold()


def _stands_in(answer: str, text: str) -> bool:
    """Whether an answer stands in a text, and not as a part of a longer word or number."""
    if not answer or answer not in text:
        return False
    before, after = (r"(?<!\w)" if answer[0].isalnum() else ""), (r"(?!\w)" if answer[-1].isalnum() else "")
    return re.search(before + re.escape(answer) + after, text) is not None


# ------------------------------------------------------------------------------------------------------------- markers


def marked(row: Row, random: Random, *, same_shape: bool) -> tuple[Row, list[str]] | None:
    """A row whose expected output is a marker, and the markers; None where there is nothing to mark.

    Args:
        row: A row of the form that `gymkit data` writes.
        random: Draws the marker.
        same_shape: Whether a text is marked by one of as many letters and digits; else by a longer one.
    """
    truth = row.get("ground_truth")
    if not isinstance(truth, list) or not truth or not isinstance(truth[0], Mapping):
        return None
    markers: list[str] = []
    expected = _marked(truth[0].get("expected_output"), random, same_shape, markers)
    if not markers:
        return None
    return {**row, "ground_truth": [{**truth[0], "expected_output": expected}, *truth[1:]]}, markers


def _marked(value: Any, random: Random, same_shape: bool, markers: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _marked(inner, random, same_shape, markers) for key, inner in value.items()}
    if isinstance(value, list):
        return [_marked(inner, random, same_shape, markers) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        number = random.randint(10**7, 10**8)
        markers.append(str(number))
        return number
    if not isinstance(value, str):
        return value
    if same_shape:
        marker = re.sub(r"[^\W\d_]", lambda _: random.choice(RARE), value)
        marker = re.sub(r"\d", lambda _: random.choice("0123456789"), marker)
        if len(marker) >= SHORTEST:
            markers.append(marker)
        return marker
    markers.append(marker := "".join(random.choice(RARE) for _ in range(12)))
    return marker
