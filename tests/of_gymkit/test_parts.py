"""gymkit's small parts, each by itself: rows, answers, schemas, players, the conflict markers."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import pytest
import requests
from fastapi import FastAPI, Request
from harness import says, verify_body
from nemo_gym.base_resources_server import BaseVerifyRequest
from probe import ROW
from pydantic import BaseModel, Field
from rich.console import Console

from gymkit import project
from gymkit.answers import final_answer
from gymkit.bodies import BadBody, read_object
from gymkit.conflicts import conflicts
from gymkit.data import row
from gymkit.items import Item, function_call
from gymkit.players import Move, Player
from gymkit.project import ProjectError
from gymkit.proxies import never_for_loopback
from gymkit.recording import write_page
from gymkit.redaction import redacted
from gymkit.rows import Row, expected_output, read_rows
from gymkit.schemas import tool_schemas
from gymkit.terminal import shown
from gymkit.tools import ToolRequest, ToolRoute


@pytest.mark.parametrize(
    ("truth", "answer"),
    [
        ([{"expected_output": "crane"}], "crane"),
        ({"expected_output": "crane"}, "crane"),
        ("crane", "crane"),
        ([{"expected_output": {"a": [1]}}], {"a": [1]}),
        ([], None),
        (None, None),
    ],
)
def test_the_expected_output_is_found_in_every_form(truth: Any, answer: Any) -> None:
    assert expected_output({"ground_truth": truth}) == answer
    assert expected_output({}) is None


# ------------------------------------------------------------------------------------------------- the final answer

REASONING = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "It is B."}]}
CALL = function_call(1, "any", "{}")
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "It is B."}
REFUSAL = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "refusal", "refusal": "It is B, but I may not say so."}],
}
USER = {"type": "message", "role": "user", "content": "It is B."}


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ([], ""),
        ([says("A")], "A"),
        ([says("A"), says("B")], "B"),
        ([says("B"), says("")], ""),
        ([says("A"), REASONING], "A"),
        ([REASONING], ""),
        ([says("A"), CALL, OUTPUT], "A"),
        ([CALL, OUTPUT], ""),
        ([says("A"), REFUSAL], ""),
        ([says("A"), USER], "A"),
    ],
)
def test_the_final_answer_is_the_text_of_the_last_message(output: list[Item], answer: str) -> None:
    response = BaseVerifyRequest.model_validate(verify_body(ROW, output)).response
    assert final_answer(response) == answer


# ------------------------------------------------------------------------------------------------------- the schemas


class Inner(BaseModel):
    x: int
    y: int = 0


class StrictInner(ToolRequest):
    x: int


class Flat(ToolRequest):
    word: str
    kind: Literal["a", "b"]
    words: list[str]
    maybe: int | None


class WithDefault(ToolRequest):
    word: str = "crane"


class Nested(ToolRequest):
    inner: StrictInner
    several: list[StrictInner]


class LooselyNested(ToolRequest):
    inner: Inner


class Anything(ToolRequest):
    value: Any


class Open(BaseModel):
    word: str = Field(description="A word.")


@pytest.mark.parametrize(
    ("arguments", "strict"),
    [(Flat, True), (Nested, True), (WithDefault, False), (LooselyNested, False), (Anything, False), (Open, False)],
)
def test_a_schema_is_strict_only_where_strict_mode_takes_the_whole_of_it(arguments: type, strict: bool) -> None:
    app = FastAPI()
    app.router.route_class = ToolRoute

    async def tool(body: Any, request: Request) -> str:
        """Do something."""
        return ""

    tool.__annotations__["body"] = arguments
    app.post("/tool")(tool)
    [schema] = tool_schemas(app)
    assert schema["strict"] is strict
    assert "title" not in json.dumps(schema["parameters"])


# --------------------------------------------------------------------------------------------------------- the player


def turns(moves: list[Move]) -> list[tuple[list[str], list[str]]]:
    """What a player that makes these moves puts out, turn by turn, and what it was sent."""
    sent: list[str] = []

    def play(row: Row) -> Generator[Move, str, None]:
        for move in moves:
            sent.append((yield move))

    policy = Player(play, lambda row: 1.0).policy(ROW)
    items: list[Item] = []
    found: list[tuple[list[str], list[str]]] = []
    while True:
        output = policy.next_items(items)
        items += output
        kinds = [item.get("name") or item["content"][0]["text"] for item in output]
        found.append((kinds, list(sent)))
        calls = [item for item in output if item["type"] == "function_call"]
        if not calls:
            return found
        items += [
            {"type": "function_call_output", "call_id": call["call_id"], "output": '{"output": "so"}'} for call in calls
        ]


def test_a_player_may_call_and_say_in_any_order() -> None:
    assert turns([]) == [([], [])]
    assert turns(["hello"]) == [(["hello"], [""])]
    assert turns([("a", {}), "b", ("c", {}), ("d", {}), "e", "f"]) == [
        (["a"], []),
        (["b", "c"], ["so", ""]),
        (["d"], ["so", "", "so"]),
        (["e", "f"], ["so", "", "so", "so", "", ""]),
    ]


# ------------------------------------------------------------------------------------------------------- data and files


def test_a_row_of_a_task_lists_tools_only_where_there_are_any() -> None:
    made = row({"prompt": "Which?", "expected_output": {"a": 1}, "own": 7}, [], "train", 3)
    assert made == {
        "task_id": "train-0003",
        "responses_create_params": {"input": [{"role": "user", "content": "Which?"}]},
        "ground_truth": [{"expected_output": {"a": 1}}],
        "own": 7,
    }
    assert "ground_truth" not in row({"prompt": "Which?"}, [], "train", 0)
    with pytest.raises(ProjectError, match=r"tasks.py: task 2 of the split train is no dict with a `prompt`"):
        row({"question": "Which?"}, [], "train", 2)


@pytest.mark.parametrize("text", ["", "\n", "no json\n", "[1]\n", '{"task_id": 1}\n'])
def test_a_file_without_rows_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ProjectError, match=r"rows\.jsonl"):
        read_rows(path)


@pytest.mark.parametrize("body", [b"no json", b"[1]", b'{"a": 1e999}', b'{"a": NaN}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        read_object(body)
    assert read_object(b" ") == {}
    assert read_object('\ufeff{"a": "é"}'.encode()) == {"a": "é"}


@pytest.mark.parametrize(
    ("known", "hosts"),
    [
        ("", "localhost,127.0.0.1,::1"),
        ("internal.example, localhost", "internal.example,localhost,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
def test_no_proxy_is_asked_for_this_machine(known: str, hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", known)
    never_for_loopback()
    assert os.environ["no_proxy"] == hosts
    for url in ("http://127.0.0.1:11000/", "http://localhost/"):
        assert requests.utils.get_environ_proxies(url) == {}
    assert known == "*" or requests.utils.get_environ_proxies("http://example.org/")


def test_conflict_markers_are_found_by_line(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("a\n<<<<<<< before\nb\n=======\nc\n>>>>>>> after\n")
    assert conflicts([path]) == [f"{path}:2", f"{path}:6"]


# ------------------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("plain, naïve\n\tand 😀", "plain, naïve\n\tand 😀"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x1b]8;;http://evil.example\x1b\\click", "\\x1b]8;;http://evil.example\\x1b\\click"),
        ("\x9b31m a\rb\x08\x7f", "\\x9b31m a\\rb\\x08\\x7f"),
        ("one\r\ntwo", "one\ntwo"),
        ("user\u202egnp.exe \u2066a\u2069", "user\\u202egnp.exe \\u2066a\\u2069"),
        ("[red]no markup[/red]", "[red]no markup[/red]"),
        ("the key is shown-0123456789", "the key is ********"),
    ],
)
def test_what_others_have_said_is_shown_without_control_sequences_keys_or_markup(
    text: str, is_shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE_API_KEY", "shown-0123456789")
    terminal = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=100)
    terminal.print(shown(text), end="")
    assert terminal.file.getvalue().expandtabs() == is_shown.expandtabs()  # pyright: ignore[reportAttributeAccessIssue]


def test_keys_are_found_by_the_names_of_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "ENV_API_KEY", "OPENAI_APIKEY", "db_password", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"value-of-{name}")
        assert redacted(f"<value-of-{name}>") == "<********>"
    for name, value in (("KEYBOARD", "value-of-keyboard"), ("SHORT_KEY", "abc"), ("TOKENIZER", "value-of-tokenizer")):
        monkeypatch.setenv(name, value)
        assert redacted(value) == value


def test_a_recording_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE_API_KEY", "recorded-0123456789")
    result = verify_body({**ROW, "task_id": "recorded-0123456789"}, [says("It is recorded-0123456789.")])
    result |= {"reward": 1.0, "responses_create_params": {"input": "recorded-0123456789"}}
    write_page(result, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "It is ********." in text and "0123456789" not in text


def test_a_log_holds_no_key(tmp_path: Path) -> None:
    program = (
        "import logging, sys; from gymkit.logs import drop_what_cannot_be_written as begin; begin()\n"
        "print('key: logged-0123456789'); print('key: logged-0123456789', file=sys.stderr)\n"
        "logging.basicConfig(); logging.error('key: %s', 'logged-0123456789')\n"
        "raise RuntimeError('logged-0123456789')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.ROOT,
        env=os.environ | {"OUTSIDE_API_KEY": "logged-0123456789"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"key: {'*' * 17}\n"
    assert done.stderr.count("*" * 17) >= 3 and "0123456789" not in done.stderr.replace("raise RuntimeError", "")
