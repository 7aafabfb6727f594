# Part of the template: changes belong there (`copier update` merges this file).
"""Equality of expressions: what is equal, what takes too long, and that nobody waits for that."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gymkit import symbolic
from gymkit.symbolic import Equality, compare, is_readable

EQUAL, DIFFERENT, UNKNOWN = Equality.EQUAL, Equality.DIFFERENT, Equality.UNKNOWN

ENDLESS = "9^{9^{9^{9^{9}}}}"
"""What SymPy takes for ever to think about."""


@pytest.mark.parametrize(
    ("given", "expected", "equality"),
    [
        ("42", "42", EQUAL),
        ("42.0", "42", EQUAL),
        (r"\frac{1}{2}", "0.5", EQUAL),
        ("43", "42", DIFFERENT),
        ("0.3333333", r"\frac{1}{3}", DIFFERENT),
        ("x^2 + 3x + 2", "3x + x^2 + 2", EQUAL),
        ("(x+1)(x+2)", "x^2 + 3x + 2", EQUAL),
        ("x^2 + 3x + 3", "x^2 + 3x + 2", DIFFERENT),
        (r"2\sqrt{3}", r"\sqrt{12}", EQUAL),
        ("2*sqrt(3)", r"2\sqrt{3}", EQUAL),
        (r"2\sqrt{5}", r"2\sqrt{3}", DIFFERENT),
        (r"\{2, 1\}", r"\{1, 2\}", EQUAL),
        ("{1, 2}", r"\{1, 2\}", EQUAL),
        (r"\{1, 3\}", r"\{1, 2\}", DIFFERENT),
        (r"\{1\}", r"\{1, 2\}", DIFFERENT),
        ("(1, 2]", "(1, 2]", EQUAL),
        ("[1, 2]", "(1, 2]", DIFFERENT),
        ("[1, 2]", "(1, 2)", DIFFERENT),
        ("(1, 3]", "(1, 2]", DIFFERENT),
        (r"(-\infty, 2]", r"(-\infty, 2]", EQUAL),
        ("2*pi", r"2\pi", EQUAL),
        ("", "42", UNKNOWN),
        ("seven", r"\sqrt{7}", DIFFERENT),
        ("x" * 2000, "x", UNKNOWN),
        ("{" * 400, "x", UNKNOWN),
        ("\u202e٣", "3", EQUAL),
        ("nan", "3", DIFFERENT),
        ("x²", "x^2", EQUAL),
        ("10²", "102", DIFFERENT),
    ],
)
def test_equality(given: str, expected: str, equality: Equality) -> None:
    assert compare(given, expected, seconds=1.0) is equality


@pytest.mark.parametrize(
    ("text", "readable"),
    [("42", True), (r"\frac{x}{2}", True), (r"\{1, 2\}", True), (r"\frac{1}{", False), ("", False)],
)
def test_what_can_be_read(text: str, readable: bool) -> None:
    assert is_readable(text) is readable


def test_what_takes_too_long_is_unknown_and_nobody_else_waits_for_all_of_it() -> None:
    assert compare("2+x", "x+2") is EQUAL  # loaded
    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        endless = [pool.submit(compare, ENDLESS, "x^2", seconds=0.6) for _ in range(3)]
        simple = [pool.submit(compare, f"x + {number} + 1", f"{number + 1} + x") for number in range(20)]
        assert {each.result() for each in simple} == {EQUAL}
        waited = time.monotonic() - started
        assert {each.result() for each in endless} == {UNKNOWN}
        took = time.monotonic() - started
    assert waited < 0.8 * took
    assert compare("2+x", "x+2") is EQUAL


def test_hundreds_of_simple_answers_a_second() -> None:
    compare("x", "x")
    started = time.process_time(), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: compare(str(number), str(number + number % 2)), range(2000)))
    assert found.count(EQUAL) == 1000
    assert time.monotonic() - started[1] < 10


def test_a_worker_that_dies_leaves_it_unknown_and_is_replaced() -> None:
    compare("x", "y")
    for worker in symbolic._workers._idle:
        worker.close()
    symbolic._workers._idle.clear()
    assert compare("x+x", "2x") is EQUAL


def test_the_forker_is_started_anew_when_it_has_been_killed() -> None:
    compare("x", "y")
    forker = symbolic._workers._forker
    assert forker is not None
    forker.kill()
    forker.wait()
    symbolic._workers._idle.clear()
    assert compare("x+x", "2x") is EQUAL


def test_no_secret_is_in_the_environment_of_what_reads_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "sesame")
    workers = symbolic._Workers(quick=1, slow=1)
    workers.start()
    try:
        assert workers._forker is not None
        if os.path.exists("/proc/self/environ"):
            with open(f"/proc/{workers._forker.pid}/environ", "rb") as file:
                assert b"sesame" not in file.read()
    finally:
        workers._stop()
