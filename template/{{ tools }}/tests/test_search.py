"""The search engines: over documents, and outside, where a stand-in speaks the protocols of Tavily and Google."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from harness import Client, LiveServer, Row, play_row
from standin_search import SearchService

from gymkit.access import CannotServe
from gymkit.items import Item
from gymkit.rows import data_path, read_rows
from search import MAX_QUERY, Documents, as_text
from search.outside import result, text_in

SECRET = "key-5be1c0ffee93a2d8"
ROWS = {row["kind"]: row for row in read_rows(data_path("example"))}
OF_PAGES = [ROWS[kind] for kind in ("fact", "chain", "notice", "both")]

Serve = Callable[..., LiveServer]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchService]:
    monkeypatch.setenv("TAVILY_API_KEY", SECRET)
    monkeypatch.setenv("GOOGLE_API_KEY", SECRET)
    monkeypatch.setenv("GOOGLE_CX", "engine-1")
    with SearchService(0, SECRET) as service:
        Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
        yield service
        service.shutdown()


def outside(serve: Serve, service: SearchService, name: str = "tavily", **settings: Any) -> LiveServer:
    """The environment, with the stand-in as its search engine."""
    quick = {"service_rate": 200, "service_seconds": 1, "service_patience": 20, "tool_seconds": 30}
    pages = {"page_networks": ["127.0.0.0/8"]} if name == "google" else {}
    return serve(**{"search_service": name, "search_url": service.url, **quick, **pages, **settings})


def played(live: LiveServer, row: Row) -> tuple[list[Item], Row]:
    client = live.client()
    client.seed(row)
    items = play_row(client, row)
    return items, client.verdict(row, items)


# ------------------------------------------------------------------------------------------------------- documents


def found(query: str) -> list[str]:
    return [result.title for result in asyncio.run(Documents().search(query, 5))]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("Gannet Rock lighthouse", "Gannet Rock lighthouse"),
        ("who was the keeper called Doran Penhale?", "Doran Penhale"),
        ("a harbour town called Tarn", "Tarn"),
        ("how did keepers trim a wick", "How lighthouses were lit"),
    ],
)
def test_documents_are_ranked_by_what_they_say(query: str, first: str) -> None:
    assert found(query)[0] == first


@pytest.mark.parametrize(
    "query", ['"', "NEAR(a b)", "title: x OR", "*", "a* AND (b", "'; DROP TABLE pages; --", "\x00", "🐟", "-"]
)
def test_no_query_is_a_command(query: str) -> None:
    assert isinstance(found(query), list)


def test_what_is_not_there_is_a_text(client: Client) -> None:
    client.seed()
    assert "Nothing was found" in client.tool("search", query="zzqx")
    assert "there is no page" in client.tool("read_page", url="https://islands.example/nothing")
    for query in ("", " ", "x" * (MAX_QUERY + 1)):
        assert "1 to 400 characters" in client.tool("search", query=query)
    assert as_text([]) == "Nothing was found. Try other words."


def test_what_is_long_is_cut() -> None:
    words = ["zzqx"] * 31
    assert found(" ".join([*words, "Tarn"])) and not found(" ".join([*words, "zzqx", "Tarn"]))
    long = result({"title": "t" * 999, "url": "https://islands.example", "text": "s" * 999}, "text")
    assert (len(long.title), len(long.snippet)) == (200, 500)


# ------------------------------------------------------------------------------------------------------ live and replay


def test_live_record_and_replay_come_to_the_same(
    serve: Serve,
    service: SearchService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the key stands in no trajectory, verdict, recording or log."""
    caplog.set_level(logging.DEBUG)
    kept = {"service_recordings": str(tmp_path)}
    live = [played(outside(serve, service), row) for row in OF_PAGES]
    assert [verdict["reward"] for _, verdict in live] == [1.0] * len(OF_PAGES)
    recorded = [
        played(server, row) for server in [outside(serve, service, service_mode="record", **kept)] for row in OF_PAGES
    ]
    asked = len(service.asked)
    monkeypatch.delenv("TAVILY_API_KEY")
    replay = outside(serve, service, service_mode="replay", **kept)
    replayed = [played(replay, row) for row in OF_PAGES]
    assert len(service.asked) == asked
    assert live == recorded == replayed
    for path in tmp_path.iterdir():
        assert SECRET.encode() not in path.read_bytes()
    assert SECRET not in json.dumps(live) + caplog.text


def test_what_was_not_recorded_is_counted_and_not_masked(serve: Serve, service: SearchService, tmp_path: Path) -> None:
    live = outside(serve, service, service_mode="replay", service_recordings=str(tmp_path))
    client, row = live.client(), ROWS["fact"]
    client.seed(row)
    assert "there is none for this request" in client.tool("search", query="Orra")
    assert "there is none for this request" in client.tool("read_page", url="https://islands.example/x")
    assert "plc-" in client.tool("find_place", name="Tarn")
    verdict = client.verdict(row)
    assert (verdict["reward"], verdict["mask_sample"], verdict["unrecorded"], verdict["calls"]) == (0.0, False, 2, 3)


def test_google_is_searched_and_its_pages_are_read_from_here(serve: Serve, service: SearchService) -> None:
    client = outside(serve, service, "google").client()
    client.seed(ROWS["fact"])
    said = client.tool("search", query="Orra lighthouse")
    url = said.splitlines()[1]
    assert url.startswith(service.url)
    page = client.tool("read_page", url=url)
    assert "first lit in 1907" in page or "since 1907" in page
    assert "<" not in page and "b {" not in page
    # Only what the settings name may be read of the own network.
    assert "may not be read" in outside(serve, service, "google", page_networks=[]).client().tool("read_page", url=url)


def test_the_text_of_a_page_is_what_a_reader_sees() -> None:
    body = "<style>p {}</style><script>x()</script><p>One <b>two</b></p><p> three"
    for head in ("<title>A &amp; B</title>", "<head><title>A &amp; B</title></head>"):
        assert text_in(head + body).split() == ["A", "&", "B", "One", "two", "three"]


# --------------------------------------------------------------------------------------------------------- what fails

MASKED = {
    "quota": {"tavily": "quota is used up", "google": "takes no more requests for now"},
    "500": {"tavily": "fails (500)", "google": "fails (500)"},
    "slow": {"tavily": "has not answered within 1 seconds", "google": "has not answered within 1 seconds"},
    "malformed": {"tavily": "no JSON", "google": "no JSON"},
    "huge": {"tavily": "more than 2,000,000 bytes", "google": "more than 2,000,000 bytes"},
}


@pytest.mark.parametrize("name", ["tavily", "google"])
def test_a_service_that_fails_masks_and_says_so(serve: Serve, service: SearchService, name: str) -> None:
    live = outside(serve, service, name, service_patience=3, service_attempts=2)
    row = ROWS["fact"]
    for fault, says in MASKED.items():
        service.fault = fault
        client = live.client()
        client.seed(row)
        said = client.tool("search", query=f"Orra and {fault}")
        assert said.startswith("Error: the environment has failed.") and says[name] in said, fault
        assert service.url not in said
        verdict = client.verdict(row)
        assert verdict["mask_sample"] is True
        assert verdict["failure_kind"] == "provider_unavailable"
    service.fault = "empty"
    client.seed(row)
    assert "Nothing was found" in client.tool("search", query="Orra")
    assert client.verdict(row)["mask_sample"] is False


@pytest.mark.parametrize("name", ["tavily", "google"])
def test_a_wrong_key_masks(serve: Serve, service: SearchService, name: str) -> None:
    service.key = "another"
    client = outside(serve, service, name).client()
    client.seed(ROWS["fact"])
    said = client.tool("search", query="Orra")
    assert "refuses" in said and SECRET not in said
    assert client.verdict(ROWS["fact"])["mask_sample"] is True


@pytest.mark.parametrize(
    ("name", "variable"), [("tavily", "TAVILY_API_KEY"), ("google", "GOOGLE_API_KEY"), ("google", "GOOGLE_CX")]
)
def test_a_key_that_is_missing_is_one_line(
    serve: Serve, service: SearchService, monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(CannotServe, match=f"{variable} is not set"):
        outside(serve, service, name)


def test_sessions_beyond_what_the_service_allows_wait_and_lose_nothing(serve: Serve, service: SearchService) -> None:
    """64 sessions at once; the service answers 10 requests a second, and then says 429."""
    service.per_second = 10
    live = outside(serve, service, service_rate=50, service_patience=60, tool_seconds=90, service_cache=0)
    row = ROWS["fact"]
    started = time.monotonic()
    with ThreadPoolExecutor(64) as threads:
        verdicts = [verdict for _, verdict in threads.map(lambda _: played(live, row), range(64))]
    seconds = time.monotonic() - started
    assert [(verdict["reward"], verdict["mask_sample"]) for verdict in verdicts] == [(1.0, False)] * 64
    requests = len(service.asked) - service.refused
    assert requests == 128 and service.refused > 0
    assert requests / 10 - 1 <= seconds <= 3 * requests / 10, f"{seconds:.1f} s for {requests} requests"
