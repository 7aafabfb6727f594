"""A player that needs no model: rollout.py's default. It learns of the game only what the tools answer."""

from collections.abc import Generator
from typing import Any

from tasks import WORDS
from wordle import marks_in, score


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    """Play one episode: yield a tool call as `(name, arguments)` and be sent its output, or yield a text to say.

    Args:
        row: The data row. This player looks at nothing in it: it finds the word from the feedback.
    """
    solver = Solver()
    while True:
        guess = solver.next_guess()
        feedback = yield "guess", {"word": guess}
        marks = marks_in(feedback)
        if marks is None:
            return
        solver.learn(guess, marks)
        if set(marks) == {"🟩"} or not solver.candidates:
            return


class Solver:
    """Plays by feedback alone: guesses the word that splits the remaining candidates into the most groups."""

    OPENING = "slate"
    FEW = 12
    """Among so many candidates or fewer, a word that is none of them may tell more: of match, patch and watch, one try
    each would take three."""

    def __init__(self) -> None:
        self.candidates = list(WORDS)

    def next_guess(self) -> str:
        """The next word to try."""
        if len(self.candidates) == len(WORDS):
            return self.OPENING
        words = WORDS if 2 < len(self.candidates) <= self.FEW else self.candidates
        return max(words, key=lambda word: (self.groups(word), word in self.candidates))

    def groups(self, word: str) -> int:
        """Into how many groups the marks for a word would split the candidates."""
        return len({tuple(score(secret, word)) for secret in self.candidates})

    def learn(self, guess: str, marks: list[str]) -> None:
        """Drop the candidates that would have given other marks."""
        self.candidates = [word for word in self.candidates if score(word, guess) == marks]
