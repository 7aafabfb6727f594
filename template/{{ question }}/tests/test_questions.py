"""How each kind of question is graded, what makes no question, and the player."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cheats import wrong_answers
from harness import Client, LiveServer, Row, says

import constraints
from gymkit.forms import FORMS
from gymkit.rows import data_path, expected_output, read_rows
from policy import answer
from questions import question
from tasks import imported, tasks

ALL_ROWS = [row for split in ("demo", "example", "validation", "train") for row in read_rows(data_path(split))]


def row_of(kind: str, expected: Any, **more: Any) -> Row:
    return {"kind": kind, "ground_truth": [{"expected_output": expected}], **more}


# -------------------------------------------------------------------------------------------- every row of the data


def test_there_are_enough_rows_of_each_kind() -> None:
    for split, least in (("train", 30), ("validation", 15)):
        kinds = [task["kind"] for task in tasks()[split]]
        assert all(kinds.count(kind) >= least for kind in ("choice", "math", "constraints")), split


def test_the_tasks_are_always_the_same_and_no_two_are_alike() -> None:
    assert tasks() == tasks()
    prompts = [task["prompt"] for split in tasks().values() for task in split]
    assert len(set(prompts)) == len(prompts)


def test_the_player_is_right_on_every_row_and_each_wrong_answer_is_wrong() -> None:
    """Made by rule: another option, a number off by one, an equal expression in another form, one constraint broken."""

    def graded(row: Row) -> tuple[str, bool | None, list[str]]:
        asked = question(row)
        paid = [name for name, wrong in wrong_answers(row, answer(row)) if asked.grade(wrong)]
        return row["task_id"], asked.grade(answer(row)), paid

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(graded, ALL_ROWS))
    assert [task_id for task_id, right, _ in found if right is not True] == []
    assert [(task_id, paid) for task_id, _, paid in found if paid] == []


def test_every_constraint_can_be_broken_alone() -> None:
    """A wrong text breaks the constraint that it is named after; for each kind there is one that breaks no other."""
    kinds, alone = set(), set()
    for row in ALL_ROWS:
        if row["kind"] == "constraints":
            wanted = constraints.read(expected_output(row))
            for name, text in wrong_texts(row):
                broken = {each.kind for each in constraints.unmet(wanted, text)}
                assert name in broken, (row["task_id"], name)
                kinds.add(name)
                alone |= broken if broken == {name} else set()
    assert kinds == {each.model_fields["kind"].default for each in constraints.KINDS}
    assert kinds - alone == set()


@pytest.mark.parametrize(
    "text", ["." * 99_000 + "x", "```" + "\n" * 99_000, "\n" * 50_000 + "x", "*" * 99_000 + "x", "a-" * 49_000]
)
def test_no_text_takes_long(text: str) -> None:
    wanted = [
        each for row in ALL_ROWS if row["kind"] == "constraints" for each in constraints.read(expected_output(row))
    ]
    started = time.process_time()
    constraints.unmet(list({each.kind: each for each in wanted}.values()), text)
    assert time.process_time() - started < 1


def wrong_texts(row: Row) -> Iterator[tuple[str, str]]:
    names = {each["kind"] for each in expected_output(row)}
    yield from ((name, text) for name, text in wrong_answers(row, answer(row)) if name in names)


# ------------------------------------------------------------------------------------------------------------ the kinds

CHOICE = row_of("choice", "B", options=["Oslo", "Lima", "Doha", "Riga"])


@pytest.mark.parametrize(
    "text", [r"\boxed{B}", "B", "Answer: B", r"\boxed{Lima}", r"First \boxed{B}, yes: \boxed{B. Lima}"]
)
def test_a_right_choice(text: str) -> None:
    assert question(CHOICE).grade(text) is True


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{A}",
        r"\boxed{A}\boxed{C}\boxed{D}\boxed{B}",
        r"\boxed{A, B, C, D}",
        r"\boxed{not B}",
        r"\boxed{B} \boxed{A}",
        r"\boxed{A}, no, \boxed{B}",
        "Answer: A\nAnswer: B",
        "It is B or so, I think.\nPerhaps.",
        "",
        r"\boxed{B",
        r"\boxed{}",
        r"\boxed{Any of Oslo, Lima, Doha, Riga}",
        r"\boxed{B. Oslo}",
        "reward: 1.0",
        r"\boxed{\boxed{B} or \boxed{A}}",
    ],
)
def test_a_wrong_choice(text: str) -> None:
    assert question(CHOICE).grade(text) is False


@pytest.mark.parametrize(
    ("form", "expected", "right", "wrong"),
    [
        ("integer", "32", ["32", "$32$", "32.", "+32"], ["16+16", "33", "32.0", "64/2", "2^5", "", "32 or 33", "nan"]),
        ("decimal", "0.75", ["0.75", ".75", "0.750"], ["3/4", "0.7500001", "0.5+0.25", "75%"]),
        (
            "fraction",
            r"\frac{3}{4}",
            ["3/4", r"\frac34", r"\dfrac{3}{4}"],
            ["6/8", "0.75", r"\frac{6}{8}", r"\frac{1}{4}"],
        ),
        ("fraction", "-2", ["-2"], ["2", "-2/1", "-4/2"]),
        ("number", "0.5", ["0.5", "1/2", "2/4"], ["0.25+0.25", r"\frac{1}{3}"]),
        (
            "polynomial",
            "x^2 - x - 6",
            ["x^2-x-6", "-6 - x + x^2", "x^{2}-x-6"],
            ["(x-3)(x+2)", "x^2-3x+2x-6", "x^2-x-7"],
        ),
        (
            "root",
            r"2\sqrt{3}",
            [r"2\sqrt{3}", "2sqrt(3)", r"2\sqrt3"],
            [r"\sqrt{12}", "3.4641", r"3\sqrt{2}", r"2\sqrt{4}"],
        ),
        (
            "set",
            r"\{-2, 3\}",
            ["{3, -2}", r"\{-2,3\}"],
            [r"\{-2, 1+2\}", "-2, 3", r"\{-2\}", r"\{-2, 3, 4\}", r"\{3, 3, -2\}"],
        ),
        ("interval", "(-1, 4]", ["(-1,4]", r"\left(-1, 4\right]"], ["[-1, 4]", "(-1, 4)", "(-1, 2+2]", "(0, 4]"]),
        ("any", r"x + \pi", [r"\pi + x"], [r"x + 3.14159", "x"]),
        ("any", "32", ["32"], ["16+16"]),
    ],
)
def test_mathematics_wants_the_value_and_the_form(form: str, expected: str, right: list[str], wrong: list[str]) -> None:
    asked = question(row_of("math", expected, form=form))
    assert [text for text in right if asked.grade(rf"So \boxed{{{text}}}") is not True] == []
    assert [text for text in wrong if asked.grade(rf"So \boxed{{{text}}}")] == []


@pytest.mark.parametrize(
    "text", [r"\boxed{31} ... and so \boxed{32}", r"\boxed{32} or \boxed{33}", "32 apples", "30\n+2"]
)
def test_mathematics_wants_one_answer(text: str) -> None:
    assert question(row_of("math", "32", form="integer")).grade(text) is False


def test_a_few_words() -> None:
    asked = question(row_of("words", ["the heart", "a heart muscle"]))
    assert asked.grade(r"\boxed{Heart}") is True
    assert asked.grade("It pumps blood.\nAnswer: the heart.") is True
    assert asked.grade(r"\boxed{the organ in the chest that beats}") is None  # No rule decides.
    assert asked.grade(r"\boxed{heart} \boxed{lung}") is False
    assert asked.grade(rf"\boxed{{heart {'very ' * 100}}}") is False
    assert asked.grade("x" * 200) is None
    assert asked.grade("x" * 201) is False
    assert asked.grade(r"\boxed{...}") is False
    assert asked.grade("") is False
    assert asked.reference == "the heart"


def test_what_a_rule_has_decided_is_counted_as_such(client: Client) -> None:
    row = next(row for row in ALL_ROWS if row["kind"] == "choice")
    client.seed(row)
    verdict = client.verdict(row, [says(answer(row))])
    assert verdict["reward"] == 1.0
    assert verdict.get("undecided", verdict.get("judged")) == 0


# -------------------------------------------------------------------------------------------------------- constraints


@pytest.mark.parametrize(
    ("constraint", "met", "not_met"),
    [
        ({"kind": "words", "least": 2, "most": 3}, ["two words", "it's well-known"], ["one", "one two three four"]),
        ({"kind": "sentences", "least": 2}, ["One. Two!", '"One?" Two.', "一。二。"], ["One", "3.14 is it."]),
        ({"kind": "paragraphs", "least": 2, "most": 2}, ["a\n\nb", "a\n \n\nb"], ["a\nb", "a\n\nb\n\nc", "a\n\n"]),
        ({"kind": "paragraphs", "least": 2, "separator": "***"}, ["a\n***\nb"], ["a\n\nb", "***a"]),
        ({"kind": "keywords", "words": ["tea", "milk"]}, ["Tea, no milk"], ["tea", "teams milk"]),
        (
            {"kind": "frequency", "word": "tea", "least": 2, "most": 2},
            ["tea and Tea"],
            ["tea", "tea tea tea", "teatea"],
        ),
        ({"kind": "letters", "letter": "q", "least": 2}, ["Q is q"], ["q"]),
        ({"kind": "forbidden", "words": ["tea"]}, ["teams", "milk"], ["Tea!"]),
        ({"kind": "case", "case": "upper"}, ["ÄB 1."], ["Ab", "123"]),
        ({"kind": "case", "case": "lower"}, ["ab ß."], ["Ab"]),
        ({"kind": "capitals", "least": 1, "most": 1}, ["I AM here"], ["I am", "AM I UP"]),
        ({"kind": "capitals", "most": 0}, ["I am here"], ["I AM here"]),
        ({"kind": "begins", "text": "Once"}, ["Once more"], ["At once", "once"]),
        ({"kind": "ends", "text": "the end."}, ["It is the end."], ["the end. Really", "The End."]),
        ({"kind": "bullets", "least": 2, "most": 2}, ["* a\n* b", "x\n- a\n  - b"], ["* a", "*a\n*b", "* a\n* b\n* c"]),
        (
            {"kind": "json", "keys": ["a"]},
            ['{"a": 1}', '```json\n{"a": 1}\n```'],
            ['{"a": 1, "b": 2}', "{}", "[1]", '{"a": NaN}'],
        ),
        ({"kind": "json", "keys": ["a", "b"]}, ['{"b": 1, "a": 2}'], ['{"a": 1}', '{"a": 1, "b": 2, "c": 3}']),
        ({"kind": "json", "keys": []}, ["[1, 2]", "7"], ["{a: 1}", "[" * 9999 + "1"]),
        ({"kind": "quoted"}, ['"so"', '"a"'], ['so"', '"so', "'so'"]),
        ({"kind": "no_commas"}, ["a; b"], ["a, b", "a، b", "a，b"]),
        ({"kind": "title"}, ["<<A title>>\ntext"], ["<A title> x", "text <<a>> text", "<<>>\nx", "<< >>\nx"]),
        ({"kind": "placeholders", "least": 2}, ["[a] and [b]"], ["[a]", "[] [] x"]),
        ({"kind": "postscript", "marker": "P.S."}, ["Hello\nP.S. Bye"], ["P.S. Bye\nHello", "x\nP.S."]),
        (
            {"kind": "highlights", "least": 1, "most": 1},
            ["so *very* nice", "* a\n* *b*"],
            ["**so** nice", "* a * b", "a"],
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_constraints(constraint: Row, met: list[str], not_met: list[str]) -> None:
    wanted = constraints.read([constraint])
    assert [text for text in met if constraints.unmet(wanted, text)] == []
    assert [text for text in not_met if not constraints.unmet(wanted, text)] == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The ferry leaves at seven, and whoever comes late has to wait until noon."),
        ("fr", "Le bateau part à sept heures, et qui arrive en retard doit attendre midi."),
        ("de", "Die Fähre fährt um sieben ab, und wer zu spät kommt, muss bis zum Mittag warten."),
        ("es", "El barco sale a las siete, y quien llegue tarde tiene que esperar hasta el mediodía."),
        ("ru", "Паром отходит в семь часов, и кто опоздает, тому придётся ждать до полудня."),
        ("ja", "船は七時に出ます。遅れた人は正午まで待たなければなりません。"),
    ],
)
def test_languages(language: str, text: str) -> None:
    assert [code for code in ("en", "fr", "de", "es", "ru", "ja") if is_in(code, text)] == [language]
    assert is_in(language, text.upper()) or language == "ja"


def is_in(code: str, text: str) -> bool:
    return not constraints.unmet(constraints.read([{"kind": "language", "language": code}]), text)


@pytest.mark.parametrize("text", ["", " \n ", "...", "\u200f", "x " * 60_000])
def test_an_answer_without_a_word_or_without_end_meets_nothing(text: str) -> None:
    wanted = constraints.read([{"kind": "no_commas"}, {"kind": "forbidden", "words": ["tea"]}])
    assert constraints.unmet(wanted, text) == wanted


def test_a_text_of_the_greatest_length_meets_what_it_meets() -> None:
    wanted = constraints.read([{"kind": "no_commas"}])
    assert constraints.unmet(wanted, "x" * 100_000) == []
    assert constraints.unmet(wanted, "x" * 100_001) == wanted


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"least": 2}, "at least 2"),
        ({"most": 2}, "at most 2"),
        ({"most": 0}, "at most 0"),
        ({"least": 1, "most": 2}, "1 to 2"),
        ({"least": 1000, "most": int("1000")}, "exactly 1000"),
    ],
)
def test_bounds_are_asked_for_in_words(bounds: Row, words: str) -> None:
    [wanted] = constraints.read([{"kind": "words", **bounds}])
    assert words in wanted.wanted()


# ------------------------------------------------------------------------------------------------- rows that are none

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_the_largest_questions() -> None:
    asked = question(row_of("choice", "Z", options=[f"option {letter}" for letter in LETTERS]))
    assert asked.grade("Answer: Z") is True
    assert question(row_of("words", ["x" * 200])).grade("x" * 200) is True
    assert len(constraints.read([{"kind": "no_commas"}] * 20)) == 20


@pytest.mark.parametrize(
    ("row", "most"),
    [
        (row_of("r" * 999, "x"), 300),
        (row_of("choice", "E" * 999, options=["a", "b"]), 300),
        (row_of("constraints", [{"kind": "r" * 999}]), 500),
        (row_of("constraints", [{"kind": "words", "least": 1, "n" * 999: 1}]), 500),
    ],
    ids=["kind", "letter", "constraint", "argument"],
)
def test_what_is_said_of_a_row_is_cut(row: Row, most: int) -> None:
    with pytest.raises(ValueError) as refusal:
        question(row)
    assert len(str(refusal.value)) == most


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (row_of("riddle", "x"), "there is no 'riddle'"),
        (row_of("choice", "E", options=["a", "b"]), "'E' is the letter of none of the 2 options"),
        (row_of("choice", "A"), "options: a list of texts is wanted"),
        (row_of("choice", "A", options=["a", "a."]), "all different"),
        (row_of("choice", "A", options=["a"]), "2 to 26 are wanted"),
        (row_of("choice", "A", options=[*LETTERS, "more"]), "2 to 26 are wanted"),
        (row_of("choice", "A", options=["a", " "]), "options: a list of texts is wanted"),
        (row_of("choice", "A", options=["a", 2]), "options: a list of texts is wanted"),
        (row_of("choice", "C", options=["a", "b"]), "is the letter of none of the 2 options"),
        (row_of("choice", "AB", options=["a", "b"]), "is the letter of none"),
        (row_of("choice", "", options=["a", "b"]), "is the letter of none"),
        (row_of("choice", 1, options=["a", "b"]), "is the letter of none"),
        (row_of("constraints", []), "a list of 1 to 20 is wanted"),
        (row_of("constraints", [{"kind": "rhymes"}]), "there is no 'rhymes'"),
        (row_of("constraints", [{"kind": "no_commas"}] * 21), "a list of 1 to 20 is wanted"),
        (row_of("constraints", [{"kind": "keywords"}]), "words: Field required"),
        (row_of("constraints", [{"kind": "keywords", "other": 1}]), "words: Field required"),
        (row_of("constraints", [{"kind": "keywords", "words": []}]), "at least 1 item"),
        (row_of("constraints", [{"kind": "forbidden", "words": []}]), "at least 1 item"),
        (row_of("constraints", [{"kind": "words", "least": -1}]), "greater than or equal to 0"),
        (row_of("constraints", [{"kind": "words", "most": -1}]), "greater than or equal to 0"),
        (row_of("constraints", [{"kind": "words"}]), "`least` or `most` is wanted"),
        (row_of("constraints", [{"kind": "words", "least": 5, "most": 2}]), "`least` is 5"),
        (row_of("constraints", [{"kind": "words", "least": "5"}]), "valid integer"),
        (row_of("constraints", [{"kind": "language", "language": "xx"}]), "no language 'xx'"),
        (
            row_of("constraints", [{"kind": "keywords", "words": ["Tea"]}, {"kind": "forbidden", "words": ["tea"]}]),
            "tea: wanted and forbidden",
        ),
        (row_of("math", r"\frac{1}{"), "cannot be read as mathematics"),
        (row_of("math", ""), "a text is wanted"),
        (row_of("math", 7), "a text is wanted"),
        (row_of("math", "16+16", form="integer"), "does not have the form 'integer'"),
        (row_of("math", "1", form="roman"), "there is no 'roman'"),
        (row_of("words", []), "a list of texts is wanted"),
        (row_of("words", ["the heart", 7]), "a list of texts is wanted"),
        (row_of("words", ["the heart", "x" * 201]), "texts of 1 to 200 characters are wanted"),
        (row_of("words", ["the heart", "..."]), "texts of 1 to 200 characters are wanted"),
        ({"kind": "math", "ground_truth": []}, "ground_truth"),
        ({"kind": "math", "ground_truth": [{"expected_output": "1"}] * 2}, "ground_truth"),
        ({"kind": "math", "ground_truth": [{}]}, "ground_truth"),
        ({"kind": "math"}, "ground_truth"),
        ({"kind": ["math"]}, "kind: there is no"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_that_makes_no_question_is_refused(client: Client, row: Row, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        question(row)
    response = client.post("/seed_session", json={"responses_create_params": {"input": "?"}, **row})
    assert response.status_code == 422
    assert "No episode can be made from this row" in response.json()["output"]


# ------------------------------------------------------------------------------------------------ answers of all sorts

STRANGE = {
    "empty": "",
    "nested": r"\boxed{" * 10_000 + "1" + "}" * 10_000,
    "nan": r"\boxed{nan}",
    "digits": r"\boxed{\u0664\u0662}",
    "marks": "\u202e\u200f\\boxed{\u202dB\u200e}",
    "tower": r"\boxed{9^{9^{9^{9^{9}}}}}",
    "megabytes": "a " * 5_000_000,
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_a_strange_answer_gets_a_grade(live: LiveServer, rows: list[Row], text: str) -> None:
    for row in {row["kind"]: row for row in rows}.values():
        client = live.client()
        client.seed(row)
        verdict = client.verdict(row, [says(text)])
        assert (verdict["mask_sample"], verdict.get("failure_kind")) == (verdict["mask_sample"] is True, None) or (
            verdict["failure_kind"] == "judge_failed"
        )


# ---------------------------------------------------------------------------------------------------------- data sets


def test_records_of_the_public_layouts_make_tasks() -> None:
    mmlu = imported({"question": "Which?", "options": ["a", "b", "c", "d"], "answer": 2})
    assert (mmlu["kind"], mmlu["expected_output"]) == ("choice", "C")
    assert imported({"question": "Which?", "options": ["a", "b"], "answer": "b"})["expected_output"] == "B"
    gsm8k = imported({"question": "How many?", "answer": "6*7 = <<6*7=42>>42\n#### 1,042"})
    assert (gsm8k["kind"], gsm8k["expected_output"]) == ("math", "1,042")
    names = ["length_constraints:number_words", "startend:quotation"]
    ifeval = {"question": "Write.", "constraints": names, "arguments": [{"num_words": 9, "relation": "less than"}, {}]}
    assert imported(ifeval)["expected_output"] == [{"kind": "words", "most": 8}, {"kind": "quoted"}]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"answer": "1"}, "question: a text is wanted"),
        ({"question": "?", "options": ["a", "b"], "answer": "z"}, "'z' is none of the 2 options"),
        ({"question": "?", "constraints": ["a:b"], "arguments": [{}]}, "there is no 'a:b'"),
        (
            {"question": "?", "constraints": ["startend:end_checker"], "arguments": [{}]},
            "lacks its argument 'end_phrase'",
        ),
        ({"question": "?", "constraints": ["startend:quotation"], "arguments": []}, "as many arguments as constraints"),
        ({"question": "?"}, "answer: a text or a number is wanted"),
    ],
)
def test_records_that_make_no_task_are_refused(fields: Row, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        imported(fields)


def test_every_form_is_asked_for_in_words() -> None:
    import tasks as module

    assert module.FORMS.keys() == FORMS.keys()
