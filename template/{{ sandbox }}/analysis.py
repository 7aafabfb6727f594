"""Data analysis: the notebook of an episode, and which answers and files are right. Nothing of HTTP or NeMo Gym.

No answer is in this file: the server imports it, and an agent may be able to read it.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable
from typing import Any

MAX_ANSWER = 200
"""Characters of an answer. A longer one is never right."""

MAX_CONTENT = 100_000
"""Bytes that a result file may have besides ten times those that it should: one that is much larger is never right."""

NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
TOLERANCE = 0.005 + 1e-9
"""Answers are asked for with two decimals."""


Same = Callable[[str, float | str], bool]


class Notebook:
    """One episode: the files that it began with, what was run, what was submitted, and the score of that.

    Args:
        files: Text files by name, which are in the working folder at the beginning.
        expected: The answer, a number or a word. With a `result_file`, a list of the answer and the file's content.
        result_file: Name of a CSV or JSON file that has to be in the working folder at the end.
        same: Says whether a submitted text is the answer; without, `same_answer()`.

    Raises:
        ValueError: no episode can be made from them.
    """

    def __init__(self, files: Any, expected: Any, result_file: Any = None, same: Same | None = None) -> None:
        if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
            raise ValueError("`files` must hold texts by file name")
        if not all(re.fullmatch(r"\w[\w.-]*", name) for name in files):
            raise ValueError("a file's name in `files` has letters, digits, '.', '-' and '_', and no folder")
        answer, content = (expected, None) if result_file is None else _pair(expected)
        if isinstance(answer, bool) or not isinstance(answer, int | float | str) or answer == "":
            raise ValueError("ground_truth[0].expected_output: a number or a word is wanted")
        if result_file is not None and not (isinstance(result_file, str) and isinstance(content, str)):
            raise ValueError("`result_file` must be a file's name, and its expected content a text")
        self.files: dict[str, str] = files
        self.result_file: str | None = result_file
        self._answer: float | str = answer
        self._content: str | None = content
        self._same: Same = same or same_answer
        self.cells: list[tuple[str, str]] = []
        self.submitted: str | None = None

    def note(self, code: str, output: str) -> None:
        """Keep what was run, and its output."""
        self.cells.append((code, output))

    def submit(self, answer: str) -> str:
        """Take the answer. It can be submitted once, and the agent is not told whether it is right."""
        if self.submitted is not None:
            return "An answer has been submitted before; only the first one counts."
        self.submitted = answer
        return "The answer has been submitted. The episode is over."

    def score(self, result: bytes | None) -> float:
        """1.0 for the right answer, together with the right result file where one is wanted; else 0.0.

        Args:
            result: Content of the result file at the end, None where there is none.
        """
        if self.submitted is None or not self._same(self.submitted, self._answer):
            return 0.0
        if self.result_file is None or self._content is None:
            return 1.0
        return float(result is not None and same_content(self.result_file, result, self._content))


def _pair(expected: Any) -> tuple[Any, Any]:
    if not isinstance(expected, list) or len(expected) != 2:
        raise ValueError("ground_truth[0].expected_output: a list of answer and content is wanted")
    return expected[0], expected[1]


# ------------------------------------------------------------------------------------------------------- comparing


def same_answer(given: str, expected: float | str) -> bool:
    """Whether a submitted text is the answer: the whole of it, not a part. Numbers may differ by half a hundredth."""
    given = given.strip()
    if len(given) > MAX_ANSWER:
        return False
    if isinstance(expected, str):
        return given.casefold() == expected.casefold()
    if NUMBER.fullmatch(given) is None:
        return False
    return close(float(given.replace(",", "")), expected)


def close(given: float, expected: float) -> bool:
    """Whether two numbers are the same but for rounding. NaN and infinity are never the same as a number."""
    try:
        difference = abs(float(given) - expected)  # An integer may be larger than any float.
    except OverflowError:
        return False
    return math.isfinite(difference) and difference <= max(TOLERANCE, 1e-9 * abs(expected))


def same_content(name: str, given: bytes, expected: str) -> bool:
    """Whether a CSV or JSON file has the same content as another; numbers may differ by rounding."""
    if len(given) > MAX_CONTENT + 10 * len(expected):
        return False
    try:
        text = given.decode("utf-8-sig")
        if name.endswith(".json"):
            return same_json(json.loads(text), json.loads(expected))
        rows, wanted = list(csv.reader(io.StringIO(text))), list(csv.reader(io.StringIO(expected)))
    except (ValueError, RecursionError, csv.Error):
        return False
    rows = [row for row in rows if row]
    return len(rows) == len(wanted) and all(map(same_row, rows, wanted))


def same_row(row: list[str], wanted: list[str]) -> bool:
    """Whether two rows of a CSV file are the same."""
    if len(row) != len(wanted):
        return False
    return all(
        same_answer(cell, float(value)) if NUMBER.fullmatch(value) else cell.strip() == value
        for cell, value in zip(row, wanted, strict=True)
    )


def same_json(given: Any, expected: Any) -> bool:
    """Whether two JSON values are the same."""
    if isinstance(expected, dict):
        return (
            isinstance(given, dict)
            and given.keys() == expected.keys()
            and all(same_json(given[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(given, list) and len(given) == len(expected) and all(map(same_json, given, expected))
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        return isinstance(given, int | float) and not isinstance(given, bool) and close(given, expected)
    return type(given) is type(expected) and given == expected
