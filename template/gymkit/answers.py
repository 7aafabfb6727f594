# Part of the template: changes belong there (`copier update` merges this file).
"""The final answer in a model's response, for graders of text: which text it is, and what it says.

Every function takes time in proportion to the text, and none raises for any text. NeMo Gym is imported only by who
asks for `Response`.
"""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nemo_gym.openai_utils import NeMoGymResponse as Response

__all__ = ["Response", "boxed", "choice", "clean", "final_answer", "normal", "number", "stated"]

MAX_CHARACTERS = 1_000_000
"""In a longer text no answer is looked for."""

MAX_ANSWER = 2_000
"""A longer answer, of those that stand in a text, is none."""

MAX_STATED = 8
"""More different answers than these are none."""


def __getattr__(name: str) -> Any:
    if name != "Response":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nemo_gym.openai_utils import NeMoGymResponse

    return NeMoGymResponse


def final_answer(response: "Response") -> str:
    """The text of the last assistant message, and nothing else; an empty text where there is none.

    Reasoning, tool calls, tool outputs, refusals and earlier messages are no part of it.
    """
    for item in reversed(response.output):
        if item.type == "message" and getattr(item, "role", None) == "assistant":
            content = getattr(item, "content", None)
            if isinstance(content, str):
                return content
            texts = (part for part in content or () if getattr(part, "type", None) == "output_text")
            return "".join(getattr(part, "text", "") for part in texts)
    return ""


# ----------------------------------------------------------------------------------------- which answers a text states

BOX = re.compile(r"(\\boxed[ \t]*\{)|\\[\\{}]|([{}])")
# Possessive quantifiers (`*+`) keep a long text without an answer from taking long: nothing is tried again.
LINE = re.compile(
    r"^[ \t>#*_-]*+(?:the[ \t]++)?(?:final[ \t]++)?answer[ \t*_]*+:(?:\*\*|__)?[ \t]*+(\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)

SENTENCES = re.compile(r"[^\W\d_]{3}[.!?;] ")
"""More than one sentence. A short word and a full stop may be a letter or an abbreviation: `B. Lima`, `St. Helens`."""


def boxed(text: str) -> list[str]:
    r"""The contents of all complete `\boxed{...}`, braces balanced. Of boxes in each other, the outermost."""
    found: list[str] = []
    depth, start, opened_at = 0, None, 0
    for match in BOX.finditer(text):
        is_box, brace = match.groups()
        if is_box or brace == "{":
            depth += 1
            if is_box and start is None:
                start, opened_at = match.end(), depth
        elif brace == "}" and depth:
            if start is not None and depth == opened_at:
                found.append(text[start : match.start()].strip())
                start = None
            depth -= 1
    return found


def stated(text: str) -> list[str]:
    r"""The different answers that a text states: in boxes, and on lines that begin with `Answer:`.

    A text that states none in this way is an answer itself, if it is one line and one sentence. A grader should want
    each of them to be right: then it pays to state one. Empty where there is no answer, or no end of them.
    """
    if len(text) > MAX_CHARACTERS:
        return []
    found = boxed(text)
    found += [line for line in LINE.findall(text) if r"\boxed" not in line]
    if not found and "\\boxed" not in text:
        line = text.strip()
        found = [] if "\n" in line or SENTENCES.search(line) else [line]
    answers = list(dict.fromkeys(clean(answer) for answer in found if len(answer) <= MAX_ANSWER))
    too_many = len(answers) > MAX_STATED or any(len(answer) > MAX_ANSWER for answer in found)
    return [] if too_many or "" in answers else answers


# -------------------------------------------------------------------------------------------------- what an answer says

WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|emph)[ ]?\{([^{}]*)\}")
PAIRS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("__", "__"), ("`", "`"))


def plain(text: str) -> str:
    """A text without characters that cannot be seen (direction marks, joiners) and half characters; with wide, narrow
    and styled letters as plain ones, and the digits of all scripts as 0 to 9. What is raised or lowered stays so."""
    return text if text.isascii() else "".join(map(_plain, unicodedata.normalize("NFC", text)))


@lru_cache(maxsize=4096)
def _plain(mark: str) -> str:
    if unicodedata.category(mark) in ("Cf", "Cs"):
        return ""
    if unicodedata.decomposition(mark).startswith(("<wide>", "<narrow>", "<font>", "<noBreak>", "<compat>")):
        mark = unicodedata.normalize("NFKC", mark)
    digit = unicodedata.decimal(mark, None) if len(mark) == 1 else None
    return mark if digit is None else str(digit)


def clean(answer: str) -> str:
    """An answer without what stands around it: spaces, mathematics' dollars, emphasis, one full stop at the end."""
    text = " ".join(plain(answer).replace("\u2212", "-").split())
    text = text.removesuffix(".").rstrip() if not text.endswith("..") else text
    changed = True
    while changed:
        changed = False
        for begin, end in PAIRS:
            if len(text) > len(begin + end) and text.startswith(begin) and text.endswith(end):
                text, changed = text[len(begin) : -len(end)].strip(), True
        match = WRAPPED.fullmatch(text)
        if match:
            text, changed = match[1].strip(), True
    return text


def normal(text: str) -> str:
    """A text for comparing: case, spacing, quotation marks, punctuation at the ends, and an article at the beginning do
    not count."""
    text = clean(text).casefold().replace("\u2019", "'")
    text = text.strip(" \t.,;:!?\"'\u201c\u201d\u2018\u00ab\u00bb()[]")
    return re.sub(r"^(?:the|an?) (?=.)", "", text)


LETTER = re.compile(r"(?:(?:option|choice)[ ]+)?[(\[]?([A-Za-z])[)\].:]*", re.IGNORECASE)
LETTER_AND_TEXT = re.compile(
    r"(?:(?:option|choice)[ ]+)?[(\[]?([A-Za-z])[)\].:,]*(?:[ ]+[-\u2013\u2014])?[ ]+(.+)", re.IGNORECASE
)


def choice(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer names, from 0: by its letter, its whole text, or both. None where that is not one of them.

    Args:
        answer: One of those that `stated()` found.
        options: Their texts, in the order in which they were shown: the first is A.
    """
    text, shown = clean(answer), [clean(option) for option in options]
    named = {number for number, option in enumerate(shown) if option == text}
    named = named or {number for number, option in enumerate(shown) if option.casefold() == text.casefold()}
    letter = LETTER.fullmatch(text)
    if letter:
        named.add(ord(letter[1].upper()) - ord("A"))
    both = LETTER_AND_TEXT.fullmatch(text)
    if both and not named:
        number = ord(both[1].upper()) - ord("A")
        if number < len(options) and shown[number].casefold() == both[2].casefold():
            named.add(number)
    return named.pop() if len(named) == 1 and max(named) < len(options) else None


NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,2})?|[+-]?\.\d+", re.ASCII)
FRACTION = re.compile(
    r"([+-]?)(?:\\[dt]?frac[ ]?\{([+-]?\d+)\}[ ]?\{(\d+)\}|\\[dt]?frac[ ]?(\d)[ ]?(\d)|(\d+)[ ]?/[ ]?(\d+))", re.ASCII
)


def number(answer: str) -> Fraction | None:
    """The value of a number that is written as one (`-3`, `1,250.5`, `2e-3`), or of a fraction of two whole numbers
    (`3/4`, `\\frac{3}{4}`); None for anything else, as `16+16`, `nan`, `1e999`, or more than 100 characters."""
    text = clean(answer)
    for space in (r"\,", r"\!", r"\;", "{,}"):
        text = text.replace(space, "," if space == "{,}" else "")
    if len(text) > 100:
        return None
    if NUMBER.fullmatch(text):
        return Fraction(text.replace(",", ""))
    match = FRACTION.fullmatch(text)
    if match:
        sign, *parts = match.groups()
        top, bottom = (int(part) for part in parts if part is not None)
        return None if bottom == 0 else Fraction(top, bottom) * (-1 if sign == "-" else 1)
    return None
