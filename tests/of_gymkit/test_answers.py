"""What counts as the answer of a text, and what it says."""

import time
from fractions import Fraction

import pytest

from gymkit.answers import MAX_CHARACTERS, boxed, choice, clean, normal, number, stated


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"So \boxed{B}.", ["B"]),
        (r"\boxed{\frac{1}{2}} and \boxed {\{1, 2\}}", [r"\frac{1}{2}", r"\{1, 2\}"]),
        (r"\boxed{a \boxed{b} c}", [r"a \boxed{b} c"]),
        (r"\boxed{1", []),
        (r"{ \boxed{1} } } \boxed{2}", ["1", "2"]),
        (r"\\boxed{1} \{ \boxed{}", ["", ""][1:]),
        ("no box", []),
    ],
)
def test_boxes_have_balanced_braces(text: str, found: list[str]) -> None:
    assert boxed(text) == found


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        (r"\boxed{B}", ["B"]),
        ("B", ["B"]),
        ("Let me think.\nAnswer: **B**", ["B"]),
        ("### Final answer: $12$.\n", ["12"]),
        (r"Answer: \boxed{7}", ["7"]),
        (r"\boxed{7} ... \boxed{ 7 }", ["7"]),
        (r"\boxed{7}, no: \boxed{8}", ["7", "8"]),
        ("Answer: A\nAnswer: B", ["A", "B"]),
        ("\\boxed{A}\nAnswer: B", ["A", "B"]),
        ("I think B is right,\nor perhaps C.", []),
        ("B. Lima", ["B. Lima"]),
        ("No, that is wrong. The answer is not B.", []),
        (r"\boxed{7", []),
        (r"\boxed{}", []),
        ("", []),
        (" ".join(rf"\boxed{{{number}}}" for number in range(9)), []),
        (r"\boxed{" + "1" * 3000 + "}", []),
    ],
)
def test_the_answers_that_a_text_states(text: str, answers: list[str]) -> None:
    assert stated(text) == answers


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("B", 1),
        ("b", 1),
        ("(B)", 1),
        ("B.", 1),
        (r"\text{B}", 1),
        ("**B**", 1),
        ("Option C", 2),
        ("Lima", 1),
        ("LIMA.", 1),
        ("B. Lima", 1),
        ("B) Lima", 1),
        ("\u200fB\u200e", 1),
        ("Ｂ", 1),
        ("B. Oslo", None),
        ("not B", None),
        ("A, B", None),
        ("A or B", None),
        ("E", None),
        ("ABCD", None),
        ("", None),
        ("Lima or Oslo", None),
        ("anything", None),
        ("B" * 5000, None),
    ],
)
def test_the_option_that_an_answer_names(answer: str, place: int | None) -> None:
    assert choice(answer, ["Oslo", "Lima", "Doha", "Riga"]) == place


def test_a_letter_that_is_another_options_text_names_none() -> None:
    assert choice("B", ["B", "A", "C"]) is None
    assert choice("C", ["B", "A", "C"]) == 2


def test_options_may_differ_in_case_alone() -> None:
    assert choice("true", ["True", "true"]) == 1
    assert choice("TRUE", ["True", "true"]) is None
    assert choice("TRUE", ["True", "false"]) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", Fraction(12)),
        ("-1,250.50", Fraction(-2501, 2)),
        ("$3/4$", Fraction(3, 4)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac34", Fraction(-3, 4)),
        ("2e-3", Fraction(1, 500)),
        ("٤٢", Fraction(42)),
        ("−7", Fraction(-7)),
        (r"10{,}000", Fraction(10_000)),
    ],
)
def test_numbers(text: str, value: Fraction) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "16+16",
        "nan",
        "inf",
        "1e999",
        "1" * 5000,
        "3/0",
        "1/2/3",
        "12 apples",
        "",
        "--1",
        "1,23",
        "0x10",
        "²",
        "10²",
        "½",
        "IV",
    ],
)
def test_what_is_no_number(text: str) -> None:
    assert number(text) is None


def test_what_does_not_count_in_a_text() -> None:
    assert normal(" The Indian  Ocean. ") == normal("indian ocean") == normal("“Indian Ocean”")
    assert clean("$\\text{B}$") == "B"
    assert normal("\ud83d") == ""


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 10_000 + "1" + "}" * 10_000,
        r"\boxed{" * 100_000,
        "{" * 500_000 + "}" * 500_000,
        "Answer:" * 100_000,
        "\nAnswer: " * 100_000,
        "Answer: " + "*" * 500_000,
        " " * 900_000 + "x",
        "answer" + " " * 900_000 + "x",
        "\u202e\u0663" * 400_000,
        "a" * (MAX_CHARACTERS + 1),
    ],
    ids=["nested", "open", "braces", "labels", "lines", "stars", "spaces", "inner_spaces", "marks", "too_long"],
)
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()
    answers = stated(text)
    assert all(choice(answer, ["x", "y"]) is None and number(answer) is None for answer in answers)
    assert time.process_time() - started < 1.5
