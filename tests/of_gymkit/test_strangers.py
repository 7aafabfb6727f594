"""A server that anybody may reach: what one caller does keeps no other from a session, from its answer, or waiting."""

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from harness import Client, LiveServer, says, verify_body
from nemo_gym import base_resources_server as nemo
from probe import ROW, ProbeServer
from test_contract import typed_seed
from test_control_calls import LOWEST, Scored, Spoken

from gymkit import connections, large_bodies, places
from gymkit.bodies import BadBody, read_object
from gymkit.large_bodies import Shape, TooLarge, large_body_with, read_large
from gymkit.rows import Row
from gymkit.shares import Shares

Serve = Callable[..., LiveServer]
MB = 1_000_000
STRANGER, OTHER = "127.0.0.2", "127.0.0.3"


def row_of(size: int) -> Row:
    return {**ROW, "row_key": secrets.token_hex(8), "text": "x" * size}


def seed(client: Client, row: Row) -> requests.Response:
    client.cookies.clear()
    return client.post("/seed_session", json=row)


# ------------------------------------------------------------------------------------------------------------- memory


def test_a_row_that_is_too_large_is_refused(serve: Serve) -> None:
    live = serve(ProbeServer, max_row_bytes=1 * MB)
    client = live.client()
    for row in (row_of(2 * MB), {**ROW, "nested": [[]] * 30_000}):
        refused = seed(client, row)
        assert refused.status_code == 413
        assert "the row takes more than 1,000,000 bytes of memory" in refused.json()["output"]
    # Its prompt is not kept, and may be larger.
    assert seed(client, {**ROW, "responses_create_params": {"input": "x" * 2 * MB}}).status_code == 200
    assert len(live.server._sessions) == 1


def test_all_rows_together_take_no_more_than_they_may(serve: Serve) -> None:
    live = serve(ProbeServer, max_rows_bytes=5 * MB, wait_seconds=0.2)
    clients = [live.client() for _ in range(5)]
    rows = [row_of(1 * MB) for _ in clients]
    assert [seed(*each).status_code for each in zip(clients, rows, strict=True)] == [200] * 4 + [503]
    text = seed(clients[4], rows[4]).json()["output"]
    assert "the rows of the open sessions take 4," in text
    assert clients[0].verdict(rows[0])["reward"] == 1.0
    assert seed(clients[4], rows[4]).status_code == 200
    for client, row in zip(clients[1:], rows[1:], strict=True):
        assert client.verdict(row)["reward"] == 1.0
    assert live.server._sessions.places.memory.taken < 10_000


def test_what_is_kept_of_ended_sessions_is_forgotten_before_a_row_is_refused(serve: Serve) -> None:
    live = serve(ProbeServer, max_rows_bytes=2 * MB)
    for number in range(4):
        client, row = live.client(), row_of(10) | {"k" * 400_000 + str(number): 1}
        assert seed(client, row).status_code == 200
        assert client.verdict(row)["reward"] == 1.0
    assert 0 < live.server._sessions.places.memory.taken < 2 * MB
    client, row = live.client(), row_of(1_900_000)
    assert seed(client, row).status_code == 200
    assert client.verdict(row)["reward"] == 1.0


# ------------------------------------------------------------------------------------------------------------- bodies

BODIES = {
    "nested lists": b'{"a":' + b"[" * 12 * MB + b"]" * 12 * MB + b"}",
    "many lists": b'{"a":[' + b",".join([b"[]"] * 2_000_000) + b"]}",
    "many objects": b'{"a":[' + b",".join([b'{"b":1}'] * 2_000_000) + b"]}",
    "many texts": b'{"a":[' + b",".join([b'"b"'] * 4_000_000) + b"]}",
    "many keys": b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}",
    "many digits": b'{"a":' + b"9" * 8 * MB + b"}",
    "a long text": ('{"a":"' + "x" * 16 * MB + '\U0001f600"}').encode(),
}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *(
            ("nested lists", path)
            for path in ("/seed_session", "/close_session", "/aggregate_metrics", "/no_such_tool")
        ),
        *((kind, "/verify") for kind in BODIES),
    ],
)
def test_a_body_that_would_take_long_to_read_is_refused_and_nobody_waits(
    probe: LiveServer, kind: str, path: str
) -> None:
    client = probe.client()
    client.seed(ROW)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(probe.client().post, path, data=BODIES[kind])
        longest = longest_wait(client, asked.done)
    assert asked.result().status_code in (400, 404, 413, 422), asked.result().text[:200]
    assert isinstance(asked.result().json(), dict)
    assert (
        longest < 1.0
    )  # On a busy machine; reading the first kind takes seconds. benchmarks/strangers.py measures it.
    assert client.verdict(ROW)["reward"] == 1.0


def longest_wait(client: Client, done: Callable[[], bool]) -> float:
    longest = 0.0
    while not done():
        started = time.monotonic()
        assert client.get("/health").status_code == 200
        longest = max(longest, time.monotonic() - started)
    return longest


def test_a_large_verdict_gives_back_what_came_in(probe: LiveServer) -> None:
    """Pictures, the tokens of a training run, and what a model cannot spell."""
    client = probe.client()
    row = {**ROW, "row_key": "large", "reward": 0.25, "text": "naïve " * 20_000}
    client.seed(row)
    said = {**says("half a character \ud83d, a whole one 😀, a backslash \\ud83d"), "tokens": list(range(300_000))}
    body = verify_body(row, [said, says("x" * 5 * MB)])
    answer = client.post("/verify", json=body)
    assert answer.status_code == 200, answer.text[:500]
    assert answer.json()["reward"] == 0.25
    expected = json.loads(json.dumps(body | {"reward": 0.25, "mask_sample": False}).replace("\\ud83d,", "?,"))
    assert answer.json() == expected


PIECES = [
    {},
    {"a": "x" * 300, "b": ["y" * 300] * 3, "é": {"ü": "ä" * 1000}},
    {"numbers": list(range(9000)), "floats": [0.5, -1e30] * 5000, "mixed": [*range(3000), None, True, "x"]},
    {"empty": [], "nested": [[[1, 2]], {"c": []}], "quotes": '\\"' * 400, "end": "\\" * 301},
    {"\0mark 1": "\0mark 1", "lone": "\ud83d" * 300},
]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("body", PIECES, ids=range(len(PIECES)))
def test_a_body_is_read_in_pieces_as_at_once(body: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(body, ensure_ascii=ascii_only)
    raw = text.encode("utf-8", "replace")
    assert read_large(raw) == json.loads(raw)
    assert read_object(raw) == json.loads(raw)
    answer = json.loads(large_body_with(raw, read_large(raw), {"reward": 0.5}))
    assert answer == json.loads(raw.replace(rb"\ud83d", b"?")) | {"reward": 0.5}


@pytest.mark.parametrize(
    "raw",
    [
        *(b"[1]", b'"x"', b'{"a":1', b'{"a":"%b' % (b"x" * 300), b'{"a":"%b\n"}' % (b"x" * 300), b'{"a":"\xff"}'),
        *(b'{"a":[%b]}' % numbers for numbers in (b"1," * 5000, b",1" * 5000, b"1,,2" * 5000, b"1e999," * 2000 + b"1")),
        *(b'{"a":%b' % (b"[" * 5000), b'{"a":NaN}', b'{"a":[%b]}' % (b"NaN," * 5000)),
    ],
)
def test_what_is_no_json_is_none_in_pieces_either(raw: bytes) -> None:
    with pytest.raises(BadBody):
        read_large(raw)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_the_shape_of_a_body_is_the_same_however_it_arrives(step: int) -> None:
    body = {"a": ['[{"', "\\", '\\"', "]]]", 'x\\"y' * 20, ""], "b": {"c": [1, 2, [3]], "[[": '"'}}
    raw = json.dumps(body).encode()
    seen = Shape(10_000)
    for start in range(0, len(raw), step):
        seen.feed(raw[start : start + step])
    lists, keys, texts, commas = 5, 4, 11, 9
    assert seen.memory == 64 * lists + 56 * texts + 40 * commas
    assert (seen._parts, seen._depth) == (20 * lists + 8 * keys + 4 * texts + commas / 2, 0)
    deep = b'{"a":' * 60 + b"[" * 60
    with pytest.raises(BadBody, match="deeper than 100"):
        shape = Shape(10_000)
        for start in range(0, len(deep), step):
            shape.feed(deep[start : start + step])
    with pytest.raises(TooLarge):
        shape = Shape(100)
        for start in range(0, len(raw), step):
            shape.feed(raw[start : start + step])


# --------------------------------------------------------------------------------------------- places, and who has them


def test_shares_leave_something_for_whoever_comes_next() -> None:
    shares = Shares(32)

    def take_all(holder: str | None) -> int:
        while shares.has_room(1, holder):
            shares.take(1, holder)
        return shares.held_by(holder)

    assert take_all("a") == 16
    assert take_all("b") == 8
    assert take_all("c") == 4
    shares.give_back(16, "a")
    assert take_all("b") == 14
    take_all(None)
    assert (shares.taken, shares.has_room(1, "d"), shares.has_room(1, None)) == (32, False, False)


def test_a_seed_waits_for_a_place(serve: Serve) -> None:
    live = serve(ProbeServer, max_sessions=1, wait_seconds=5)
    first, second = live.client(), live.client()
    first.seed(ROW)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(seed, second, ROW)
        time.sleep(0.5)
        assert not waiting.done()
        assert first.verdict(ROW)["reward"] == 1.0
        started = time.monotonic()
        assert waiting.result().status_code == 200
        assert time.monotonic() - started < 0.5
    assert second.verdict(ROW)["reward"] == 1.0


def test_all_of_a_split_larger_than_the_server_get_their_turn(serve: Serve) -> None:
    """As long as places are given, nobody in line is sent away, however long it takes."""
    live = serve(ProbeServer, max_sessions=2, wait_seconds=0.5)

    def episode(number: int) -> float:
        client, row = live.client(), {**ROW, "row_key": str(number)}
        client.seed(row)
        client.tool("wait", seconds=0.2)
        return client.verdict(row)["reward"]

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(episode, range(20))) == [1.0] * 20


def test_one_who_waits_and_leaves_takes_no_place(serve: Serve) -> None:
    live = serve(ProbeServer, max_sessions=1)
    first = live.client()
    first.seed(ROW)
    with pytest.raises(requests.Timeout):
        live.client().post("/seed_session", json=ROW, timeout=0.3)
    assert first.verdict(ROW)["reward"] == 1.0
    time.sleep(0.2)
    assert len(live.server._sessions) == live.server._sessions.places.sessions.taken == 0


def test_one_caller_leaves_places_for_others(serve: Serve) -> None:
    live = serve(ProbeServer, host="0.0.0.0", max_sessions=8, wait_seconds=0.1)
    statuses = [seed(live.client(STRANGER), ROW).status_code for _ in range(8)]
    assert statuses == [200] * 4 + [503] * 4
    assert seed(live.client(OTHER), ROW).status_code == 200
    text = seed(live.client(STRANGER), ROW).json()["output"]
    assert "4 sessions of yours are open, and no more are left for others" in text


@pytest.mark.parametrize("settings", [{}, {"host": "0.0.0.0", "key": "sesame-sesame"}])
def test_on_loopback_and_with_a_key_one_caller_has_all_places(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    headers = {}
    if key := settings.pop("key", None):
        monkeypatch.setenv("ENV_API_KEY", key)
        headers = {"Authorization": f"Bearer {key}"}
    live = serve(ProbeServer, max_sessions=8, wait_seconds=0.1, **settings)
    clients = [live.client() for _ in range(9)]
    statuses = [client.post("/seed_session", json=ROW, headers=headers).status_code for client in clients]
    assert statuses == [200] * 8 + [503]


def test_what_nobody_has_used_gives_way_to_another_caller_and_not_before_its_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LOOK_SECONDS", 0.1)
    live = serve(Scored, host="0.0.0.0", max_sessions=2, wait_seconds=0.4)
    used, unused = live.client(STRANGER), live.client(OTHER)
    rows = [{**ROW, "row_key": str(number), "reward": 0.25} for number in range(3)]
    used.seed(rows[0])
    used.tool("wait", seconds=0)
    unused.seed(rows[1])
    third = live.client("127.0.0.4")
    assert seed(third, rows[2]).status_code == 503
    for session in live.server._sessions._open.values():
        session.last_used -= 61
    # His own session does not give way to him, nor do those that have been used.
    assert seed(live.client(OTHER), rows[2]).status_code == 503
    third.seed(rows[2])
    assert third.tool("wait", seconds=0) == "in out"
    assert used.tool("wait", seconds=0) == "in out in out"
    verdict = unused.verdict(rows[1])  # It has been graded when it gave way.
    assert (verdict["reward"], verdict["mask_sample"]) == (0.25, False)


def test_on_loopback_no_session_gives_way_but_a_frozen_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LOOK_SECONDS", 0.1)
    live = serve(Spoken, max_sessions=2, wait_seconds=0.4)
    unused, frozen = live.client(), live.client()
    rows = [{**ROW, "row_key": str(number)} for number in range(3)]
    unused.seed(rows[0])
    frozen.seed(rows[1])
    frozen.post("/close_session", json={})
    assert seed(live.client(), rows[2]).status_code == 503
    for session in live.server._sessions._open.values():
        session.last_used -= 61
    assert seed(live.client(), rows[2]).status_code == 200
    assert unused.verdict(rows[0], [says("charm")])["reward"] == 1.0
    # Who closes an episode does not void it.
    verdict = frozen.verdict(rows[1], [says("charm")])
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (LOWEST, False, "session_lost")


def test_calls_without_a_cookie_take_few_places_for_a_short_time(serve: Serve) -> None:
    live = serve(ProbeServer, max_sessions=20)
    first = live.client()
    answer = first.tool("wait", seconds=0)
    assert answer.startswith("in out\n(This call came without the session's cookie")
    assert first.tool("wait", seconds=0) == "in out in out"
    for _ in range(10):
        assert live.client().tool("wait", seconds=0).startswith("in out\n(")
    assert len(live.server._sessions) == 2
    gone = first.post("/wait", json={"seconds": 0})
    assert (gone.status_code, "gave way to a later one" in gone.json()["output"]) == (410, True)
    seeded = live.client()
    seeded.seed(ROW)
    for session in live.server._sessions._open.values():
        session.last_used -= 61
    live.run(live.server._sessions.close_idle())
    assert len(live.server._sessions) == 1
    assert seeded.verdict(ROW)["reward"] == 1.0


# ---------------------------------------------------------------------------------------------- identities, connections


@pytest.mark.parametrize("session_id", ["a b", "a\n", "a\x00", "ä", "a;b", "a=b", 'a"', "a,b", "a/b", "x" * 257])
def test_an_identity_that_is_no_token_is_refused(probe: LiveServer, session_id: str) -> None:
    if not hasattr(nemo, "ResourcesSeedSessionRequest"):
        return
    refused = probe.client().post("/seed_session", json=typed_seed(session_id, ROW))
    assert refused.status_code == 422
    assert "resources_session_id" in refused.json()["output"]
    assert probe.client().post("/close_session", json={"resources_session_id": session_id}).status_code == 200
    assert len(probe.server._sessions) == len(probe.server._sessions._never) == 0
    good = f"resources-session-{secrets.token_hex(16)}"
    assert probe.client().post("/seed_session", json=typed_seed(good, ROW)).status_code == 200


@pytest.fixture
def impatient(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    """A server that waits for half a second for a request to arrive."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.1)
    yield serve(ProbeServer)


HALF_OPEN = {
    "nothing": b"",
    "half a line": b"POST /seed_ses",
    "half the headers": b"POST /seed_session HTTP/1.1\r\nHost: x\r\nA: b\r\n",
    "half the body": b"POST /seed_session HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "after an answer": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
}


@pytest.mark.parametrize("sent", HALF_OPEN)
def test_a_request_that_does_not_arrive_ends_its_connection(impatient: LiveServer, sent: str) -> None:
    host, port = impatient.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(HALF_OPEN[sent])
        started = time.monotonic()
        ended = b""
        try:
            while data := connection.recv(65536):
                ended += data
        except ConnectionResetError:
            pass
        assert 0.3 < time.monotonic() - started < 3
    assert impatient.server.connections.places.taken == 0


def test_a_call_that_takes_longer_than_a_request_may_is_answered(impatient: LiveServer) -> None:
    client = impatient.client()
    client.seed(ROW)
    assert client.tool("wait", seconds=1.2) == "in out"
    time.sleep(1)
    assert client.tool("wait", seconds=0) == "in out in out"


def test_headers_without_end_are_not_kept(probe: LiveServer) -> None:
    host, port = probe.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(10_000):
                connection.sendall(b"X: " + b"y" * 1000 + b"\r\n")
    assert probe.client().get("/health").status_code == 200


def test_one_caller_leaves_connections_for_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymkit.server.Connections", lambda host: connections.Connections(host, most=8))
    live = serve(ProbeServer, host="0.0.0.0")
    host, port = live.url.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port)), 10, (STRANGER, 0)) for _ in range(20)]
    time.sleep(0.2)
    assert live.server.connections.places.taken == 4
    assert live.client(OTHER).get("/health").status_code == 200
    for connection in held:
        connection.close()


def test_large_bodies_of_one_caller_leave_memory_for_those_of_others(serve: Serve) -> None:
    live = serve(ProbeServer, host="0.0.0.0", max_body_bytes=1 * MB)
    host, port = live.url.removeprefix("http://").split(":")
    begun = b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{"
    held = [socket.create_connection((host, int(port)), 10, (STRANGER, 0)) for _ in range(20)]
    for connection in held:
        connection.sendall(begun)
    time.sleep(0.3)
    client, row = live.client(OTHER), row_of(300_000)
    assert seed(client, row).status_code == 200
    assert client.verdict(row)["reward"] == 1.0
    for connection in held:
        connection.close()
    assert large_bodies.SMALL_BODY < 300_000
