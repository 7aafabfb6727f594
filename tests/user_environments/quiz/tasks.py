"""The questions. Several share an answer, which stands in every prompt."""

from typing import Any

PAIRS = [("Norway", "Oslo"), ("Peru", "Lima"), ("Kenya", "Nairobi"), ("Japan", "Tokyo"), ("Ghana", "Accra")]
PAIRS += [("Chile", "Santiago"), ("Nepal", "Kathmandu"), ("Egypt", "Cairo"), ("Italy", "Rome"), ("Cuba", "Havana")]
PAIRS += [("Laos", "Vientiane"), ("Qatar", "Doha"), ("Spain", "Madrid"), ("Togo", "Lome"), ("Mali", "Bamako")]


def question(number: int) -> dict[str, Any]:
    country, city = PAIRS[number]
    wrong = [other for _, other in PAIRS if other != city][number % 3 : number % 3 + 3]
    place = number % 2  # A or B, so that many rows share their answer.
    choices = [*wrong[:place], city, *wrong[place:]]
    lines = "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True))
    return {"prompt": f"What is the capital of {country}?\n{lines}\nSay the letter.", "expected_output": "ABCD"[place]}


def counting(number: int) -> dict[str, Any]:
    return {"prompt": f"1 or 2? How often does the letter e stand in 'eve', in task {number}?", "expected_output": "2"}


def tasks() -> dict[str, list[dict[str, Any]]]:
    questions = [question(number) for number in range(len(PAIRS))]
    return {
        "demo": questions[:1],
        "example": questions[1:6],
        "validation": questions[6:10] + [counting(number) for number in range(5, 10)],
        "train": questions[10:] + [counting(number) for number in range(5)],
    }
