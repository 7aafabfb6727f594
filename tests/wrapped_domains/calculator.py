"""Work with numbers and texts."""


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: One of them.
        b: The other.
    """
    return a + b


def multiply(a: float, b: float) -> float:
    """Multiply two numbers.

    Args:
        a: One of them.
        b: The other.
    """
    return a * b


def shout(text: str, times: int = 1) -> str:
    """Say something loudly.

    Args:
        text: What to say.
        times: How often.
    """
    return " ".join([text.upper()] * times)


async def count(text: str, letter: str) -> dict[str, int]:
    """Count a letter.

    Args:
        text: Where to look.
        letter: What to count.
    """
    return {letter: text.count(letter)}


def primes() -> list[int]:
    """The primes below 30."""
    return [number for number in range(2, 30) if all(number % each for each in range(2, number))]
