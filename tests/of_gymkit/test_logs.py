"""The log: a line per event, with session, tool and duration; a mistake of the model is no error; nothing secret."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from harness import Client, LiveServer
from probe import ROW, NoArguments, ProbeServer

from gymkit.access import CannotServe
from gymkit.logs import drop_what_cannot_be_written, set_up_logging, short_id
from gymkit.server import EnvironmentFailed

Serve = Callable[..., LiveServer]
Event = dict[str, Any]

SECRET = "sk-0123456789abcdef"


class Noted(ProbeServer):
    """An environment that logs something of its own, and loses what it needs."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        for tool in (self.note, self.lose):
            app.post(f"/{tool.__name__}")(tool)
        return app

    def note(self, body: NoArguments, request: Request) -> str:
        """Log, in a thread."""
        logging.getLogger("gymkit.mine").info("own words")
        return "done"

    async def lose(self, body: NoArguments, request: Request) -> str:
        """Fail for want of a service."""
        raise EnvironmentFailed(f"the service refused the key {SECRET}")


@pytest.fixture
def log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """A function that lets this process log as a server does, with the given variables, into a file that it returns."""
    root, own = logging.getLogger(), logging.getLogger("gymkit")
    before = list(root.handlers), root.level, own.level
    file = (tmp_path / "log").open("w")

    def start(**variables: str) -> Path:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdout", sys.stdout)
        monkeypatch.setattr(sys, "stderr", file)
        drop_what_cannot_be_written()
        set_up_logging()
        return tmp_path / "log"

    yield start
    file.close()
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]


def from_text(path: Path) -> list[Event]:
    """The events of a log. What follows a line, indented, belongs to it."""
    events: list[Event] = []
    for line in path.read_text().splitlines():
        if line.startswith(" "):
            events[-1]["more"] += f"{line}\n"
            continue
        time, level, *words = line.split()
        fields = dict(word.split("=", 1) for word in words[:3] if "=" in word)
        events.append({"time": time, "level": level, **fields, "message": line, "more": ""})
    return events


def from_json(path: Path) -> list[Event]:
    return [{"more": "", **json.loads(line)} for line in path.read_text().splitlines()]


READ = {"text": from_text, "json": from_json}


def seeded(live: LiveServer) -> tuple[Client, str]:
    """A client with a session, and that session's name in the log."""
    client = live.client()
    client.seed(ROW)
    [session_id] = live.server._sessions._open
    return client, short_id(session_id)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_session_is_found_by_its_id_with_a_line_for_each_event(
    serve: Serve, log_file: Callable[..., Path], form: str
) -> None:
    path = log_file(ENV_LOG_FORMAT=form)
    client, name = seeded(serve(Noted, tool_seconds=0.3))
    assert client.tool("nothing") == "done"
    assert client.post("/wait", json={"seconds": "long"}).status_code == 422
    client.tool("wait", seconds=20)
    client.tool("fail")
    client.verdict(ROW)
    client.seed(ROW)  # another session
    client.post("/wait", json={})

    events = [event for event in READ[form](path) if event.get("session") == name]
    assert [(event["level"], event["tool"]) for event in events] == [
        ("info", "wait"),
        ("warning", "wait"),
        ("error", "fail"),
    ]
    mistake, time_out, fault = events
    assert "was called wrongly. seconds: Input should be a valid number" in mistake["message"]
    assert "wait took more than 0.3 seconds" in time_out["message"]
    assert 0.29 <= float(time_out["seconds"]) < 5
    assert "RuntimeError: the disk is full" in fault["message"]
    assert path.read_text().count("Traceback (most recent call last)") == 1
    assert "probe.py" in (fault["more"] or fault["traceback"])


def test_an_environment_that_has_failed_is_one_error_and_no_key_is_written(
    serve: Serve, log_file: Callable[..., Path]
) -> None:
    path = log_file(ENV_LOG_FORMAT="json", SOME_API_KEY=SECRET)
    client, name = seeded(serve(Noted))
    for _ in range(3):
        client.tool("lose")
    assert client.verdict(ROW)["mask_sample"] is True
    text = path.read_text()
    assert [event["level"] for event in from_json(path)] == ["error", "info", "info"]
    assert {event["session"] for event in from_json(path)} == {name}
    assert text.count("Traceback (most recent call last)") == 1
    assert SECRET not in text and "*" * len(SECRET) in text


def test_what_a_tool_logs_itself_bears_the_session(serve: Serve, log_file: Callable[..., Path]) -> None:
    path = log_file()
    client, name = seeded(serve(Noted))
    client.tool("note")
    [event] = from_text(path)
    assert (event["level"], event["session"]) == ("info", name)


def test_no_caller_writes_a_line_of_his_own(serve: Serve, log_file: Callable[..., Path]) -> None:
    path = log_file()
    client, name = seeded(serve(Noted))
    client.post("/wait", json={"seconds": 0, "x\n2026-01-01T00:00:00.000Z error   \x1b[2Jforged\u2028": 1})
    [event] = from_text(path)
    assert (event["level"], event["session"]) == ("info", name)
    assert len(path.read_text().splitlines()) == 1 and "\x1b" not in path.read_text()


@pytest.mark.parametrize(("level", "levels"), [("debug", ["debug", "info", "error"]), ("ERROR", ["error"])])
def test_the_level_is_a_setting(serve: Serve, log_file: Callable[..., Path], level: str, levels: list[str]) -> None:
    path = log_file(ENV_LOG_LEVEL=level)
    client, _ = seeded(serve(Noted))
    client.tool("nothing")
    client.post("/wait", json={})
    client.tool("fail")
    assert [event["level"] for event in from_text(path)] == levels


@pytest.mark.parametrize(("name", "value"), [("ENV_LOG_LEVEL", "loud"), ("ENV_LOG_FORMAT", "xml")])
def test_a_setting_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CannotServe, match=f"{name}='{value}' is none of: "):
        set_up_logging()
