# Part of the template: changes belong there (`copier update` merges this file).
"""A user who follows a script: facts, which he tells when he is asked, and wishes, one after the other.

He understands of what is said to him which facts are asked for, whether it is asked if there is something else, whether
a plan is to be confirmed, and whether something is said to be done or denied. He believes what he is told, as people
do: what was really done, the grader looks up. The same script and the same words always make the same answers.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Heard", "Script", "ScriptedUser", "Topic", "heard", "read_script"]

MOST_CHARACTERS = 20_000
"""He reads no more of a text."""


class Script(BaseModel):
    """A user's file: the key `user` of a data row."""

    model_config = ConfigDict(extra="forbid")

    opening: str = Field(min_length=1, description="His first words, which stand in the row's prompt.")
    facts: dict[str, str] = Field(description="What he knows, by topic: a sentence each, said when he is asked.")
    wishes: list[str] = Field(min_length=1, description="What he wants, a sentence each; the opening has the first.")
    insists: int = Field(default=1, ge=0, le=5, description="So often he insists on a wish that is denied.")
    patience: int = Field(default=3, ge=1, le=10, description="So often he puts up with what leads nowhere.")
    seed: int = Field(default=0, description="What chooses his words.")


def read_script(value: Any) -> Script:
    """The script in a row.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        return Script.model_validate(value)
    except ValidationError as error:
        issue = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ValueError(f"user: {'.'.join(map(str, issue['loc']))}: {issue['msg']}") from None


class Topic(NamedTuple):
    """Something that a user can be asked for."""

    name: str
    """The fact's name in the script."""
    words: str
    """A regular expression of the words by which it is meant, in small letters without accents."""


# ------------------------------------------------------------------------------------------------ what is understood


def _any_of(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b")


ASKS = re.compile(
    r"\?|^(?:what|which|who|where|when|how|why)\b|\b(?:"
    r"please|kindly|could|can (?:you|i|we)|may (?:i|we)|would you|will you|tell|give|provide|share|send|type|enter"
    r"|state|spell|quote|mention|supply|name me|let (?:me|us) (?:know|have)|need|require|confirm|verify|missing|wonder"
    r"|remind|know (?:what|which|where|your|the)|ask(?:ing)? (?:you )?for|looking for|d like your|like to (?:know|have)"
    r"|want to know|have to (?:know|have)|depends? on|write|reply with)\b"
)
"""A sentence that asks for something."""
ASKS_NOT = re.compile(
    r"\b(?:thanks?(?: you)? for|one moment|hold on|bear with|please wait|while i|no need|not need|n t need|need not"
    r"|need no|(?:do not|don t|never|without) (?:send|give|tell|share|type|write|need|mention|worry|knowing|asking)\w*"
    r"|(?:i|we) (?:will|ll|shall|can|could|have|am|m|are|re) (?:just |now |also |be |been )?"
    r"(?:sen[dt]|giv|shar|tell|told|provid|enter|confirm|verif|writ|typ)\w*)\b[^,;?]*"
)
"""A part of a sentence that does not."""
QUESTION = re.compile(r"^(?:\w+[, ]+){0,3}?(?:what|which|where|why|whom?|how|when)\b")
"""A question that yes does not answer."""
CONFIRM = _any_of(
    r"(?:shall|should) (?:i|we)",
    r"(?:do|would|did) you (?:want|like|wish|agree|mind)(?: me| us)? (?:to|if|that)",
    r"(?:is|does|would|are) (?:that|this|it|you)(?: all| sound| look| be| seem)? (?:right|correct|ok|okay|fine|good"
    r"|sure|alright|happy|acceptable|certain)",
    r"may i (?:go|proceed|do)",
    r"go ahead|(?<!to )(?<!i can )(?<!we can )proceed|carry on|yes or no",
    r"(?:ok|okay|fine|alright|right|safe) (?:for (?:me|us) )?to proceed",
    r"do you (?:agree|confirm|accept)",
    r"(?:can|could) you confirm (?:that|this|the (?:change|cancel\w*|refund))|please confirm (?:that|this)",
)
ELSE = _any_of(
    r"(?:any ?thing|something) (?:else|more|further)|what else",
    r"(?:any )?(?:other|further|more) (?:wish|question|request|matter|way|concern|help|assist)\w*",
    r"(?:that|this) (?:be )?(?:all|everything)",
    r"more (?:that )?(?:i|we) can (?:do|help)",
)
WISH = _any_of(
    r"(?:how|what) (?:can|could|may|shall|should) (?:i|we) (?:help|do|assist|be)",
    r"what (?:is|s|exactly is) (?:it|your (?:wish|request|concern)|the (?:matter|problem|issue|trouble))",
    r"what (?:would|do|did) you (?:like|want|wish|need)|what you (?:would like|want|wish|need)",
    r"brings you|happened|what it is about",
)
DENIED = _any_of(
    r"cannot|can ?not|can t|unable|impossible|unfortunately|afraid|won t|will not|must turn down|denied|rejected",
    r"not (?:possible|allowed|permitted|entitled|eligible|due|able|grant|refund|cancel|change|exchange)",
    r"refused?|declin(?:e|ed)|no (?:credit|refund|longer)|against (?:our|the) (?:policy|rules)",
)
DONE = re.compile(
    r"\b(?:have|has|had|ve|is|are|was|were|been|s|re|will be|ll be|now|i|we|just|successfully)\b[^.]{0,60}?\b(?:"
    r"cancel+ed|changed|updated|refunded|paid back|exchanged|swapped|replaced|granted|credited|handed|passed|forwarded"
    r"|done|arranged|recorded|booked|processed|issued|completed|settled|noted|taken care|sorted|escalated)\b"
)


class Heard(NamedTuple):
    """What is understood of a text."""

    topics: list[str]
    """The facts that are asked for, in the order in which they are."""
    confirm: bool
    anything_else: bool
    wish: bool
    done: bool
    denied: bool


def heard(text: str, topics: Sequence[Topic]) -> Heard:
    """What is understood of a text. It takes time in proportion to the text.

    Args:
        text: What is said to the user.
        topics: What he can be asked for. Words that one has taken are not read again for a later one.
    """
    asked: list[str] = []
    confirm = anything_else = wish = done = denied = False
    for sentence in sentences(text):
        denied = denied or DENIED.search(sentence) is not None
        asks = ASKS_NOT.sub(" ", sentence)
        is_question = ASKS.search(asks) is not None
        anything_else = anything_else or (is_question and ELSE.search(asks) is not None)
        if is_question and CONFIRM.search(asks) and not QUESTION.search(asks):
            confirm = True
            continue  # What is to be confirmed stands in it, and is not asked for.
        if not is_question:
            done = done or DONE.search(sentence) is not None
            continue
        wish = wish or WISH.search(asks) is not None
        for topic in topics:
            found = re.search(rf"\b(?:{topic.words})", asks)
            if found is not None:
                asks = re.sub(rf"\b(?:{topic.words})", " ", asks)
                asked += [] if topic.name in asked else [topic.name]
    return Heard(asked, confirm, anything_else, wish, done, denied)


def sentences(text: str) -> list[str]:
    """A text's sentences in small letters, without accents, marks and signs but for the question mark."""
    plain = unicodedata.normalize("NFKD", text[:MOST_CHARACTERS]).casefold()
    plain = "".join(mark for mark in plain if not unicodedata.combining(mark))
    parts = re.split(r"(?<=[.!?])\s+|[\n\r;]+", plain)
    return [words for part in parts if (words := " ".join(re.sub(r"[^\w?,.]+|[.](?!\d)", " ", part).split()))]


# ------------------------------------------------------------------------------------------------- what is answered

YES = ("Yes, please.", "Yes, please do that.", "Yes, that is right.")
UNKNOWN = ("I do not have that at hand.", "I am afraid I do not know that.")
INSISTS = (
    "That is disappointing. Can you not make an exception, just this once?",
    "I have been a customer for years. Please do it all the same.",
    "Other shops do that without a word. I do insist.",
)
GIVES_IN = ("Well, if that is how it is.", "I see. Then there is nothing to be done.")
GLAD = ("Good, thank you.", "Thank you.", "That was quick, thank you.")
NOT_YET = ("First I would like to hear what becomes of this:", "We are not done yet, I believe.")
LOST = ("I am not sure what you want of me.", "I do not follow. This is what I want:")
BYE = ("That is all. Goodbye.", "That was all I wanted. Goodbye.")
LEAVES = "This leads nowhere. I will try it another time. Goodbye."


@dataclass
class ScriptedUser:
    """The user of one conversation.

    Args:
        script: His file.
        topics: What he can be asked for.
    """

    script: Script
    topics: Sequence[Topic]
    over: bool = False
    """Whether he has left."""
    told: set[str] = field(default_factory=set)
    """The facts that he has told, by name."""
    _turn: int = 0
    _wish: int = 0
    _denials: int = 0
    _idle: int = 0

    def answer(self, text: str) -> str:
        """His answer to what is said to him; afterwards, `over` says whether he has left."""
        self._turn += 1
        said = heard(text, self.topics)
        facts = [self._fact(name) for name in said.topics]
        if facts or said.confirm:
            # Who asks for the same again and again leads nowhere either.
            news = said.confirm or any(name in self.script.facts and name not in self.told for name in said.topics)
            self.told |= set(said.topics) & set(self.script.facts)
            yes = [self._one_of(YES)] if said.confirm else []
            return " ".join([*yes, *facts]) if news else self._leads_nowhere(" ".join(facts))
        if said.denied:
            self._denials += 1
            if self._denials <= self.script.insists:
                return self._one_of(INSISTS)
            return self._next(self._one_of(GIVES_IN))
        if said.done:
            return self._next(self._one_of(GLAD))
        if said.wish:
            return self._leads_nowhere(self._current)
        return self._leads_nowhere(f"{self._one_of(NOT_YET if said.anything_else else LOST)} {self._current}")

    @property
    def _current(self) -> str:
        return self.script.wishes[self._wish]

    def _fact(self, name: str) -> str:
        return self.script.facts.get(name) or self._one_of(UNKNOWN)

    def _next(self, first: str) -> str:
        """Go on to the next wish, or leave."""
        self._denials = self._idle = 0
        if self._wish + 1 < len(self.script.wishes):
            self._wish += 1
            return f"{first} {self._current}"
        self.over = True
        return f"{first} {self._one_of(BYE)}"

    def _leads_nowhere(self, text: str) -> str:
        self._idle += 1
        if self._idle <= self.script.patience:
            return text
        self.over = True
        return LEAVES

    def _one_of(self, texts: Sequence[str]) -> str:
        return Random(f"{self.script.seed} {self._turn}").choice(texts)


def as_known(facts: Mapping[str, str]) -> str:
    """A user's facts for a model that plays him, a line each."""
    return "\n".join(f"- {name}: {text}" for name, text in facts.items())
