"""A quiz of one question each: no tools, no state, one letter or digit as the answer."""

LETTERS = "ABCD"


def letter_of(answer: str) -> str:
    """The choice in a final answer: the whole of it, with or without a full stop."""
    return answer.strip().rstrip(".").upper()
