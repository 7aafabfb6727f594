"""Wordle: the rules. Plain Python: it knows nothing of HTTP or NeMo Gym, and no word that is to be found.

Feedback marks follow the original game: a letter is marked as often as the secret word holds it, right places first.
"""

MAX_GUESSES = 6
MAX_CALLS = 20
"""Refused guesses cost no try, but the game ends after so many calls in all."""

RIGHT, PRESENT, ABSENT = "🟩", "🟨", "⬜"


class WordleGame:
    """One game: six tries to find a five-letter word.

    Args:
        secret: The word to find, five letters from a to z.

    Raises:
        ValueError: the secret is no such word.
    """

    def __init__(self, secret: str) -> None:
        if not is_word(secret):
            raise ValueError(f"the secret word must have five letters from a to z, not {secret!r}"[:200])
        self._secret = secret.lower()
        self.guesses: list[str] = []
        self.calls = 0

    @property
    def solved(self) -> bool:
        """Whether the last guess was the secret word."""
        return bool(self.guesses) and self.guesses[-1] == self._secret

    @property
    def over(self) -> bool:
        """Whether no further guess counts."""
        return self.solved or len(self.guesses) >= MAX_GUESSES or self.calls >= MAX_CALLS

    def guess(self, word: str) -> str:
        """Take a guess and return its feedback as text. The secret stands in it only once it has been found."""
        if self.over:
            return "The game is over. No further guess counts."
        self.calls += 1
        word = word.strip().lower()
        if not is_word(word):
            return f"A guess has five letters from a to z. {self._tries_left()}"
        self.guesses.append(word)
        lines = [" ".join(word.upper()), " ".join(score(self._secret, word))]
        if self.solved:
            lines.append(f"Found in {len(self.guesses)} of {MAX_GUESSES} tries: {self._secret}")
        else:
            lines.append(self._tries_left())
        return "\n".join(lines)

    def _tries_left(self) -> str:
        if self.over:
            return "The game is over: the word was not found."
        left = MAX_GUESSES - len(self.guesses)
        return f"{left} {'try' if left == 1 else 'tries'} left."


def is_word(text: str) -> bool:
    """Whether a text may be guessed: five letters from a to z, in a dictionary or not."""
    return len(text) == 5 and text.isascii() and text.isalpha()


def score(secret: str, guess: str) -> list[str]:
    """The marks of a guess, one a letter: `RIGHT`, `PRESENT` or `ABSENT`."""
    pairs = list(zip(guess, secret, strict=True))
    marks = [RIGHT if letter == wanted else ABSENT for letter, wanted in pairs]
    left = [wanted for letter, wanted in pairs if letter != wanted]
    for place, letter in enumerate(guess):
        if marks[place] == ABSENT and letter in left:
            marks[place] = PRESENT
            left.remove(letter)
    return marks


def marks_in(feedback: str) -> list[str] | None:
    """The marks in a feedback text, or None where the guess was refused."""
    for line in feedback.splitlines():
        marks = line.split()
        if len(marks) == 5 and set(marks) <= {RIGHT, PRESENT, ABSENT}:
            return marks
    return None
