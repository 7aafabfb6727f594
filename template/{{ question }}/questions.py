"""How a row of each kind is graded. Plain Python, of the row and the answer's text alone.

A kind is a class: it reads its part of the row, refuses one that makes no question, and says what an answer is worth:
right, wrong, or that no rule decides. To add a kind, write such a class and name it in `KINDS`.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import constraints
from gymkit.answers import choice, clean, normal, number, stated
from gymkit.symbolic import Equality, compare, is_readable

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
        if not isinstance(expected, str) or not re.fullmatch("[A-Z]", expected) or ord(expected) - 65 >= len(options):
            raise ValueError(f"expected_output: {expected!r} is the letter of none of the {len(options)} options"[:300])
        self.options: list[str] = options
        self.right = ord(expected) - 65

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
        form = row.get("form", "any")
        if not isinstance(form, str) or form not in FORMS:
            raise ValueError(f"form: there is no {form!r}; there are {', '.join(FORMS)}"[:300])
        if not isinstance(expected, str) or not expected.strip() or len(expected) > 1000:
            raise ValueError("expected_output: a text is wanted, of 1 to 1000 characters")
        if form == "any" and number(expected) is not None:
            form = "number"  # A number is a number, and not a sum of which it is the value.
        if not FORMS[form](clean(expected)):
            raise ValueError(f"expected_output: {expected!r} does not have the form {form!r}"[:300])
        if not readable(expected):
            raise ValueError(f"expected_output: {expected!r} cannot be read as mathematics"[:300])
        self.form = form
        self.reference = expected

    def grade(self, text: str) -> bool | None:
        answers = stated(text)
        if not answers or not all(FORMS[self.form](answer) for answer in answers):
            return WRONG
        found = {compare(answer, self.reference) for answer in answers}
        if Equality.DIFFERENT in found:
            return WRONG
        if Equality.UNKNOWN in found:
            return UNDECIDED if len(answers) == 1 else WRONG
        return RIGHT


readable = lru_cache(maxsize=10_000)(is_readable)  # A row is played many times.


def is_integer(text: str) -> bool:
    """`-12`, `1,250`"""
    return re.fullmatch(r"[+-]?(\d+|\d{1,3}(,\d{3})+)", text) is not None


def is_decimal(text: str) -> bool:
    """A number without a fraction bar: `-0.75`, `12`"""
    return number(text) is not None and "/" not in text and "frac" not in text


def is_number(text: str) -> bool:
    """An integer, a decimal number, or a fraction of two integers, reduced or not: no sum or product."""
    return number(text) is not None


def is_fraction(text: str) -> bool:
    """A fraction in lowest terms (`3/4`, `\\frac{3}{4}`), or an integer."""
    value = number(text)
    if value is None or value.denominator == 1:
        return is_integer(text)
    top, bottom = abs(value.numerator), value.denominator
    bare = re.sub(r"\s|[+-]|(?<=\\)[dt](?=frac)", "", text)
    return bare in (f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}", rf"\frac{top}{bottom}")


TERM = re.compile(r"([+-]?)(\d+(?:/\d+)?)?\*?((?:[a-z](?:\^(?:\d+|\{\d+\}))?\*?)*)")


def is_polynomial(text: str) -> bool:
    """A sum of terms, written out and collected: `x^2 - 3x + 2`, and not `(x-1)(x-2)` or `x^2 - x - 2x + 2`."""
    text = re.sub(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}", r"\1/\2", text).replace(r"\cdot", "*").replace("**", "^")
    text = re.sub(r"\s+|\\[,!; ]", "", text)
    powers: list[tuple[tuple[str, int], ...]] = []
    while text:
        match = TERM.match(text)
        if match is None or not (match[2] or match[3]) or (powers and not match[1]):
            return False
        factors = re.findall(r"([a-z])(?:\^\{?(\d{1,3})\}?)?", match[3])
        powers.append(tuple(sorted((letter, int(power or 1)) for letter, power in factors)))
        if len({letter for letter, _ in factors}) < len(factors):
            return False  # `x*x`
        text = text[match.end() :]
    return bool(powers) and len(set(powers)) == len(powers)


ROOT = re.compile(r"[+-]?(\d+\*?)?(\\sqrt\{\d+\}|\\sqrt\d|sqrt\(\d+\))")


def is_root(text: str) -> bool:
    """An integer times a square root, simplified: `2\\sqrt{3}`, and not `\\sqrt{12}`."""
    text = re.sub(r"\s+|\\[,!; ]|\\cdot", "", text)
    if ROOT.fullmatch(text) is None:
        return False
    inside = int(re.findall(r"\d+", text)[-1]) if len(text) < 30 else 0
    return 1 < inside < 1_000_000 and all(inside % (part * part) for part in range(2, 1000) if part * part <= inside)


def is_set(text: str) -> bool:
    """Numbers in braces, each once: `{-2, 3}`"""
    match = re.fullmatch(r"(?:\\left)?\\?\{(.*?)(?:\\right)?\\?\}", text)
    items = [number(item) for item in match[1].split(",")] if match else []
    return bool(items) and None not in items and len(set(items)) == len(items)


def is_interval(text: str) -> bool:
    """An interval, whose ends are numbers or infinite: `(-3, 5]`"""
    match = re.fullmatch(r"(?:\\left)?[(\[](.*),(.*?)(?:\\right)?[)\]]", text)
    return match is not None and all(
        number(end) is not None or re.fullmatch(r"[+-]?(\\infty|infinity|inf|oo|∞)", end.strip())
        for end in match.groups()
    )


FORMS: dict[str, Callable[[str], bool]] = {
    "any": lambda text: True,
    "integer": is_integer,
    "decimal": is_decimal,
    "number": is_number,
    "fraction": is_fraction,
    "polynomial": is_polynomial,
    "root": is_root,
    "set": is_set,
    "interval": is_interval,
}


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
