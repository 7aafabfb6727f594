"""Wrong answers to a row, made by rule from the right one."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import constraints
from gymkit.answers import number
from gymkit.rows import expected_output

Row = dict[str, Any]


def wrong_answers(row: Row, right: str) -> Iterator[tuple[str, str]]:
    """Names and texts of answers that have to earn nothing.

    Args:
        row: Of any kind.
        right: The text of the right answer.
    """
    truth = expected_output(row)
    yield from {"choice": of_choice, "math": of_mathematics, "constraints": of_constraints, "words": of_words}[
        row["kind"]
    ](row, truth, right)


def box(answer: str) -> str:
    return rf"The answer is \boxed{{{answer}}}."


def of_choice(row: Row, truth: str, right: str) -> Iterator[tuple[str, str]]:
    options: list[str] = row["options"]
    letters = [chr(65 + place) for place in range(len(options))]
    for letter, option in zip(letters, options, strict=True):
        if letter != truth:
            yield f"option {letter}", box(letter)
            yield f"text of {letter}", box(option)
    yield "every letter, the right one last", "".join(box(letter) for letter in [*letters, truth])
    yield "all letters in one box", box(", ".join(letters))
    yield "not the right one", box(f"not {truth}")
    yield "the right one, and then another", right + box(letters[truth == "A"])


def of_mathematics(row: Row, truth: str, right: str) -> Iterator[tuple[str, str]]:
    yield "off by one", box(off_by_one(truth))
    yield "a wrong box, and then the right one", box(off_by_one(truth)) + right
    yield "not evaluated", box(not_evaluated(row["form"], truth))
    yield "no box", f"I found that it is\n{truth}, I think."


def off_by_one(text: str) -> str:
    """A text whose last number that is no power, root or denominator is one more."""
    value = number(text)
    if value is not None:
        return str(value + 1)
    *_, last = re.finditer(r"(?<![\^{\d])\d+|(?<=\\\{)\d+", text)
    return f"{text[: last.start()]}{int(last[0]) + 1}{text[last.end() :]}"


def not_evaluated(form: str, text: str) -> str:
    """An expression that is equal, and has not the form that is asked for."""
    value = number(text)
    if form == "fraction" and value is not None:
        return rf"\frac{{{2 * value.numerator}}}{{{2 * value.denominator}}}"
    if form == "root":
        outside, inside = map(int, re.findall(r"\d+", text))
        return rf"\sqrt{{{outside * outside * inside}}}"
    if form in ("set", "interval"):
        end = re.findall(r"-?\d+", text)[-1]
        return text[: text.rindex(end)] + f"{int(end) - 1} + 1" + text[text.rindex(end) + len(end) :]
    if form == "polynomial":
        return f"({text}) + 1 - 1"
    return f"{Fraction(text.replace(',', '')) - 1} + 1"


def of_words(row: Row, truth: list[str], right: str) -> Iterator[tuple[str, str]]:
    yield "several", right + box("something else")
    yield "a list", "\n".join(f"Answer: {one}" for one in (*truth, "an elephant"))
    yield "in prose alone", f"One could say\nthat it is {truth[0]}."


def of_constraints(row: Row, truth: list[Row], right: str) -> Iterator[tuple[str, str]]:
    for each in constraints.read(truth):
        yield each.kind, BREAKERS[each.kind](right, each)
    yield "nothing", "   "
    yield "without a word", "... !"


def longer(text: str, words: str) -> str:
    """More words in the middle, where neither beginning nor end is."""
    middle = text.rfind(" ", 0, max(2, len(text) // 2))
    return f"{text[:middle]} {words}{text[middle:]}"


def of_count(more: str, fewer: Callable[[str], str]) -> Callable[[str, Any], str]:
    """What breaks a count: too many where there is a most, else fewer."""

    def broken(text: str, each: Any) -> str:
        return longer(text, more * (each.most + 1)) if each.most is not None else fewer(text)

    return broken


BREAKERS: dict[str, Callable[[str, Any], str]] = {
    "words": of_count("mm ", lambda text: " ".join(text.split(" ")[:3])),
    "sentences": of_count("so. ", lambda text: re.sub(r"[.!?]", "", text)),
    "paragraphs": lambda text, each: text.replace("\n\n" if each.separator is None else each.separator, " "),
    "keywords": lambda text, each: re.sub(each.words[0], "thing", text, flags=re.IGNORECASE),
    "frequency": lambda text, each: re.sub(each.word, "thing", text, count=1, flags=re.IGNORECASE),
    "letters": lambda text, each: re.sub(each.letter, "", text, flags=re.IGNORECASE),
    "forbidden": lambda text, each: longer(text, each.words[0]),
    "case": lambda text, each: longer(text, "Mm"),
    "capitals": lambda text, each: re.sub(r"\b[A-Z]{2,}\b", "so", text, count=1),
    "begins": lambda text, each: f"Now {text}",
    "ends": lambda text, each: text.replace(each.text, each.text[:-1]),
    "bullets": lambda text, each: re.sub(r"\n[*-] ", "\n", text, count=1),
    "json": lambda text, each: text.replace(f'"{each.keys[0]}"', '"other"'),
    "language": lambda text, each: (
        "The ferry leaves at seven. Whoever comes late has to wait until noon. " * 4
        + "There is no other one on that day. Nobody has ever complained about it."
    ),
    "quoted": lambda text, each: text.strip('"'),
    "no_commas": lambda text, each: longer(text, ","),
    "title": lambda text, each: text.replace("<<", "<").replace(">>", ">"),
    "placeholders": lambda text, each: text.replace("[", "").replace("]", ""),
    "postscript": lambda text, each: text.replace(each.marker, "NB"),
    "highlights": lambda text, each: text.replace("*there*", "there"),
}
"""How a text is changed so that it does not meet a constraint any more, by the constraint's kind."""
