"""Constraints on a text that can be checked by rule. Plain Python; `language` alone asks a library (py3langid).

A constraint is an object with its `kind` and its arguments, as `{"kind": "words", "least": 40, "most": 60}`. To add a
kind: a subclass of `Constraint` with a docstring, `met()` and `wanted()`, and its name in `KINDS`.
"""

import json
import re
from typing import Annotated, Any, Literal

import py3langid
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

MAX_CHARACTERS = 100_000
"""A longer text meets no constraint."""

LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "pt": "Portuguese"}
LANGUAGES |= {"nl": "Dutch", "pl": "Polish", "ru": "Russian", "uk": "Ukrainian", "tr": "Turkish", "sv": "Swedish"}
LANGUAGES |= {"ar": "Arabic", "fa": "Persian", "hi": "Hindi", "bn": "Bengali", "ko": "Korean", "ja": "Japanese"}
LANGUAGES |= {"zh": "Chinese", "vi": "Vietnamese", "th": "Thai", "fi": "Finnish", "da": "Danish", "bg": "Bulgarian"}
LANGUAGES |= {"gu": "Gujarati", "kn": "Kannada", "mr": "Marathi", "ne": "Nepali", "pa": "Punjabi", "sw": "Swahili"}
LANGUAGES |= {
    "ta": "Tamil",
    "te": "Telugu",
    "ur": "Urdu",
    "he": "Hebrew",
    "el": "Greek",
    "cs": "Czech",
    "ro": "Romanian",
}

Word = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^\w+(?:[ '\-]\w+)*$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"\S")]


py3langid.classify("The model is loaded now, and not with the first answer.")


class Constraint(BaseModel):
    """A constraint of one kind, with its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str

    def met(self, text: str) -> bool:
        """Whether a text, without spaces around it, meets the constraint."""
        raise NotImplementedError

    def wanted(self) -> str:
        """The sentence that asks for it."""
        raise NotImplementedError


class Counted(Constraint):
    """A constraint on how many there are of something: at least one of the two bounds is given."""

    least: int | None = Field(default=None, ge=0)
    most: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _has_bounds(self) -> "Counted":
        if self.least is None and self.most is None:
            raise ValueError("`least` or `most` is wanted")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"`least` is {self.least} and `most` is {self.most}")
        return self

    def within(self, count: int) -> bool:
        return (self.least or 0) <= count and (self.most is None or count <= self.most)

    def bounds(self) -> str:
        if self.least == self.most:
            return f"exactly {self.least}"
        if self.most is None:
            return f"at least {self.least}"
        return f"at most {self.most}" if self.least is None else f"{self.least} to {self.most}"


def words_of(text: str) -> list[str]:
    """The words of a text: letters and digits, with apostrophes and hyphens within them."""
    return re.findall(r"\w+(?:['’\-]\w+)*", text)


def times(word: str, text: str) -> int:
    """How often a word, or several, stand in a text as whole words, in upper or lower case."""
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


class Words(Counted):
    """How many words."""

    kind: Literal["words"] = "words"

    def met(self, text: str) -> bool:
        return self.within(len(words_of(text)))

    def wanted(self) -> str:
        return f"Use {self.bounds()} words."


class Sentences(Counted):
    """How many sentences: they end with `.`, `!` or `?`."""

    kind: Literal["sentences"] = "sentences"

    def met(self, text: str) -> bool:
        ends = re.split(r"(?<![.!?؟])[.!?؟]++[\"'”’)\]]*+(?:\s++|$)|[。！？]++", text)
        return self.within(sum(bool(words_of(part)) for part in ends))

    def wanted(self) -> str:
        return f"Write {self.bounds()} sentences."


class Paragraphs(Counted):
    """How many paragraphs: blank lines part them, or a line with a separator of one's own."""

    kind: Literal["paragraphs"] = "paragraphs"
    separator: Text | None = None

    def met(self, text: str) -> bool:
        parts = re.split(r"\n[ \t]*\n", text) if self.separator is None else text.split(self.separator)
        return self.within(sum(bool(words_of(part)) for part in parts))

    def wanted(self) -> str:
        parted = "a blank line" if self.separator is None else f"a line with {self.separator}"
        return f"Write {self.bounds()} paragraphs, parted by {parted}."


class Keywords(Constraint):
    """Words that have to stand in it."""

    kind: Literal["keywords"] = "keywords"
    words: list[Word] = Field(min_length=1)

    def met(self, text: str) -> bool:
        return all(times(word, text) for word in self.words)

    def wanted(self) -> str:
        return f"Use these words: {', '.join(self.words)}."


class Frequency(Counted):
    """How often a word stands in it."""

    kind: Literal["frequency"] = "frequency"
    word: Word

    def met(self, text: str) -> bool:
        return self.within(times(self.word, text))

    def wanted(self) -> str:
        return f"Use the word {self.word} {self.bounds()} times."


class Letters(Counted):
    """How often a letter stands in it."""

    kind: Literal["letters"] = "letters"
    letter: Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r"\S")]

    def met(self, text: str) -> bool:
        return self.within(text.casefold().count(self.letter.casefold()))

    def wanted(self) -> str:
        return f"Use the letter {self.letter} {self.bounds()} times."


class Forbidden(Constraint):
    """Words that may not stand in it."""

    kind: Literal["forbidden"] = "forbidden"
    words: list[Word] = Field(min_length=1)

    def met(self, text: str) -> bool:
        return not any(times(word, text) for word in self.words)

    def wanted(self) -> str:
        return f"Do not use these words: {', '.join(self.words)}."


class Case(Constraint):
    """Letters in upper or lower case alone."""

    kind: Literal["case"] = "case"
    case: Literal["upper", "lower"]

    def met(self, text: str) -> bool:
        return text == (text.upper() if self.case == "upper" else text.lower()) and text.upper() != text.lower()

    def wanted(self) -> str:
        return f"Write all letters in {self.case} case."


class Capitals(Counted):
    """How many words are written in capital letters."""

    kind: Literal["capitals"] = "capitals"

    def met(self, text: str) -> bool:
        return self.within(sum(word.isupper() and len(word) > 1 for word in words_of(text)))

    def wanted(self) -> str:
        return f"Write {self.bounds()} words (of two letters or more) in capital letters."


class Begins(Constraint):
    """What it begins with."""

    kind: Literal["begins"] = "begins"
    text: Text

    def met(self, text: str) -> bool:
        return text.startswith(self.text)

    def wanted(self) -> str:
        return f"Begin with these very words: {self.text}"


class Ends(Constraint):
    """What it ends with."""

    kind: Literal["ends"] = "ends"
    text: Text

    def met(self, text: str) -> bool:
        return text.endswith(self.text)

    def wanted(self) -> str:
        return f"End with these very words: {self.text}"


class Bullets(Counted):
    """How many bullets: lines that begin with `*` or `-`."""

    kind: Literal["bullets"] = "bullets"

    def met(self, text: str) -> bool:
        return self.within(len(re.findall(r"^[ \t]*+[*-][ \t]++\S", text, re.MULTILINE)))

    def wanted(self) -> str:
        return f"Make {self.bounds()} bullets: lines that begin with an asterisk and a space."


class Json(Constraint):
    """A JSON object, with these keys and no others. Without keys, any JSON value."""

    kind: Literal["json"] = "json"
    keys: list[Text]

    def met(self, text: str) -> bool:
        if text.startswith("```") and text.endswith("\n```"):
            text = text.partition("\n")[2].removesuffix("\n```")
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return False
        return not self.keys or (isinstance(value, dict) and value.keys() == set(self.keys))

    def wanted(self) -> str:
        keys = f"object with the keys {', '.join(self.keys)}, and no others" if self.keys else "value"
        return f"Answer with nothing but a JSON {keys}."


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


class Language(Constraint):
    """The language it is written in, by its code of two letters."""

    kind: Literal["language"] = "language"
    language: str

    @model_validator(mode="after")
    def _is_known(self) -> "Language":
        if self.language not in LANGUAGES:
            raise ValueError(f"no language {self.language!r}; there are {', '.join(sorted(LANGUAGES))}")
        return self

    def met(self, text: str) -> bool:
        return py3langid.classify(text[:5000].lower())[0] == self.language

    def wanted(self) -> str:
        return f"Write in {LANGUAGES[self.language]}."


class Quoted(Constraint):
    """The whole of it in double quotation marks."""

    kind: Literal["quoted"] = "quoted"

    def met(self, text: str) -> bool:
        return text.startswith('"') and text.endswith('"')

    def wanted(self) -> str:
        return 'Put the whole answer into double quotation marks ("like this").'


class NoCommas(Constraint):
    """No commas."""

    kind: Literal["no_commas"] = "no_commas"

    def met(self, text: str) -> bool:
        return not set(text) & set(",，、،")

    def wanted(self) -> str:
        return "Use no commas."


class Title(Constraint):
    """A title in double angular brackets, on a line of its own."""

    kind: Literal["title"] = "title"

    def met(self, text: str) -> bool:
        return any(match.strip() for match in re.findall(r"^[ \t]*+<<([^<>\n]++)>>[ \t]*+$", text, re.MULTILINE))

    def wanted(self) -> str:
        return "Give it a title in double angular brackets, on a line of its own, as <<a title>>."


class Placeholders(Counted):
    """How many placeholders in square brackets."""

    kind: Literal["placeholders"] = "placeholders"

    def met(self, text: str) -> bool:
        return self.within(len(re.findall(r"\[[^\[\]\n]+\]", text)))

    def wanted(self) -> str:
        return f"Use {self.bounds()} placeholders in square brackets, as [name]."


class Postscript(Constraint):
    """A line at the end that begins with a marker, as `P.S.`, and says something."""

    kind: Literal["postscript"] = "postscript"
    marker: Text

    def met(self, text: str) -> bool:
        last = text.splitlines()[-1].strip() if text else ""
        return last.startswith(self.marker) and bool(words_of(last[len(self.marker) :]))

    def wanted(self) -> str:
        return f"Add a postscript on the last line, which begins with {self.marker}"


class Highlights(Counted):
    """How many passages are highlighted with single asterisks."""

    kind: Literal["highlights"] = "highlights"

    def met(self, text: str) -> bool:
        return self.within(len(re.findall(r"(?<!\*)\*(?!\s)[^*\n]+(?<!\s)\*(?!\*)", text)))

    def wanted(self) -> str:
        return f"Highlight {self.bounds()} passages with asterisks, as *a passage*."


KINDS: tuple[type[Constraint], ...] = (
    *(
        Words,
        Sentences,
        Paragraphs,
        Keywords,
        Frequency,
        Letters,
        Forbidden,
        Case,
        Capitals,
        Begins,
        Ends,
        Bullets,
        Json,
    ),
    *(Language, Quoted, NoCommas, Title, Placeholders, Postscript, Highlights),
)

BY_KIND: dict[str, type[Constraint]] = {each.model_fields["kind"].default: each for each in KINDS}


def read(constraints: Any) -> list[Constraint]:
    """The constraints of a row.

    Args:
        constraints: A list of objects as in the row; it may not be empty, or an empty answer would meet it.

    Raises:
        ValueError: one of them does not exist, lacks an argument or has a wrong one, or two contradict each other.
    """
    if not isinstance(constraints, list) or not 1 <= len(constraints) <= 20:
        raise ValueError("constraints: a list of 1 to 20 is wanted")
    found = [_read(number, each) for number, each in enumerate(constraints)]
    forbidden = {word.casefold() for each in found if isinstance(each, Forbidden) for word in each.words}
    wanted = {word.casefold() for each in found if isinstance(each, Keywords) for word in each.words}
    if forbidden & wanted:
        raise ValueError(f"constraints: {', '.join(sorted(forbidden & wanted))}: wanted and forbidden")
    return found


def _read(number: int, given: Any) -> Constraint:
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in BY_KIND:
        raise ValueError(f"constraints.{number}: there is no {kind!r}; there are {', '.join(BY_KIND)}"[:500])
    try:
        return BY_KIND[kind].model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in (number, kind, *problem["loc"]))
        raise ValueError(f"constraints.{where}: {problem['msg']}"[:500]) from None


def unmet(constraints: list[Constraint], text: str) -> list[Constraint]:
    """Those that a text does not meet. A text without a word, or one that is too long, meets none."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS or not words_of(text):
        return list(constraints)
    return [each for each in constraints if not each.met(text)]
