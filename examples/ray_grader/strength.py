"""How strong a player's guesses were. It keeps a core busy, so it is no work for the server's process.

Plain functions of plain values: a Ray worker imports this module and runs them.
"""

from collections import Counter

from tasks import WORDS  # This grader needs the list, so such an environment has to ship it.
from wordle import score


def strength(secret: str, guesses: list[str], rounds: int = 1) -> float:
    """How close a game's guesses came to the best possible ones, on average; the opening is not judged.

    Args:
        secret: The word of the game.
        guesses: The player's guesses, in order.
        rounds: Do it so many times over, to stand for a grader that takes longer.

    Returns:
        Above 0, up to 1.0 for a player whose every guess would have left the fewest candidates. 0.0 without a guess.
    """
    for _ in range(rounds):
        candidates, ratios = list(WORDS), [1.0] * bool(guesses)
        for number, guess in enumerate(guesses):
            if number > 0:
                best = min(expected_left(word, candidates) for word in candidates)
                ratios.append(min(1.0, best / expected_left(guess, candidates)))
            marks = score(secret, guess)
            candidates = [word for word in candidates if score(word, guess) == marks] or [secret]
    return sum(ratios) / len(ratios) if ratios else 0.0


def best_guess(guesses: list[str], marks: list[list[str]]) -> str:
    """The word that leaves the fewest candidates, after guesses that had these marks."""
    candidates = [
        word for word in WORDS if all(score(word, guess) == seen for guess, seen in zip(guesses, marks, strict=True))
    ]
    return min(candidates, key=lambda word: expected_left(word, candidates), default="")


def expected_left(guess: str, candidates: list[str]) -> float:
    """How many candidates a guess leaves, on average over the candidates."""
    groups = Counter(tuple(score(secret, guess)) for secret in candidates)
    return sum(size * size for size in groups.values()) / len(candidates)
