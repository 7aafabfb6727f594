# Part of the template: changes belong there (`copier update` merges this file).
"""A service outside, by real HTTP: what it does, and what becomes of that. The service stands in for any."""

import asyncio
import gzip
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from standin_service import Answer, Standin, standing_in

from gymkit.access import CannotServe
from gymkit.grading import EnvironmentFailed
from gymkit.services import Key, Probe, Service, ServiceSettings, Unrecorded
from gymkit.tools import ToolFailed

SECRET = "tvly-3f9a01c27be84d65"
KEY = Key("STANDIN_API_KEY", "Authorization", "Bearer {}")
WORKS = Probe("GET", "/works", shape={"n": int})


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    monkeypatch.setenv(KEY.variable, SECRET)
    with standing_in() as standin:
        yield standin


def settings(**changed: Any) -> ServiceSettings:
    quick = {"service_rate": 200, "service_seconds": 2, "service_patience": 10, "tool_seconds": 30}
    return ServiceSettings(**{**quick, **changed})


def asked(standin: Standin, path: str = "/cities", count: int = 1, shape: Any = None, **changed: Any) -> list[Any]:
    """What so many calls at once come to: answers, or exceptions."""

    async def ask() -> list[Any]:
        service = Service("standin", standin.url, settings(**changed), KEY, WORKS)
        calls = [service.get(path, {"number": number}, shape=shape) for number in range(count)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        await service.close()
        return found

    return asyncio.run(ask())


def only_at(path: str, answer: Answer) -> Callable[[str], Answer]:
    """A service that works, but for one path."""
    return lambda asked: answer if asked == path else Answer()


# ----------------------------------------------------------------------------------------------------- what it answers


def test_it_answers_and_the_key_goes_out_in_a_header_alone(standin: Standin) -> None:
    assert asked(standin) == [{"n": 1}]
    [(_, path, headers, _)] = standin.asked
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert path == "/cities?number=0"


def test_what_a_model_puts_into_a_path_leads_to_no_other(standin: Standin) -> None:
    async def ask(city: str) -> Any:
        service = Service("standin", standin.url, settings(), KEY, WORKS)
        return await service.get("/cities/{city}/days", in_path={"city": city})

    asyncio.run(ask("../../admin?x=1#y"))
    assert standin.paths == ["/cities/..%2F..%2Fadmin%3Fx%3D1%23y/days"]
    for city in ("..", ".", ""):
        with pytest.raises(ToolFailed):
            asyncio.run(ask(city))
    assert len(standin.asked) == 1


@pytest.mark.parametrize("city", ["x" * 70_000, "\ud800"], ids=["too long", "half a character"])
def test_what_makes_no_request_is_a_text(standin: Standin, city: str) -> None:
    async def ask() -> Any:
        service = Service("standin", standin.url, settings(), KEY, WORKS)
        return await service.get("/cities", {"city": city})

    with pytest.raises(ToolFailed, match="too long, or hold half a character"):
        asyncio.run(ask())
    assert standin.paths == ["/works"]


def test_a_packed_answer_is_unpacked_as_far_as_it_may_be(standin: Standin) -> None:
    packed = {"Content-Encoding": "gzip"}
    standin.answer = lambda path: Answer(body=gzip.compress(b'{"n": 2}'), headers=packed)
    assert asked(standin) == [{"n": 2}]
    bomb = gzip.compress(b" " * 50_000_000)
    standin.answer = only_at("/cities", Answer(body=bomb, headers=packed))
    [failure] = asked(standin)
    assert "more than 2,000,000 bytes" in str(failure)


# ------------------------------------------------------------------------------------------------------ what is wrong

TEMPORARY = [Answer(500), Answer(503), Answer(body=b"{no json"), Answer(body=b"[" * 50_000), Answer(body=b"[1]")]


@pytest.mark.parametrize("answer", TEMPORARY, ids=["500", "503", "no JSON", "nested", "another form"])
def test_what_fails_for_a_while_is_asked_again(standin: Standin, answer: Answer) -> None:
    standin.answer = lambda path: answer if len(standin.asked) < 3 else Answer()
    assert asked(standin, shape={"n": int}) == [{"n": 1}]
    assert len(standin.asked) == 3


FAILS = {
    "500": (Answer(500), "fails (500)"),
    "400": (Answer(400), "refuses the request (400)"),  # so Google says that a key is wrong
    "403": (Answer(403), "refuses the request (403)"),
    "404": (Answer(404), "has nothing there (404)"),
    "a redirect": (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), "refuses the request (302)"),
    "no JSON": (Answer(body=b"<html>"), "no JSON"),
    "another form": (Answer(body=b'{"error": "closed"}'), "JSON of another form"),
    "50 MB": (Answer(body=b"1" * 50_000_000), "more than 2,000,000 bytes"),
    "no end": (Answer(headers={"Content-Length": "100"}), "has not answered within 0.2 seconds"),
    "slow": (Answer(delay=1), "has not answered within 0.2 seconds"),
}


@pytest.mark.parametrize("what", FAILS)
def test_who_fails_at_everything_has_failed_and_who_fails_at_one_request_has_not(standin: Standin, what: str) -> None:
    answer, says = FAILS[what]
    quick = {"service_attempts": 2, "service_seconds": 0.2}
    standin.answer = lambda path: answer
    [failure] = asked(standin, shape={"n": int}, **quick)
    assert isinstance(failure, EnvironmentFailed)
    assert says in str(failure)
    assert standin.paths[-1] == "/works"
    # The policy has chosen what fails: that masks nothing.
    standin.answer = only_at("/cities", answer)
    [failure] = asked(standin, shape={"n": int}, **quick)
    assert isinstance(failure, ToolFailed)
    assert says in str(failure)
    assert standin.url.split("//")[1] not in str(failure)


@pytest.mark.parametrize("status", [401, 432, 433])
def test_a_wrong_key_and_a_used_up_quota_are_the_environments(standin: Standin, status: int) -> None:
    standin.answer = only_at("/cities", Answer(status, f'{{"error": "the key {SECRET} is wrong"}}'.encode()))
    [failure] = asked(standin)
    assert isinstance(failure, EnvironmentFailed)
    assert f"({status})" in str(failure)
    assert len(standin.asked) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_a_service_that_cannot_be_reached_is_the_environments(standin: Standin, url: str) -> None:
    async def ask() -> None:
        await Service("standin", url, settings(service_attempts=2), KEY, WORKS).get("/cities")

    with pytest.raises(EnvironmentFailed, match=r"standin cannot be reached \(ConnectError\)") as caught:
        asyncio.run(ask())
    assert "127.0.0.1" not in str(caught.value) and "invalid" not in str(caught.value)


def test_a_service_that_has_just_worked_and_works_no_more_has_failed(standin: Standin) -> None:
    async def ask() -> None:
        service = Service("standin", standin.url, settings(service_attempts=1), KEY, WORKS)
        await service.get("/cities")
        standin.answer = lambda path: Answer(500)
        await service.get("/cities", {"number": 2})

    with pytest.raises(EnvironmentFailed):
        asyncio.run(ask())


def test_failures_at_once_share_a_probe(standin: Standin) -> None:
    standin.answer = lambda path: Answer(404, delay=0.3) if path == "/cities" else Answer(delay=0.2)
    found = asked(standin, count=16, service_rate=5000)
    assert {type(failure) for failure in found} == {ToolFailed}
    assert standin.paths.count("/works") <= 4


@pytest.mark.parametrize(("value", "says"), [(None, "is not set"), ("", "is not set"), ("tvly-é\nx", "no key has")])
def test_a_key_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, value: str | None, says: str) -> None:
    monkeypatch.delenv(KEY.variable, raising=False)
    if value is not None:
        monkeypatch.setenv(KEY.variable, value)
    with pytest.raises(CannotServe, match=says) as caught:
        Service("standin", "http://127.0.0.1:9", settings(), KEY, WORKS)
    assert "tvly" not in str(caught.value)


def test_what_changes_something_is_asked_once(standin: Standin) -> None:
    """It may have been done, though its answer is lost; and the same is no second booking."""

    async def book(count: int, **more: Any) -> list[Any]:
        service = Service("standin", standin.url, settings(service_attempts=3), KEY, WORKS)
        return [await service.post("/cities", {"name": "Oak"}, **more) for _ in range(count)]

    asyncio.run(book(2))
    assert standin.paths == ["/cities"] * 2
    standin.asked.clear()
    asyncio.run(book(2, repeatable=True))
    assert standin.paths == ["/cities"]
    standin.asked.clear()
    standin.answer = lambda path: Answer(429, headers={"Retry-After": "0"}) if len(standin.asked) < 3 else Answer(500)
    with pytest.raises(EnvironmentFailed):
        asyncio.run(book(1))
    assert standin.paths == ["/cities"] * 3 + ["/works"]  # A 429 has done nothing.


# ------------------------------------------------------------------------------------------------------------- a rate


class PerSecond:
    """A service that answers so many requests in each second, and refuses the others."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.passed: list[float] = []

    def __call__(self, path: str) -> Answer:
        now = time.monotonic()
        self.passed = [then for then in self.passed if now - then < 1]
        if len(self.passed) >= self.most:
            return Answer(429, b'{"detail": {"error": "excessive requests"}}', {"Retry-After": "1"})
        self.passed.append(now)
        return Answer()


def test_who_keeps_to_the_rate_is_never_refused(standin: Standin) -> None:
    standin.answer = PerSecond(24)
    started = time.monotonic()
    assert asked(standin, count=30, service_rate=20) == [{"n": 1}] * 30
    assert 1.4 < time.monotonic() - started < 4
    assert len(standin.asked) == 30


def test_who_is_refused_waits_as_long_as_it_is_told(standin: Standin) -> None:
    standin.answer = PerSecond(10)
    started = time.monotonic()
    assert asked(standin, count=30, service_rate=100) == [{"n": 1}] * 30
    assert 2 < time.monotonic() - started < 8
    # While it waits, it asks nothing: of the calls at once, few are refused.
    assert len(standin.asked) < 120


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "3600"}], ids=["for ever", "for an hour"])
def test_who_is_refused_for_good_is_the_environments(standin: Standin, headers: dict[str, str]) -> None:
    standin.answer = lambda path: Answer(429, headers=headers)
    started = time.monotonic()
    found = asked(standin, count=5, service_patience=1.5, service_seconds=1)
    assert {type(failure) for failure in found} == {EnvironmentFailed}
    assert {str(failure) for failure in found} == {"standin takes no more requests for now (429)."}
    assert time.monotonic() - started < 4


def test_no_more_requests_are_made_at_once_than_are_allowed(standin: Standin) -> None:
    standin.answer = lambda path: Answer(delay=0.3)
    started = time.monotonic()
    asked(standin, count=9, service_calls=3)
    assert 0.85 < time.monotonic() - started < 2.5  # three times three


# ---------------------------------------------------------------------------------------------------------- recordings


def recorded(standin: Standin, folder: Path, mode: str, **more: Any) -> list[Any]:
    return asked(standin, service_mode=mode, service_recordings=str(folder), **more)


def test_replay_answers_as_before_without_a_key_or_a_connection(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.answer = lambda path: Answer(body=json.dumps({"n": len(standin.asked), "your_key": SECRET}).encode())
    live = recorded(standin, tmp_path, "record", count=3)
    assert [each["your_key"] for each in live] == ["********"] * 3
    text = (tmp_path / "standin.jsonl").read_bytes()
    assert len(text.splitlines()) == 3
    assert SECRET.encode() not in text and standin.url.encode() not in text
    # What is recorded is not asked for again.
    assert recorded(standin, tmp_path, "record", count=3) == live
    assert len(standin.asked) == 3
    monkeypatch.delenv(KEY.variable)
    standin.answer = lambda path: pytest.fail("it was asked")
    assert recorded(standin, tmp_path, "replay", count=3) == live


def test_a_refusal_is_replayed_and_what_was_never_asked_is_a_text(standin: Standin, tmp_path: Path) -> None:
    standin.answer = only_at("/cities", Answer(404))
    [before] = recorded(standin, tmp_path, "record")
    found, missing = recorded(standin, tmp_path, "replay", count=2)
    assert (type(found), str(found)) == (ToolFailed, str(before))
    assert isinstance(missing, Unrecorded)
    assert "there is none for this request" in str(missing)


def test_a_failure_of_the_service_is_not_recorded(standin: Standin, tmp_path: Path) -> None:
    standin.answer = lambda path: Answer(500)
    recorded(standin, tmp_path, "record", service_attempts=1)
    standin.answer = lambda path: Answer()
    assert recorded(standin, tmp_path, "record") == [{"n": 1}]


ENTRY = '{"request": {"method": "GET"}, "answer": 1}\n'
DAMAGED = {
    "no JSON": ENTRY + "{oops\n",
    "no request": ENTRY + '{"answer": 1}\n',
    "no answer": ENTRY + '{"request": 1}\n',
}
DAMAGED |= {"a list": ENTRY + "[1]\n", "cut off": ENTRY + ENTRY[:20], "no end": ENTRY + ENTRY.strip()}


@pytest.mark.parametrize("what", DAMAGED)
@pytest.mark.parametrize("mode", ["record", "replay"])
def test_a_damaged_recording_is_one_line_that_names_the_place(
    standin: Standin, tmp_path: Path, what: str, mode: str
) -> None:
    (tmp_path / "standin.jsonl").write_text(DAMAGED[what])
    with pytest.raises(CannotServe, match=r"standin\.jsonl(, line 2|: its last line has no end)"):
        recorded(standin, tmp_path, mode)


def test_answers_are_kept_in_memory(standin: Standin) -> None:
    async def ask(keep: int) -> int:
        before = len(standin.asked)
        service = Service("standin", standin.url, settings(service_cache=keep), KEY, WORKS)
        for number in (1, 2, 1, 2, 3, 1):
            await service.get("/cities", {"number": number})
        return len(standin.asked) - before

    assert [asyncio.run(ask(keep)) for keep in (0, 1, 2, 3)] == [6, 6, 4, 3]


# -------------------------------------------------------------------------------------------------------------- the key


def test_the_key_stands_in_no_log(standin: Standin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    standin.answer = lambda path: Answer(500, SECRET.encode())
    asked(standin, service_attempts=2)
    standin.answer = only_at("/cities", Answer(404, SECRET.encode()))
    asked(standin)
    assert "has nothing there (404), for one request and not for others" in caplog.text
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpcore")]
    assert standin.url not in "\n".join(ours)
    assert SECRET not in caplog.text  # nor in what a library says of itself


def test_settings_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="tool_seconds is 50, and a service may take 100"):
        ServiceSettings(tool_seconds=50)
