"""What models and gateways answer, read into items; and what is said of what cannot be read."""

import json
import random
import time
from email.utils import formatdate
from typing import Any

import pytest

from gymkit.items import text_of
from gymkit.models import chat_messages, response_items
from gymkit.replies import (
    BadArguments,
    BadReply,
    Reply,
    arguments_again,
    arguments_text,
    error_text,
    read_arguments,
    read_reply,
)
from gymkit.waiting import seconds_to_wait

WORD = {"word": "crane"}


def read(body: Any, taken: set[str] | None = None) -> Reply:
    return read_reply(body if isinstance(body, str) else json.dumps(body), 0, set() if taken is None else taken)


def completion(finish: str = "stop", **answer: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", **answer}, "finish_reason": finish}]}


def called(arguments: Any, **call: Any) -> dict[str, Any]:
    return completion(tool_calls=[{"id": "c", "function": {"name": "guess", "arguments": arguments}, **call}])


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [
        (None, {}),
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ({}, {}),
        (WORD, WORD),
        (json.dumps(WORD), WORD),
        (json.dumps(json.dumps(WORD)), WORD),
        ("\ufeff" + json.dumps(WORD), WORD),
        ('{"code": "a\nb"}', {"code": "a\nb"}),
        ('{"word": "\\ud83d"}', {"word": "?"}),
    ],
)
def test_arguments_are_read_in_every_form(raw: Any, arguments: dict[str, Any]) -> None:
    assert read_arguments(raw) == arguments
    assert json.loads(arguments_again(arguments_text(raw))) == arguments


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ('{"word": "cra', "no JSON: Unterminated string"),
        ('{"word": NaN}', "NaN or an infinite number"),
        ('{"word": 1e999}', "NaN or an infinite number"),
        ("[1]", "no JSON object, but list"),
        ("5", "no JSON object, but int"),
        ('"crane"', "no JSON"),
        ("9" * 5000, "no JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_arguments_that_cannot_be_read_are_explained(raw: Any, says: str) -> None:
    with pytest.raises(BadArguments, match=says):
        read_arguments(raw)
    assert arguments_again(raw) == "{}"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, []),
        ("", []),
        ("So.", ["So."]),
        (["So.", "Yes."], ["So.Yes."]),
        ([{"type": "text", "text": "So."}, {"type": "text", "text": None}, None], ["So."]),
        ("naïve \ud83d", ["naïve ?"]),
    ],
)
def test_content_is_read_in_every_form(content: Any, text: list[str]) -> None:
    assert [text_of(item) for item in read(completion(content=content)).items] == text
    [said] = read({"output": [{"type": "message", "content": content}]}).items
    assert text_of(said) == "".join(text)
    assert said["role"] == "assistant"


@pytest.mark.parametrize("call", [{"id": None}, {"id": ""}, {"id": 7}, {"id": "taken"}])
def test_ids_that_are_missing_or_there_already_are_made(call: dict[str, Any]) -> None:
    taken = {"taken", "call_0"}
    [item] = read(called("{}", **call), taken).items
    assert item["call_id"] not in ("taken", "call_0", "", None)
    assert item["call_id"] in taken
    bare = {"type": "function_call", "name": "guess", "arguments": "{}", "call_id": call["id"], "status": None}
    two = read({"output": [bare, bare]}).items
    assert len({each["call_id"] for each in two}) == 2


@pytest.mark.parametrize("arguments", [None, "", {}])
def test_a_call_without_arguments_has_an_empty_object(arguments: Any) -> None:
    assert [item["arguments"] for item in read(called(arguments)).items] == ["{}"]


def test_calls_come_in_older_forms_too() -> None:
    function = {"name": "guess", "arguments": "{}"}
    older: list[dict[str, Any]] = [{"function_call": function}, {"tool_calls": {"function": function}}]
    older.append({"tool_calls": [function]})
    for answer in older:
        assert [item["name"] for item in read(completion(**answer)).items] == ["guess"]
    assert read(completion(tool_calls=None, content="So.")).items[0]["type"] == "message"
    assert [item["name"] for item in read(completion(tool_calls=[None, {}])).items] == ["", ""]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_keeps_the_name_that_it_came_under(key: str) -> None:
    thought, said = read(completion(content="So.", **{key: "I think."})).items
    assert (thought["type"], thought["key"]) == ("reasoning", key)
    assert thought["summary"] == [{"type": "summary_text", "text": "I think."}]
    assert text_of(said) == "So."


def test_an_answer_that_was_cut_off_makes_no_calls() -> None:
    reply = read({**called('{"word": "cra'), "choices": [{**called("{")["choices"][0], "finish_reason": "length"}]})
    assert reply.cut_off
    assert [item["status"] for item in reply.items] == ["incomplete"]
    call = {"type": "function_call", "name": "guess", "arguments": "{", "call_id": "c"}
    assert read({"status": "incomplete", "output": [call]}).items[0]["status"] == "incomplete"


def test_items_of_the_providers_own_tools_are_kept() -> None:
    search = {"type": "web_search_call", "id": "ws", "status": "completed", "action": None}
    assert read({"output": [search, None, 7, "So."]}).items[0] == search


def test_an_event_stream_is_put_together() -> None:
    whole = {"output": [{"type": "message", "content": "So."}]}
    events = [{"type": "response.created", "response": {}}, {"type": "response.completed", "response": whole}]
    pieces = [
        {"choices": [{"delta": {"role": "assistant", "content": "S"}}]},
        {"choices": [{"delta": {"content": "o."}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "guess"}}]}}]},
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, "finish_reason": "stop"}
            ]
        },
        {"choices": []},
    ]
    for stream, kinds in ((events, ["message"]), (pieces, ["message", "function_call"])):
        text = ": waiting\n\n" + "".join(f"data: {json.dumps(each)}\n\n" for each in stream) + "data: [DONE]\n\n"
        reply = read(text)
        assert [item["type"] for item in reply.items] == kinds
        assert text_of(reply.items[0]) == "So."
        assert not reply.cut_off
    assert read("".join(f"data: {json.dumps(each)}\n\n" for each in pieces[:2])).cut_off


WORDS: list[Any] = [None, True, 7, "", "x", "{}", [], {}]
KEYS = [
    "output",
    "choices",
    "message",
    "delta",
    "content",
    "text",
    "type",
    "tool_calls",
    "function",
    "name",
    "arguments",
]
KEYS += [
    "function_call",
    "error",
    "status",
    "summary",
    "refusal",
    "reasoning",
    "finish_reason",
    "index",
    "id",
    "response",
]


def test_no_answer_whatever_it_is_fails_otherwise_than_in_a_line() -> None:
    chance = random.Random(16)

    def value(depth: int) -> Any:
        if depth == 0 or chance.random() < 0.2:
            return chance.choice(WORDS)
        if chance.random() < 0.4:
            return [value(depth - 1) for _ in range(chance.randrange(3))]
        return {key: value(depth - 1) for key in chance.sample(KEYS, 4)}

    read_well = 0
    for _ in range(5000):
        answer = {"choices": [{"message": value(4), "delta": value(4)}], "output": value(4)}
        answer.pop(chance.choice(list(answer)))
        body = json.dumps(answer)
        for text in (body, f"data: {body}\n\n"):
            try:
                items = read(text).items
            except BadReply:
                continue
            read_well += 1
            response_items(items)
            chat_messages(items)
    assert read_well > 1000


PAGE = "<html><head><title>502 Bad\nGateway</title></head><body>nginx</body></html>"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "no JSON: (nothing)"),
        (PAGE, "no JSON: 502 Bad Gateway"),
        ("[]", "no object"),
        ("null", "no object"),
        ("data: {\n\n", "no JSON"),
        ("data: [DONE]\n\n", "no object"),
        ('data: {"error": {"message": "overloaded"}}\n\n', "overloaded"),
        ("[" * 100_000, "nested too deeply"),
        ({"choices": None}, "without an answer"),
        ({"choices": []}, "without an answer"),
        ({"choices": [None]}, "without a message"),
        ({"choices": [{"message": None}]}, "without a message"),
        ({"choices": [{"message": {}, "error": {"message": "moderated"}}]}, "moderated"),
        ({"error": {"message": "no credits", "code": 402}}, "no credits"),
        ({"object": "error", "message": "no model"}, "no model"),
        ({"output": None, "status": "failed", "error": {"message": "server_error"}}, "server_error"),
        ({"output": [], "status": "failed", "error": {"message": "server_error"}}, "server_error"),
    ],
)
def test_what_is_no_answer_is_one_line_with_what_the_provider_says(body: Any, says: str) -> None:
    with pytest.raises(BadReply) as raised:
        read(body)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"error": {"message": "so"}}', "so"),
        ('{"error": "so"}', "so"),
        ('[{"error": {"code": 400, "message": "so"}}]', "so"),
        ('{"detail": [{"loc": ["body"], "msg": "so"}]}', "so"),
        ('"so"', "so"),
        ("<p>so</p>", "so"),
        ('{"error": {}}', '{"error": {}}'),
    ],
)
def test_an_errors_message_is_found(body: str, says: str) -> None:
    assert error_text(body) == says


def test_retry_after_is_seconds_or_a_date() -> None:
    assert seconds_to_wait({"Retry-After": "7"}, 1.0) == 7.0
    assert 5 < seconds_to_wait({"Retry-After": formatdate(time.time() + 7, usegmt=True)}, 1.0) <= 7
    assert seconds_to_wait({"Retry-After": formatdate(time.time() - 7, usegmt=True)}, 1.0) == 0.1
    for unreadable in ({}, {"Retry-After": "soon"}, {"Retry-After": "inf"}, {"Retry-After": ""}):
        assert seconds_to_wait(unreadable, 3.0) == 3.0
