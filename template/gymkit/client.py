# Part of the template: changes belong there (`copier update` merges this file).
"""A running environment, by HTTP: one episode's connection, its tools, and one that is started for the occasion."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import requests

from gymkit.errors import CommandError
from gymkit.items import Item
from gymkit.project import ROOT, environment_name
from gymkit.replies import LINE, error_text
from gymkit.terminal import console
from gymkit.waiting import FULL, LONGEST_WAIT, seconds_to_wait

LOCAL_URL = "http://127.0.0.1:11000"
TOOL_SECONDS = 300
START_SECONDS = 120
PATIENCE = 10
"""So often a request is made that the environment finds too many (429)."""
RETRIES = 3
"""So often a seed, or a request for a verdict, is made again."""


NOT_THERE = frozenset({502, 503, 504})
"""What a proxy answers in place of an environment that it does not reach; and 503 is a full one's own answer."""


class RolloutError(CommandError):
    """The rollout cannot go on; the message is one line for the person who started it."""


class EnvironmentFull(RolloutError):
    """The environment has no place for a session, and had none for a while."""


class EnvironmentClient:
    """One episode's connection: the session's cookie lives in a `requests.Session`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.http = requests.Session()
        key = os.environ.get("ENV_API_KEY")
        if key:
            self.http.headers["Authorization"] = f"Bearer {key}"

    def post(self, path: str, body: Any) -> requests.Response:
        """Post a JSON body, again where the environment finds it too early (429).

        Raises:
            RolloutError: there is no answer.
        """
        for attempt in range(PATIENCE):
            try:
                response = self.http.post(f"{self.url}{path}", json=body, timeout=TOOL_SECONDS)
            except requests.ConnectionError:
                raise RolloutError(f"The environment at {self.url} closed the connection.") from None
            except requests.Timeout:
                raise RolloutError(f"The environment at {self.url} did not answer within {TOOL_SECONDS} s.") from None
            except requests.RequestException as error:
                raise RolloutError(f"{self.url}{path}: {error}") from None
            wait = seconds_to_wait(response.headers, 1.0)
            if response.status_code != 429 or attempt + 1 == PATIENCE or wait > LONGEST_WAIT:
                return response
            time.sleep(wait)
        raise AssertionError("PATIENCE is at least 1")

    def post_again(self, path: str, body: Any) -> requests.Response:
        """Post a JSON body, again where the environment is full, or cannot be reached.

        Raises:
            RolloutError: there is no answer.
        """
        response = self.post(path, body)
        for _ in range(RETRIES):
            wait = seconds_to_wait(response.headers, 5.0)
            if response.status_code not in NOT_THERE or wait > LONGEST_WAIT:
                break
            time.sleep(wait)
            response = self.post(path, body)
        return response

    def post_ok(self, path: str, body: Any) -> Item:
        """Post what must succeed, as `post_again` does; the answer.

        Raises:
            RolloutError: it does not succeed.
        """
        response = self.post_again(path, body)
        if not response.ok:
            self._refused(response, path)
        answer = self.json_in(response, path)
        if not isinstance(answer, dict):
            raise RolloutError(f"{self.url}{path} answered with what is no object: {error_text(response.text)}")
        return answer

    def call(self, name: str, arguments: Any) -> str:
        """Call a tool; the answer's body, whatever its status: the model is to read it.

        Raises:
            RolloutError: as `answered`.
        """
        return self.answered(f"/{name}", arguments).text

    def answered(self, path: str, body: Any) -> requests.Response:
        """The environment's answer to a tool call or to a user's turn, whatever its status.

        Raises:
            RolloutError: it is no answer of the environment's, but a proxy's page for instance. It is not posted again:
                that may have had its effect.
        """
        response = self.post(path, body)
        if response.status_code >= 500 or response.status_code == 429:
            self._refused(response, path)
        self.json_in(response, path)
        return response

    def close(self) -> None:
        """End the session, as far as that can be had."""
        with suppress(RolloutError):
            self.post("/close_session", {})

    def json_in(self, response: requests.Response, path: str) -> Any:
        """The JSON in an answer.

        Raises:
            RolloutError: there is none.
        """
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise RolloutError(f"{self.url}{path} answered with what is no JSON: {error_text(response.text)}") from None

    def _refused(self, response: requests.Response, path: str) -> NoReturn:
        said = _said(response)
        kind = EnvironmentFull if response.status_code == 503 and FULL in said else RolloutError
        raise kind(f"{self.url}{path} answered {response.status_code}: {said}")


def _said(response: requests.Response) -> str:
    """The text of an environment's error; or what the page of a proxy says."""
    try:
        return " ".join(str(response.json()["output"]).split())[:LINE]
    except (ValueError, KeyError, TypeError):
        return error_text(response.text)


def tools_of(url: str, wait_seconds: float) -> list[Item]:
    """The environment's tools. A Space that sleeps answers 503 until it has woken: that is waited for.

    Raises:
        RolloutError: no environment of this name answers at the address, or it refuses.
    """
    client = EnvironmentClient(url)
    deadline = time.monotonic() + wait_seconds
    waiting = False
    while True:
        try:
            health = client.http.get(f"{client.url}/health", timeout=30)
            if health.status_code != 503:
                break
        except requests.ConnectionError:
            raise RolloutError(f"Nothing answers at {url}: start it with `uv run python server.py`.") from None
        except requests.RequestException as error:
            raise RolloutError(f"{url}: {error}") from None
        if time.monotonic() > deadline:
            raise RolloutError(f"{url} still answered 503 after {wait_seconds:g} s.")
        if not waiting:
            console.print(f"[dim]{url} is asleep or full (503); waiting for it ...[/dim]")
            waiting = True
        time.sleep(min(2, wait_seconds / 10))
    found = environment_at(health)
    if found != environment_name():
        what = f"the environment '{found}'" if found else "something else"
        raise RolloutError(f"At {url} answers {what}, not '{environment_name()}'.")
    tools = client.http.get(f"{client.url}/tools", timeout=30)
    if tools.status_code == 401:
        raise RolloutError(f"{url} wants its API key: set ENV_API_KEY.")
    if not tools.ok:
        raise RolloutError(f"{url}/tools answered {tools.status_code}: {_said(tools)}")
    return client.json_in(tools, "/tools")


def environment_at(health: requests.Response) -> str | None:
    """The name of the environment that gave this answer to a health check, or None for any other server."""
    try:
        return health.json()["environment"]
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def running_environment(url: str | None, python: Sequence[str] = (sys.executable,)) -> Iterator[str]:
    """The URL of a running environment: the given one, the one on port 11000, or one started for the occasion.

    Args:
        url: Of one that runs, or None.
        python: The command that runs Python with the environment's packages.

    Raises:
        RolloutError: it did not start; the message has what it said last.
    """
    if url:
        yield url
        return
    try:
        if environment_at(requests.get(f"{LOCAL_URL}/health", timeout=2)) == environment_name():
            console.print(f"[dim]Using the environment at {LOCAL_URL}[/dim]")
            yield LOCAL_URL
            return
    except requests.RequestException:
        pass
    with started_environment(python) as started:
        yield started


@contextmanager
def started_environment(python: Sequence[str] = (sys.executable,)) -> Iterator[str]:
    """The URL of an environment that is started for the occasion, on a free port of this machine.

    Args:
        python: The command that runs Python with the environment's packages.

    Raises:
        RolloutError: it did not start; the message has what it said last.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server_env = os.environ | {"PORT": str(port), "ENV_HOST": "127.0.0.1"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*python, str(ROOT / "server.py")], cwd=ROOT, env=server_env, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            with console.status("Starting the environment ..."):
                _wait_until_it_answers(url, process)
            yield url
        except _DidNotStart:
            log.seek(0)
            raise RolloutError(_why(log.read())) from None
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _DidNotStart(Exception):
    pass


def _wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.get(f"{url}/health", timeout=2)
            return
        except requests.RequestException:
            if process.poll() is not None or time.monotonic() > deadline:
                raise _DidNotStart from None
            time.sleep(0.1)


def _why(log: str) -> str:
    """Why the environment did not start: the last line that it said, which of a traceback is the error."""
    lines = [line for line in log.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "it said nothing"
    return f"The environment did not start: {last} (`uv run python server.py` shows all of it)"
