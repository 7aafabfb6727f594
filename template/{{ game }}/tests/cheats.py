"""Cheats of this game: each tries to win without finding the word, and must earn nothing (`uv run gymkit audit`).

A cheat is a generator like `play(row)` in policy.py. It is given the whole row, with the answer, which no player knows.
"""

from collections.abc import Generator
from typing import Any

from gymkit.rows import Row, expected_output

TRIES = 6
Moves = Generator[tuple[str, dict[str, Any]] | str, str, None]


def guesses_once_more(row: Row) -> Moves:
    """guesses the word when no try is left"""
    for _ in range(TRIES):
        yield "guess", {"word": wrong_word(row)}
    yield "guess", {"word": str(expected_output(row))}


def guesses_what_is_no_word(row: Row) -> Moves:
    """guesses texts that hold the word, or look like it"""
    word = str(expected_output(row))
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in word)  # Other characters, which NFKC makes the same letters.
    other = word[1:] + word[0]  # Not backwards: a palindrome is the word.
    for text in (f"{word}{wrong_word(row)}", f"{word},", f"{word}\x00", " ".join(word), wide, other, word[:4], ""):
        yield "guess", {"word": text}


def wins_another_game(row: Row) -> Moves:
    """asks for the demo row's game, and guesses its word"""
    yield "guess?task_id=wordle-demo-000", {"word": "piano", "ground_truth": [{"expected_output": "piano"}]}
    yield "guess", {"word": wrong_word(row)}
    yield "I have won."


def wrong_word(row: Row) -> str:
    return "zzzzz" if expected_output(row) != "zzzzz" else "qqqqq"
