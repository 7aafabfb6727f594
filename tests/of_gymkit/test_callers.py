"""Who may call an environment, how often, and from which pages; and that no answer names a key."""

import os
import time
from typing import Any, ClassVar

import pytest
from fastapi import FastAPI, Request
from harness import Client, LiveServer, verify_body
from probe import ROW, NoArguments, ProbeServer

from gymkit import rate_limit
from gymkit.fixture import make_server
from gymkit.rate_limit import RateLimit
from gymkit.rows import Row
from gymkit.server import CannotServe


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "example.com"])
def test_a_server_that_runs_code_listens_beyond_loopback_only_with_a_key(monkeypatch: Any, host: str) -> None:
    class RunsCode(ProbeServer):
        runs_code: ClassVar[bool] = True

    for name in ("ENV_API_KEY", "ENV_ALLOW_CODE_WITHOUT_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CannotServe, match="ENV_API_KEY"):
        make_server(RunsCode, configured=False, host=host).setup_webserver()
    for loopback in ("127.0.0.1", "localhost", "::1"):
        make_server(RunsCode, configured=False, host=loopback).setup_webserver()
    monkeypatch.setenv("ENV_ALLOW_CODE_WITHOUT_KEY", "1")
    make_server(RunsCode, configured=False, host=host).setup_webserver()
    monkeypatch.delenv("ENV_ALLOW_CODE_WITHOUT_KEY")
    monkeypatch.setenv("ENV_API_KEY", "sesame")
    make_server(RunsCode, configured=False, host=host).setup_webserver()


def test_a_flood_of_wrong_keys_is_sent_away(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_API_KEY", "sesame")
    client = serve(ProbeServer).client()
    client.headers["Authorization"] = "Bearer guess"
    answers = [client.get("/tools") for _ in range(200)]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 429)
    # Who has the key is not kept out by who has not.
    client.headers["Authorization"] = "Bearer sesame"
    assert client.get("/tools").status_code == 200


def test_a_flood_of_wrong_keys_keeps_the_page_from_nobody(serve: Any, monkeypatch: Any) -> None:
    """A browser asks for the page without the key, from the address of the one who guesses: behind one proxy, say."""
    monkeypatch.setenv("ENV_API_KEY", "sesame")
    live: LiveServer = serve(ProbeServer)
    guessing, page = live.client(), live.client()
    guessing.headers["Authorization"] = "Bearer guess"
    assert 429 in {guessing.get("/tools").status_code for _ in range(200)}
    locked = page.get("/", headers={"Accept": "text/html"})
    assert (locked.status_code, locked.headers["Content-Type"].partition(";")[0]) == (401, "text/html")
    page.headers["Authorization"] = "Bearer sesame"
    assert page.get("/", headers={"Accept": "text/html"}).status_code == 200


def test_no_verdict_is_lost_to_the_limit(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_RATE_LIMIT", "5")
    live: LiveServer = serve(ProbeServer)
    for keeps_cookie in (True, False):
        client = live.client()
        row = {**ROW, "row_key": str(keeps_cookie)}
        client.seed(row)
        client.tool("wait", seconds=0)
        asking = client if keeps_cookie else live.client()
        while asking.post("/no_tool").status_code != 429:
            pass
        started = time.monotonic()
        assert asking.verdict(row)["reward"] == 1.0
        assert time.monotonic() - started > 0.05
    # And a seed waits for its turn as well, as far as that is near.
    assert [live.client().post("/seed_session", json=ROW).status_code for _ in range(7)] == [200] * 7


def test_requests_beyond_the_limit_are_told_when_to_come_back(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_RATE_LIMIT", "5")
    live: LiveServer = serve(ProbeServer)
    hasty, patient = live.client(), live.client()
    cookie = hasty.seed(ROW).headers["Set-Cookie"]
    patient.seed(ROW)
    answers = [hasty.post("/no_tool") for _ in range(50)]
    assert {answer.status_code for answer in answers} == {404, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Set-Cookie"] == cookie  # or NeMo Gym 0.4's agent would lose the session
    assert refused.json()["output"].startswith("Error: too many requests")
    assert patient.post("/no_tool").status_code == 404
    assert hasty.get("/health").status_code == 200
    time.sleep(float(refused.headers["Retry-After"]))
    assert hasty.post("/no_tool").status_code == 404


def test_a_limit_holds_on_average_and_forgets_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(rate_limit, "monotonic", lambda: now)
    limit = RateLimit(10, remember=2)
    passed = 0
    for _ in range(1000):  # for ten seconds, 100 requests each
        passed += limit.wait("a") == 0
        now += 0.01
    assert 105 <= passed <= 111
    assert 0 < limit.wait("a") <= 0.1
    for caller in ("b", "c"):
        assert limit.wait(caller) == 0
    assert limit.wait("a") == 0


def test_who_is_behind_a_trusted_proxy_is_a_caller_of_his_own(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_RATE_LIMIT", "0.02")  # One request, and the next after 50 seconds.
    monkeypatch.setenv("ENV_TRUSTED_PROXIES", "127.0.0.0/29, ::1")
    live: LiveServer = serve(ProbeServer)

    def status(forwarded: str, address: str = "127.0.0.1") -> int:
        return live.client(address).post("/no_tool", headers={"X-Forwarded-For": forwarded}).status_code

    assert [status("203.0.113.1, 127.0.0.2"), status("203.0.113.1", "127.0.0.3")] == [404, 429]
    assert status("203.0.113.2") == 404
    # What the caller himself has put before it is not believed.
    assert [status("203.0.113.9, 203.0.113.3"), status("203.0.113.8, 203.0.113.3")] == [404, 429]
    # Nor is anybody else's word.
    assert [status("203.0.113.4", "127.0.0.9"), status("203.0.113.5", "127.0.0.9")] == [404, 429]
    # A network of IPv6 is one caller.
    assert [status("2001:db8::1"), status("2001:db8::2"), status("2001:db8:0:1::1")] == [404, 429, 404]


def test_without_trusted_proxies_nobody_is_believed(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_RATE_LIMIT", "0.02")
    client = serve(ProbeServer).client()
    answers = [client.post("/no_tool", headers={"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(3)]
    assert [answer.status_code for answer in answers] == [404, 429, 429]


def test_a_trusted_proxy_is_an_address(monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_TRUSTED_PROXIES", "10.0.0.0/8 proxy.example")
    with pytest.raises(CannotServe, match=r"^ENV_TRUSTED_PROXIES: 'proxy\.example' does not appear"):
        make_server(ProbeServer).setup_webserver()


@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf"])
def test_a_limit_is_a_positive_number(value: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_RATE_LIMIT", value)
    with pytest.raises(CannotServe, match=f"^ENV_RATE_LIMIT='{value}' is no positive number"):
        make_server(ProbeServer).setup_webserver()


def test_pages_of_other_origins_get_in_only_where_named(serve: Any, monkeypatch: Any) -> None:
    def answers(origin: str) -> tuple[str | None, str | None]:
        ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = client.options("/seed_session", headers=ask)
        plain = client.get("/tools", headers={"Origin": origin})
        name = "Access-Control-Allow-Origin"
        return preflight.headers.get(name), plain.headers.get(name)

    client: Client = serve(ProbeServer).client()
    assert answers("https://page.example") == (None, None)
    monkeypatch.setenv("ENV_CORS_ORIGINS", "https://page.example")
    client = serve(ProbeServer).client()
    assert answers("https://page.example") == ("https://page.example", "https://page.example")
    assert answers("https://other.example") == (None, None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),  # no browser
        ({"Origin": "{url}", "Sec-Fetch-Site": "same-origin"}, 404),
        ({"Origin": "{url}"}, 404),  # a browser of old
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        # A name of the attacker's that points to this machine: to the browser, page and server are one.
        ({"Origin": "http://evil.example", "Host": "evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
    ],
)
def test_a_page_of_another_site_cannot_call_a_tool(probe: LiveServer, headers: dict[str, str], status: int) -> None:
    sent = {name: value.replace("{url}", probe.url) for name, value in headers.items()}
    assert probe.client().post("/no_tool", data=b"{}", headers=sent).status_code == status


class Leaking(ProbeServer):
    """It says what it should not: in an answer, in an error, in a verdict, in the description of a tool."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/tell", description=f"Tell {os.environ['OUTSIDE_API_KEY']}.")(self.tell)
        return app

    async def tell(self, body: NoArguments, request: Request) -> str:
        """Tell a secret."""
        return f"the key is {os.environ['OUTSIDE_API_KEY']}"

    async def fail(self, body: NoArguments, request: Request) -> str:
        """Raise."""
        raise RuntimeError(f"401 for https://outside.example?key={os.environ['OUTSIDE_API_KEY']}")

    def grade(self, episode: Any, row: Row, response: Any) -> float:
        raise RuntimeError(f"the judge refuses {os.environ['OUTSIDE_API_KEY']}")


def test_no_answer_names_a_key(serve: Any, monkeypatch: Any) -> None:
    secret = 'outside-"0123456789"'
    monkeypatch.setenv("OUTSIDE_API_KEY", secret)
    client: Client = serve(Leaking).client()
    client.seed(ROW)
    assert client.tool("tell") == "the key is " + "*" * (len(secret) + 2)
    answers = [client.post("/fail", json={}), client.get("/openapi.json"), client.get("/tools")]
    answers.append(client.get("/", headers={"Accept": "text/html"}))
    for text in ("", "x" * 100_000):
        client.seed({**ROW, "text": text})
        answers.append(client.post("/verify", json=verify_body({**ROW, "text": text})))
        assert "the judge refuses ***" in answers[-1].json()["failure_reason"]
    for answer in answers:
        assert answer.ok
        assert "0123456789" not in answer.text
