# Part of the template: changes belong there (`copier update` merges this file).
"""Mathematical answers: the value, and the form that is asked for. A sum is no number, though it has its value."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from gymkit.answers import clean, number
from gymkit.symbolic import Equality, compare, is_readable

__all__ = ["FORMS", "Expression"]

MAX_CHARACTERS = 1000

readable = lru_cache(maxsize=10_000)(is_readable)  # A row is played many times.


class Expression:
    """The right answer to a question.

    Args:
        expected: LaTeX, or plain as `2*sqrt(3)`.
        form: One of `FORMS`. Where it is `any` and the answer is a number, a number is wanted.

    Raises:
        ValueError: the answer cannot be read, or has not that form.
        EnvironmentFailed: math-verify cannot be started.
    """

    def __init__(self, expected: Any, form: Any = "any") -> None:
        if not isinstance(form, str) or form not in FORMS:
            raise ValueError(f"form: there is no {form!r}; there are {', '.join(FORMS)}"[:300])
        if not isinstance(expected, str) or not expected.strip() or len(expected) > MAX_CHARACTERS:
            raise ValueError(f"expected_output: a text is wanted, of 1 to {MAX_CHARACTERS} characters")
        self.form = "number" if form == "any" and number(expected) is not None else form
        self.text = expected
        if not FORMS[self.form](clean(expected)):
            raise ValueError(f"expected_output: {expected!r} does not have the form {form!r}"[:300])
        if not readable(expected):
            raise ValueError(f"expected_output: {expected!r} cannot be read as mathematics"[:300])

    def is_met_by(self, answers: Sequence[str]) -> bool | None:
        """Whether there are answers, and each is right: True, False, or None where that cannot be found out.

        It blocks: call it in a thread, as `grade()` is where it is a `def`.
        """
        answers = [clean(answer) for answer in answers]
        if not answers or not all(FORMS[self.form](answer) for answer in answers):
            return False
        found = {compare(answer, self.text) for answer in answers}
        if Equality.DIFFERENT in found:
            return False
        if Equality.UNKNOWN in found:
            return None if len(answers) == 1 else False
        return True


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
