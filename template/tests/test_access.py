# Part of the template: changes belong there (`copier update` merges this file).
"""The served environment: what it wants a key for, what it says of a wrong setting, and that its log keeps secrets."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests
from harness import Client, verify_body

from gymkit import project
from gymkit.rows import Row


def test_with_an_api_key_everything_but_health_wants_it(serve: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ENV_API_KEY", "sesame")
    monkeypatch.setattr("gymkit.middleware.WRONG_KEYS_PER_SECOND", 10_000)
    live = serve()
    client = live.client()
    server_routes = live.server.setup_webserver().routes
    paths = {route.path for route in server_routes if "{" not in route.path} | {"/"}
    for path in paths:
        for method in ("GET", "POST"):
            for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "sesame"}):
                assert client.request(method, path, headers=header).status_code == 401, path
    assert client.get("/health").status_code == 200
    assert client.head("/").status_code == 200
    client.headers["Authorization"] = "Bearer sesame"
    client.seed()
    assert client.get("/tools").status_code == 200


def test_a_wrong_limit_is_one_clear_line() -> None:
    value = "many"
    done = subprocess.run(
        [sys.executable, "server.py"],
        cwd=project.ROOT,
        env=os.environ | {"ENV_RATE_LIMIT": value, "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ENV_RATE_LIMIT={value!r} is no positive number."
    assert "Traceback" not in done.stderr


def test_the_log_names_no_secret(tmp_path: Path, rows: list[Row]) -> None:
    """A real server, with everything that may go wrong about access; its log is read afterwards."""
    secrets = {"ENV_API_KEY": "key-8f1c", "ENV_SESSION_SECRET": "signing-77aa", "E2B_API_KEY": "e2b_0123456789"}
    port = free_port()
    log = tmp_path / "log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "server.py"],
            cwd=project.ROOT,
            env=os.environ | secrets | {"PORT": str(port), "ENV_RATE_LIMIT": "5"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        client = Client(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 60
        while True:
            try:
                client.get("/health")
                break
            except requests.ConnectionError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        assert client.post("/seed_session").status_code == 401
        client.headers["Authorization"] = f"Bearer {secrets['ENV_API_KEY']}"
        cookie = client.seed(rows[0]).headers["Set-Cookie"].split(";")[0]
        forged = {"Cookie": cookie[:-4] + "AAAA"}
        assert client.post("/no_tool", data=b"{", headers=forged).status_code == 404
        other = Client(client.base_url)
        other.headers["Authorization"] = client.headers["Authorization"]
        assert other.post("/verify", json=verify_body(rows[0]), headers=forged).json()["mask_sample"] is True
        assert client.post("/verify", data=b"x" * 1000).status_code == 422
        statuses = {client.post("/no_tool").status_code for _ in range(300)}
        assert 429 in statuses
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    text = log.read_text()
    assert text
    for name, secret in secrets.items():
        assert secret not in text, f"the log holds {name}"
    assert cookie.split("=", 1)[1] not in text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
