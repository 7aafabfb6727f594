"""The rules of the game, the player, and the tasks."""

import pytest
from harness import Client, Row, play_row

from policy import Solver
from tasks import WORDS, tasks
from wordle import ABSENT, MAX_CALLS, MAX_GUESSES, PRESENT, RIGHT, WordleGame, is_word, marks_in, score


@pytest.mark.parametrize(
    ("secret", "guess", "marks"),
    [
        ("crane", "crane", "rrrrr"),
        ("crane", "moist", "....."),
        ("crane", "nacre", "ppppr"),
        # A letter is marked as often as the secret holds it: right places first, then from the left.
        ("abbey", "babes", "pprr."),
        ("abbey", "kebab", ".prpp"),
        ("apple", "poppy", "p.r.."),
        ("robot", "broom", "pppr."),
        ("eerie", "geese", ".rp.r"),
        ("level", "eleve", "pppp."),
    ],
)
def test_marks_follow_the_original_rules(secret: str, guess: str, marks: str) -> None:
    names = {"r": RIGHT, "p": PRESENT, ".": ABSENT}
    assert score(secret, guess) == [names[mark] for mark in marks]


def test_letters_of_any_alphabet_are_marked() -> None:
    assert score("жажда", "жажда") == [RIGHT] * 5
    assert score("жажда", "жжжда") == [RIGHT, ABSENT, RIGHT, RIGHT, RIGHT]
    assert score("жажда", "ажжда") == [PRESENT, PRESENT, RIGHT, RIGHT, RIGHT]


def test_words_of_different_lengths_have_no_marks() -> None:
    for guess in ("cran", "cranes"):
        with pytest.raises(ValueError, match="zip"):
            score("crane", guess)


def test_a_game_is_won() -> None:
    game = WordleGame("crane")
    game.guess("slate")
    assert not game.solved
    assert game.guess("CRANE").endswith("Found in 2 of 6 tries: crane")
    assert game.solved
    assert game.over
    assert game.guess("slate") == "The game is over. No further guess counts."
    assert game.guesses == ["slate", "crane"]


def test_a_word_of_the_same_letters_is_another_word() -> None:
    game = WordleGame("angel")
    assert "Found" not in game.guess("angle")
    assert not game.solved
    assert not game.over


def test_a_game_is_lost_and_the_word_stays_secret() -> None:
    game = WordleGame("crane")
    outputs = [game.guess("slate") for _ in range(MAX_GUESSES)]
    assert game.over
    assert not game.solved
    assert "not found" in outputs[-1]
    outputs += [game.guess("crane"), game.guess("crane")]
    assert "crane" not in " ".join(outputs).lower()
    assert not game.solved


def test_each_guess_costs_a_try() -> None:
    game = WordleGame("crane")
    said = [game.guess("slate").splitlines()[-1] for _ in range(MAX_GUESSES)]
    many = [f"{left} tries left." for left in range(MAX_GUESSES - 1, 1, -1)]
    assert said == [*many, "1 try left.", "The game is over: the word was not found."]


def test_a_game_that_is_over_stays_over() -> None:
    game = WordleGame("crane")
    game.guesses = ["slate"] * (MAX_GUESSES + 1)
    assert game.over
    game = WordleGame("crane")
    game.calls = MAX_CALLS + 1
    assert game.over


@pytest.mark.parametrize("word", ["", "cran", "cranes", "cr4ne", "crâne", "c rane", "a" * 4000, "\x00" * 5, "crane!"])
def test_what_is_no_word_costs_no_try_and_is_not_repeated(word: str) -> None:
    game = WordleGame("crane")
    output = game.guess(word)
    assert output == "A guess has five letters from a to z. 6 tries left."
    assert game.guesses == []


def test_refused_guesses_end_the_game_too() -> None:
    game = WordleGame("crane")
    said = [game.guess("no word") for _ in range(20)]
    assert game.over
    assert [text.endswith("6 tries left.") for text in said] == [True] * 19 + [False]
    assert game.guess("crane") == "The game is over. No further guess counts."


@pytest.mark.parametrize("secret", ["", "cranes", "None", "cr4ne"])
def test_a_secret_must_be_a_word(secret: str) -> None:
    with pytest.raises(ValueError, match="five letters"):
        WordleGame(secret)


def test_a_secret_that_is_too_long_is_not_repeated_in_full() -> None:
    with pytest.raises(ValueError, match="five letters") as raised:
        WordleGame("long" * 1000)
    assert len(str(raised.value)) == 200


def test_feedback_is_read_back() -> None:
    game = WordleGame("crane")
    assert marks_in(game.guess("nacre")) == score("crane", "nacre")
    assert marks_in(game.guess("no word")) is None
    for count in (1, 4, 6):
        assert marks_in(" ".join([RIGHT] * count)) is None
    assert marks_in("a b c d e") is None


def test_the_solver_finds_every_word() -> None:
    for secret in WORDS[::10]:
        game, solver = WordleGame(secret), Solver()
        while not game.over:
            guess = solver.next_guess()
            marks = marks_in(game.guess(guess))
            assert marks is not None
            solver.learn(guess, marks)
        assert game.solved, secret


def test_the_words_are_words() -> None:
    assert all(is_word(word) and word.islower() for word in WORDS)
    assert len(set(WORDS)) == len(WORDS)


def test_every_word_is_one_task() -> None:
    secrets = [task["expected_output"] for split in tasks().values() for task in split]
    assert sorted(secrets) == sorted(WORDS)


def test_the_tasks_are_always_the_same() -> None:
    assert tasks() == tasks()


def test_no_tool_output_holds_the_word_before_it_is_found(client: Client, rows: list[Row]) -> None:
    for row in rows:
        client.seed(row)
        outputs = [item["output"] for item in play_row(client, row) if "output" in item]
        assert row["ground_truth"][0]["expected_output"] in outputs[-1]
        assert row["ground_truth"][0]["expected_output"] not in " ".join(outputs[:-1]).lower()
