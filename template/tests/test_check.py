# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit check`: it passes this environment, and fails one in which something that others rely on is broken."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from harness import PLAYER, LiveServer, needs_tools

from gymkit.check import run_checks
from gymkit.grading import Verdict
from gymkit.rows import data_path, demo_row
from gymkit.server import EnvironmentServer
from gymkit.sessions import SessionStore

DEMO = data_path("demo")
EXPECTED = PLAYER.expected_reward(demo_row())


def test_it_passes_this_environment(live: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_checks(live.url, DEMO, PLAYER, 10) == 0
    assert "0 failed" in capsys.readouterr().out
    # Where text is graded, a session that was closed waits for its verdict.
    assert all(session.frozen for session in live.server._sessions._open.values())
    assert live.server.grades_text or not live.server._sessions


def cookie_without_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SessionStore.cookie_header

    def header(self: SessionStore, session_id: str) -> tuple[str, tuple[bytes, bytes]]:
        value, (name, text) = whole(self, session_id)
        return value, (name, text.replace(b"; HttpOnly", b""))

    monkeypatch.setattr(SessionStore, "cookie_header", header)


def close_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def close(self: EnvironmentServer, request: Any) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(EnvironmentServer, "close_resources_session", close)


def verdict_of(reward: float) -> Callable[[pytest.MonkeyPatch], None]:
    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        async def verdict(self: EnvironmentServer, request: Any, body: Any, response: Any) -> Verdict:
            return Verdict(reward)

        monkeypatch.setattr(EnvironmentServer, "_verdict", verdict)

    return change


def open_to_other_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV_CORS_ORIGINS", "*")


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (cookie_without_flags, "its cookie is HttpOnly"),
        (close_that_does_nothing, "a session ends once, and for good"),
        (verdict_of(EXPECTED - 1), "policy.py earns what it says"),
        (verdict_of(EXPECTED), "a policy that does nothing earns less"),
        (open_to_other_origins, "it lets in whom it should"),
    ],
)
def test_it_fails_a_broken_one(
    serve: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pytest.MonkeyPatch], None],
    failing: str,
) -> None:
    change(monkeypatch)
    assert run_checks(serve().url, DEMO, PLAYER, 10) > 0
    assert any("FAIL" in line and failing[:20] in line for line in capsys.readouterr().out.splitlines())


@needs_tools
def test_it_fails_rows_with_other_tools(live: LiveServer, tmp_path: Path) -> None:
    stale = json.loads(json.dumps(demo_row()))
    stale["responses_create_params"]["tools"][0]["description"] = "As it was once."
    data = tmp_path / "stale.jsonl"
    data.write_text(json.dumps(stale))
    assert run_checks(live.url, data, PLAYER, 10) == 1


def test_it_waits_for_a_space_that_wakes(live: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The first answers are those of the proxy in front of a sleeping Space."""
    left = 2

    class Waking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal left
            left -= 1
            self.send_response(503 if left >= 0 else 307)
            if left < 0:
                self.send_header("Location", live.url + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Waking)
    Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        run_checks(f"http://127.0.0.1:{proxy.server_port}", DEMO, PLAYER, 5)
    finally:
        proxy.shutdown()
        proxy.server_close()
    output = capsys.readouterr().out
    assert "is asleep or full (503); waiting for it" in output.replace("\n", " ")
    assert "policy.py earns what it says" in output
