"""A player that needs no model: rollout.py's default. It learns of the game only what the tools answer."""

from collections.abc import Generator
from typing import Any

from wordle import Solver, marks_in


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]], str, None]:
    """Play one episode: yield tool calls as `(name, arguments)`, and be sent each call's output.

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
