# Part of the template: changes belong there (`copier update` merges this file).
"""The user's turn: who may take it, how often, how much; and what a model as user does, or fails to do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import standin_user
from harness import Client, LiveServer, Row, says

from gymkit.rows import demo_row

SPELLINGS = ("/user/turn", "//user/turn/", "/user//turn", "/%75ser/turn", "/user/turn?over=1", "/user/turn/")


def turn(client: Client, text: str, status: int = 200) -> Row:
    answer = client.post("/user/turn", json={"text": text})
    assert answer.status_code == status, answer.text
    return answer.json()


def verdict(client: Client, row: Row) -> Row:
    return client.verdict(row, [says("Goodbye.")])


def test_the_user_is_no_tool(client: Client) -> None:
    assert "user" not in " ".join(tool["name"] for tool in client.tools())
    assert "/user/turn" not in client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("path", SPELLINGS)
def test_however_it_is_called_it_costs_a_turn_and_is_said(live: LiveServer, client: Client, path: str) -> None:
    client.seed(demo_row())
    assert client.post(path, json={"text": "What is your email?"}).status_code == 200
    [session] = live.server._sessions._open.values()
    assert session.state.conversation.said == ["What is your email?"]
    assert verdict(client, demo_row())["reward"] == 0.0


@pytest.mark.parametrize(
    "body", [{}, {"text": None}, {"text": "x", "done": True}, {"text": ["x"]}, [], "x", {"text": "x" * 3_000_000}]
)
def test_what_is_no_turn_is_refused(client: Client, body: Any) -> None:
    client.seed(demo_row())
    assert client.post("/user/turn", json=body).status_code in (413, 422)
    assert turn(client, "What is your name?")["done"] is False


def test_a_turn_after_the_end_is_refused(serve: Callable[..., LiveServer]) -> None:
    client = serve(user_turns=2).client()
    client.seed(demo_row())
    assert turn(client, "Your email, please?")["done"] is False
    assert turn(client, "Your postcode, please?")["done"] is True
    for _ in range(2):
        assert "over" in turn(client, "And your name?", 409)["output"]
    assert "over" in client.tool(client.tools()[0]["name"], **{"email": "a", "postcode": "b"})
    assert verdict(client, demo_row())["mask_sample"] is False
    turn(client, "Hello?", 410)  # The session has ended as well.


def test_two_turns_at_once_are_taken_one_after_the_other(live: LiveServer) -> None:
    client = live.client()
    client.seed(demo_row())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/user/turn", json={"text": "Hm."}).status_code, range(8)))
    patience = demo_row()["user"].get("patience", 3)
    assert sorted(answers) == [200] * (patience + 1) + [409] * (7 - patience)


def test_a_person_plays_the_user_where_no_row_is_played(client: Client) -> None:
    client.seed({})
    answer = client.post("/user/turn", json={"text": "Your name?", "answer": "Guess."})
    assert answer.json() == {"output": "Guess.", "done": False}
    answer = client.post("/user/turn", json={"text": "Bob?", "answer": "Bye. " * 4_000, "leaves": True}).json()
    assert answer["done"] is True and len(answer["output"]) == 4_000
    turn(client, "Hello?", 409)


@pytest.mark.parametrize("more", [{"answer": "All is done."}, {"leaves": True}])
def test_nobody_else_answers_for_the_user(client: Client, more: Row) -> None:
    client.seed(demo_row())
    assert client.post("/user/turn", json={"text": "Well?", **more}).status_code == 422
    assert "@" in turn(client, "What is your email address?")["output"]


def test_a_long_text_is_cut_and_no_text_is_silence(client: Client) -> None:
    client.seed(demo_row())
    answer = turn(client, "x" * 900_000 + " What is your email address?")
    assert "@" not in answer["output"]
    assert turn(client, "")["output"]


# ------------------------------------------------------------------------------------------------- a model as the user


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Row]]:
    """A stand-in plays the user; the calls that it gets."""
    with standin_user.serve() as (url, calls):
        monkeypatch.setenv("USER_BASE_URL", url)
        monkeypatch.setenv("USER_MODEL", "standin")
        monkeypatch.setenv("USER_API_KEY", "sesame-key")
        yield calls


@pytest.fixture
def played_by(model: list[Row], serve: Callable[..., LiveServer]) -> Client:
    client = serve(user_seconds=1.5, user_attempts=2, user_characters=500).client()
    client.seed(demo_row())
    return client


def test_it_sees_what_was_said_and_its_file_and_nothing_else(played_by: Client, model: list[Row]) -> None:
    answer = turn(played_by, "How can I help you?")
    assert answer == {"output": "I heard: How can I help you?", "done": False}
    turn(played_by, "y" * 5_000)
    shown = str(model[-1])
    script, row = demo_row()["user"], demo_row()
    assert all(text in shown for text in (script["opening"], *script["wishes"], *script["facts"].values()))
    assert "y" * 501 not in shown
    system = row["responses_create_params"]["input"][0]["content"]
    tools = [tool["name"] for tool in row["responses_create_params"]["tools"]]
    assert system[:60] not in shown and not any(f"{name}" in shown for name in tools if "_" in name)
    assert "expected_output" not in shown and "sesame-key" not in shown


def test_it_ends_the_conversation_by_a_word_that_nobody_else_knows(played_by: Client) -> None:
    assert turn(played_by, "Say END, END-12345678, end it. {answer: echo}")["done"] is False
    assert turn(played_by, "Farewell. {answer: ends}") == {"output": "Goodbye then.", "done": True}


def test_one_who_never_ends_is_ended(model: list[Row], serve: Callable[..., LiveServer]) -> None:
    client = serve(user_turns=5).client()
    client.seed(demo_row())
    assert [turn(client, "And?")["done"] for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize("kind", ["agent", "call", "nothing", "huge"])
def test_an_odd_answer_is_a_text_or_none(played_by: Client, kind: str) -> None:
    """One that speaks as the agent is only heard; what brings no text was brought about by what was said."""
    answer = turn(played_by, f"Well? {{answer: {kind}}}")
    assert answer["done"] is (kind in ("call", "nothing"))
    assert 0 < len(answer["output"]) <= 500
    assert verdict(played_by, demo_row())["mask_sample"] is False


@pytest.mark.parametrize("kind", ["400", "sleep"])
def test_what_the_policy_has_caused_masks_nothing(played_by: Client, kind: str) -> None:
    assert turn(played_by, f"Well? {{answer: {kind}}}")["done"] is True
    found = verdict(played_by, demo_row())
    assert (found["reward"], found["mask_sample"]) == (0.0, False)


@pytest.mark.parametrize("kind", ["500", "429", "401"])
def test_one_who_cannot_be_reached_masks_the_sample(played_by: Client, kind: str) -> None:
    answer = turn(played_by, f"Well? {{answer: {kind}}}")
    assert "done" not in answer
    found = verdict(played_by, demo_row())
    assert (found["mask_sample"], found["failure_kind"]) == (True, "provider_unavailable")
    assert "sesame-key" not in str(found)


def test_a_user_who_is_not_there_masks_the_sample(
    serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER_BASE_URL", "http://127.0.0.1:9/v1")
    client = serve(user_attempts=1).client()
    client.seed(demo_row())
    turn(client, "Hello?")
    assert verdict(client, demo_row())["mask_sample"] is True


def test_settings_leave_time_for_an_answer(serve: Callable[..., LiveServer]) -> None:
    with pytest.raises(ValueError, match="tool_seconds is 60"):
        serve(tool_seconds=60)


def test_sixty_four_conversations_at_once_have_nothing_of_each_other(live: LiveServer, rows: list[Row]) -> None:
    def talk(number: int) -> tuple[str, str]:
        client, row = live.client(), rows[number % len(rows)]
        client.seed(row)
        said = [turn(client, text)["output"] for text in ("Your email, please?", "And the order number, please?")]
        return " ".join(said), row["user"]["facts"]["email"] + " " + row["user"]["facts"]["order"]

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(talk, range(64)))
    assert [said for said, facts in answers if said != facts] == []
