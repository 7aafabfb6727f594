"""How a row of each kind is graded. Plain Python, of the row and the answer's text alone.

A kind is a class: it reads its part of the row, refuses one that makes no question, and says what an answer is worth:
right, wrong, or that no rule decides. To add a kind, write such a class and name it in `KINDS`.
"""

from collections.abc import Callable, Mapping
from string import ascii_uppercase
from typing import Any, ClassVar, Protocol

import constraints
from gymkit.answers import choice, clean, normal, stated
from gymkit.forms import Expression

Row = Mapping[str, Any]

RIGHT, WRONG, UNDECIDED = True, False, None
"""What `grade()` of a question says. What no rule decides earns nothing, unless a judge is asked."""


class Question(Protocol):
    """A question of one kind."""

    reference: str
    """The right answer, for a judge; empty where none is to be asked."""

    def grade(self, text: str) -> bool | None:
        """What a text, the whole final answer, is worth."""
        ...


def question(row: Row) -> Question:
    """The question of a row.

    Raises:
        ValueError: it makes none; the message says why.
    """
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: there is no {kind!r}; there are {', '.join(KINDS)}"[:300])
    truth = row.get("ground_truth")
    if not (
        isinstance(truth, list) and len(truth) == 1 and isinstance(truth[0], dict) and "expected_output" in truth[0]
    ):
        raise ValueError("ground_truth: a list with one object that has an expected_output is wanted")
    return KINDS[kind](truth[0]["expected_output"], row)


# ------------------------------------------------------------------------------------------------------------- choice


class Choice:
    """One of several options: `options` are their texts as shown, the expected output is a letter."""

    reference = ""

    def __init__(self, expected: Any, row: Row) -> None:
        options = row.get("options")
        if not isinstance(options, list) or not all(isinstance(option, str) and option.strip() for option in options):
            raise ValueError("options: a list of texts is wanted")
        if not 2 <= len(options) <= 26 or len({clean(option) for option in options}) < len(options):
            raise ValueError("options: 2 to 26 are wanted, all different")
        letters = ascii_uppercase[: len(options)]
        if not isinstance(expected, str) or len(expected) != 1 or expected not in letters:
            raise ValueError(f"expected_output: {expected!r} is the letter of none of the {len(options)} options"[:300])
        self.options: list[str] = options
        self.right = letters.index(expected)

    def grade(self, text: str) -> bool:
        answers = stated(text)
        return bool(answers) and all(choice(answer, self.options) == self.right for answer in answers)


# -------------------------------------------------------------------------------------------------------- constraints


class Constrained:
    """A text that has to meet constraints: the expected output is their list (constraints.py)."""

    reference = ""

    def __init__(self, expected: Any, row: Row) -> None:
        self.constraints = constraints.read(expected)

    def grade(self, text: str) -> bool:
        return not constraints.unmet(self.constraints, text)


# --------------------------------------------------------------------------------------------------------- mathematics


class Mathematics:
    """An answer in the form that is asked for: `form` is one of `FORMS`, and the expected output has it."""

    def __init__(self, expected: Any, row: Row) -> None:
        self.expression = Expression(expected, row.get("form", "any"))
        self.reference = self.expression.text

    def grade(self, text: str) -> bool | None:
        return self.expression.is_met_by(stated(text))


# --------------------------------------------------------------------------------------------------------- short texts


class ShortText:
    """An answer in a few words: the expected output is the list of those that count as right, the best first.

    Another one may say the same in other words: no rule decides.
    """

    MAX_CHARACTERS: ClassVar[int] = 200

    def __init__(self, expected: Any, row: Row) -> None:
        if not isinstance(expected, list) or not expected or not all(isinstance(one, str) for one in expected):
            raise ValueError("expected_output: a list of texts is wanted, one or more")
        if not all(normal(one) and len(one) <= self.MAX_CHARACTERS for one in expected):
            raise ValueError(f"expected_output: texts of 1 to {self.MAX_CHARACTERS} characters are wanted")
        self.right = {normal(one) for one in expected}
        self.reference: str = expected[0]

    def grade(self, text: str) -> bool | None:
        answers = {normal(answer) for answer in stated(text)}
        if len(answers) != 1 or not all(0 < len(answer) <= self.MAX_CHARACTERS for answer in answers):
            return WRONG
        return RIGHT if answers <= self.right else UNDECIDED


KINDS: dict[str, Callable[[Any, Row], Question]] = {
    "choice": Choice,
    "constraints": Constrained,
    "math": Mathematics,
    "words": ShortText,
}
