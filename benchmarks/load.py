"""Load on a server by wrk, which takes a fraction of a core: a generator in Python would be slower than the servers."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class LoadFailed(Exception):
    """Answers were wrong, or connections broke: there is nothing to compare."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk has measured. Times are in seconds."""

    calls: float
    """Calls per second."""
    p50: float
    """Where no answer came, the run's own length, as for p99."""
    p99: float
    generator: float
    """The share of one core that wrk itself took."""


@dataclass(frozen=True)
class Call:
    """A request, and what its right answer looks like."""

    path: str
    body: str = "{}"
    """`$n` stands for the session's number."""
    answer: str = ""
    """A Lua pattern; its capture, if it has one, is the session's number."""
    status: int = 200
    header: str = ""
    """A header that the answer must have."""


def require_wrk() -> None:
    """Exit with a sentence where wrk is missing."""
    if shutil.which("wrk") is None:
        sys.exit(
            "The load comes from wrk, which is not on PATH. Debian, Ubuntu: apt install wrk. macOS: brew install wrk."
        )


class RunningLoad:
    """As many requests on their way as there are connections, for some seconds, from now on.

    Args:
        url: The server's address.
        call: The request.
        cookies: One for each connection and one more (wrk makes one request that it does not send); none for requests
            without a cookie.
        connections: How many requests are on their way at once.
        seconds: For how long; wrk takes whole ones.
        pause: Mean pause before each request, in seconds.
    """

    def __init__(
        self, url: str, call: Call, cookies: Sequence[str], connections: int, seconds: int, pause: float = 0
    ) -> None:
        if cookies and len(cookies) <= connections:
            raise ValueError(f"{connections} connections need {connections + 1} cookies, not {len(cookies)}")
        self._path = call.path
        self._file = _lines(cookies[: connections + 1])
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"]
        command += ["-s", str(HERE / "load.lua"), url, "--", str(self._file), call.path, call.body, call.answer]
        command += [str(call.status), call.header, str(pause * 1000)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self) -> Load:
        """Wait for its end.

        Raises:
            LoadFailed: an answer was not the right one, or a connection broke.
        """
        try:
            assert self._process.stdout is not None
            said = self._process.stdout.read()
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            self._file.unlink()
        found = _checked(self._path, said)
        seconds = found["seconds"]
        own = (usage.ru_utime + usage.ru_stime) / seconds
        if not found["requests"]:  # A slow server with many sessions: the first answer would have come later.
            return Load(0, seconds, seconds, own)
        return Load(found["requests"] / seconds, found["p50"], found["p99"], own)


def load(url: str, call: Call, cookies: Sequence[str], connections: int, seconds: int, pause: float = 0) -> Load:
    """A `RunningLoad` from beginning to end."""
    return RunningLoad(url, call, cookies, connections, seconds, pause).result()


def play_episodes(url: str, requests: Sequence[tuple[str, Any]], count: int, at_once: int = 16) -> int:
    """Play whole episodes, `at_once` at a time: the given paths and bodies in turn, each with the last answer's cookie.

    Returns how many there were: `count`, made a multiple of `at_once`.

    Raises:
        LoadFailed: an answer was not 200, or a connection broke.
    """
    lines = [text for path, body in requests for text in (path, json.dumps(body))]
    file = _lines(lines)
    command = ["wrk", f"-t{at_once}", f"-c{at_once}", "-d1h", "--timeout", "60s"]
    command += ["-s", str(HERE / "episodes.lua"), url, "--", str(file), str(-(-count // at_once))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        playing, said = at_once, ""
        for line in process.stdout:
            said += line
            playing -= line == "finished\n"
            if playing == 0:
                playing = -1
                # wrk itself would wait out its hour.
                process.send_signal(signal.SIGINT)
        process.wait()
    finally:
        process.kill()
        file.unlink()
    return _checked("an episode", said)["episodes"]


def open_sessions(url: str, bodies: Sequence[Any], count: int) -> list[str]:
    """Seed sessions, with the bodies in turn; their cookies, as a client sends them."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    cookies = []
    texts = [json.dumps(body) for body in bodies]
    for number in range(count):
        connection.request("POST", "/seed_session", texts[number % len(texts)], {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise LoadFailed(f"/seed_session answered {response.status} {text[:200]!r}")
        cookies.append(response.headers["Set-Cookie"].partition(";")[0])
    connection.close()
    return cookies


def close_sessions(url: str, cookies: Sequence[str]) -> None:
    """End sessions by /close_session."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    for cookie in cookies:
        connection.request("POST", "/close_session", "{}", {"Content-Type": "application/json", "Cookie": cookie})
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise LoadFailed(f"/close_session answered {response.status} {text[:200]!r}")
    connection.close()


def _lines(lines: Sequence[str]) -> Path:
    with tempfile.NamedTemporaryFile("w", prefix="load-", delete=False) as file:
        file.writelines(f"{line}\n" for line in lines)
    return Path(file.name)


def _checked(what: str, said: str) -> dict[str, Any]:
    """The JSON that a script has printed last."""
    try:
        found = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise LoadFailed(f"wrk failed: {said}") from None
    if found["wrong"] or found["broken"]:
        raise LoadFailed(
            f"{what}: of {found['requests']} answers {found['wrong']} were wrong, {found['broken']} connections broke. "
            f"{found['example']}"
        )
    return found
