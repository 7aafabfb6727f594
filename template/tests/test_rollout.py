# Part of the template: changes belong there (`copier update` merges this file).
"""rollout.py as a person uses it: as a program, against a running environment and without one."""

import json
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
import requests
from harness import PLAYER, SERVER_CLASS, LiveServer

import rollout as rollout_program
from gymkit import project, serve
from gymkit.client import RolloutError, tools_of
from gymkit.rows import Row


def rollout(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ENV_", "OPENAI_", "MAX_TURNS"))}
    command = [sys.executable, "rollout.py", *arguments]
    return subprocess.run(
        command, cwd=project.ROOT, env=clean | env, capture_output=True, text=True, timeout=180, check=False
    )


def test_it_starts_the_environment_itself_and_earns_what_the_player_says(rows: list[Row]) -> None:
    done = rollout()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(f"Reward: {PLAYER.expected_reward(rows[0]):g}")


def test_max_turns_ends_an_episode_early(live: LiveServer) -> None:
    done = rollout(ENV_URL=live.url, MAX_TURNS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Reward: " in done.stdout
    assert re.search(r"^ +1  ", done.stdout, re.MULTILINE)
    assert not re.search(r"^ +2  ", done.stdout, re.MULTILINE)
    assert len(live.server._sessions) == 0


def test_many_episodes_end_with_a_summary_and_trajectories(live: LiveServer, rows: list[Row], tmp_path: Path) -> None:
    output = tmp_path / "rollouts.jsonl"
    done = rollout("--url", live.url, "--episodes", "6", "--concurrency", "3", "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "over 6 graded episodes" in done.stdout
    trajectories = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    played = sorted(trajectory["reward"] for trajectory in trajectories)
    assert played == sorted(PLAYER.expected_reward(rows[number % len(rows)]) for number in range(6))


def test_a_refused_connection_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = rollout("--url", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "Nothing answers at" in done.stdout
    assert "Traceback" not in done.stderr


class Impostor(BaseHTTPRequestHandler):
    """Answers like a Space that wakes: 503 for a while, and then something else than this environment."""

    answers: ClassVar[list[tuple[int, bytes]]] = []

    def do_GET(self) -> None:
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("body", [b'{"status": "ok"}', b'{"environment": "another"}', b"<html>"])
def test_it_makes_sure_that_it_talks_to_this_environment(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Impostor.answers = [(503, b"asleep"), (200, body)]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Impostor)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(RolloutError, match=f"not '{project.environment_name()}'"):
            tools_of(f"http://127.0.0.1:{server.server_port}", wait_seconds=2)
    finally:
        server.shutdown()
    assert "asleep or full (503)" in capsys.readouterr().out.replace("\n", " ")


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint whose model says one sentence. With `chat_only`, it has no Responses API."""

    chat_only: ClassVar[bool] = False
    requests: ClassVar[list[tuple[str, Row]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.path, body))
        text = "I give up."
        if self.path == "/v1/chat/completions":
            answer: Row = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
        else:
            content = [{"type": "output_text", "text": text, "annotations": []}]
            item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
            answer = {"output": [item]}
        data = json.dumps(answer).encode()
        self.send_response(404 if self.chat_only and self.path == "/v1/responses" else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("chat_only", [False, True])
def test_a_model_plays_over_responses_or_chat_completions(live: LiveServer, chat_only: bool) -> None:
    Endpoint.chat_only, Endpoint.requests = chat_only, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        base_url = f"http://127.0.0.1:{server.server_port}/v1"
        done = rollout("--url", live.url, "--model", "m", "--base-url", base_url, OPENAI_API_KEY="k")
    finally:
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "I give up." in done.stdout
    assert "Reward: " in done.stdout
    path, body = Endpoint.requests[-1]
    assert path == ("/v1/chat/completions" if chat_only else "/v1/responses")
    assert body["model"] == "m"
    assert len(body.get("tools", [])) == len(live.client().tools())


class Proxy(BaseHTTPRequestHandler):
    """A proxy in front of the environment, which answers by itself what it is told to."""

    target: ClassVar[str] = ""
    instead: ClassVar[list[tuple[str, int, dict[str, str]]]] = []
    """To which path it answers next in place of the environment, with what status and headers; `*` is any tool."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path if self.path in ("/seed_session", "/verify", "/close_session") else "*"
        if self.instead and self.instead[0][0] == path:
            _, status, headers = self.instead.pop(0)
            self.answer(status, b"<html><title>Bad Gateway</title></html>", headers)
            return
        headers = {name: self.headers[name] for name in ("Cookie",) if name in self.headers}
        answered = requests.post(self.target + self.path, data=body, headers=headers, timeout=60)
        shown = {name: answered.headers[name] for name in ("Set-Cookie",) if name in answered.headers}
        self.answer(answered.status_code, answered.content, shown)

    def do_GET(self) -> None:
        answered = requests.get(self.target + self.path, timeout=60)
        self.answer(answered.status_code, answered.content, {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


SOON = {"Retry-After": "0"}


LONG_AGO = {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}

EPISODES: list[tuple[list[tuple[str, int, dict[str, str]]], str]] = [
    ([("/seed_session", 503, SOON), ("/seed_session", 429, LONG_AGO)], ""),
    ([("/verify", 502, SOON), ("/verify", 504, SOON)], ""),
    ([("/verify", 200, {})], "answered with what is no JSON: Bad Gateway"),
    ([("/seed_session", 422, {})], "answered 422: Bad Gateway"),
]
WITH_TOOLS: list[tuple[list[tuple[str, int, dict[str, str]]], str]] = [
    ([("*", 429, SOON)], ""),
    ([("*", 502, SOON)], "answered 502: Bad Gateway"),
    ([("*", 200, {})], "answered with what is no JSON: Bad Gateway"),
]
"""What the proxy answers in each episode, and what then is said of it."""


def test_a_proxys_page_is_waited_out_or_a_failure_and_never_graded(live: LiveServer, tmp_path: Path) -> None:
    """A page in place of a tool's answer would be graded as if the model had played on with it."""
    episodes = EPISODES + (WITH_TOOLS if live.server.has_tools else [])
    Proxy.target, Proxy.instead = live.url, [each for instead, _ in episodes for each in instead]
    output = tmp_path / "rollouts.jsonl"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        done = rollout("--url", url, "--episodes", str(len(episodes)), "--output", str(output))
    finally:
        server.shutdown()
    assert Proxy.instead == []
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 1
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert len(results) == len(episodes)
    failed = [result["failure_reason"] for result in results if result["mask_sample"]]
    shown = sorted(reason[reason.index("answered") :] for reason in failed)
    assert shown == sorted(text for _, text in episodes if text)
    for reason in failed:
        assert f"failed ({reason}): 1" in done.stdout
    # A session whose text is graded waits, closed as it is, for a request that brings the text.
    assert all(session.frozen for session in live.server._sessions._open.values())
    assert live.server.grades_text or len(live.server._sessions) == 0


def test_a_mistake_in_the_player_fails_its_episode_alone() -> None:
    def wrong() -> Row:
        return {}["nothing"]

    with ThreadPoolExecutor() as pool:
        result, failure = rollout_program.outcome(pool.submit(wrong))
    assert result is None
    assert failure is not None
    assert rollout_program.described(failure).startswith("KeyError: 'nothing' (test_rollout.py, line ")


def test_a_taken_port_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(SystemExit, match=f"^Cannot listen on 127.0.0.1:{port} "):
            serve.run(SERVER_CLASS)
