# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit check`: check a live server, here or on a Hugging Face Space: what agents, trainers and players rely on.

It plays a few short episodes and ends each of them. A key, if the server wants one, is read from ENV_API_KEY.
"""

import argparse
import json
import os
import secrets
import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path

import requests
from rich.table import Table

from gymkit import project
from gymkit.client import LOCAL_URL, EnvironmentClient, RolloutError, tools_of
from gymkit.episodes import play_episode, play_on, verify_request, with_tools
from gymkit.items import Item
from gymkit.players import Player, Policy, Silent
from gymkit.rows import Row, data_path, read_rows
from gymkit.terminal import console, shown

MAX_TURNS = 200

PROTECTED = (
    ("GET", "/tools"),
    ("GET", "/"),
    ("POST", "/seed_session"),
    ("POST", "/verify"),
    ("POST", "/close_session"),
)


class Wrong(Exception):
    """A check has failed; the message says what is wrong, for the person who runs the server."""


class DoesNotApply(Exception):
    """There is nothing to check; the message says why."""


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


class Check:
    """The checks of one server. Each public method is one: its docstring is its name in the table, and what it returns
    is the remark beside it.

    Args:
        url: Of the server.
        row: The data row to play; its tools are those of the server.
        player: The environment's player.
        tools: The server's tools.
        tools_of_rows: The tools that the data rows name.
    """

    def __init__(self, url: str, row: Row, player: Player, tools: list[Item], tools_of_rows: list[Item]) -> None:
        self.url = url
        self.row = row
        self.player = player
        self.tools = tools
        self.tools_of_rows = tools_of_rows
        self.low, self.high = project.reward_range()
        self.expected = player.expected_reward(row)

    # ------------------------------------------------------------------------------------------------ who answers

    def health(self) -> str:
        """it answers health checks, HEAD too"""
        bare = requests.Session()
        for method, path in (("GET", "/health"), ("HEAD", "/health"), ("HEAD", "/")):
            status = bare.request(method, f"{self.url}{path}", timeout=30).status_code
            expect(status == 200, f"{method} {path} answered {status}: a Space would not leave 'Starting'")
        return ""

    def access(self) -> str:
        """it lets in whom it should"""
        key = os.environ.get("ENV_API_KEY")
        for method, path in (*PROTECTED, *(("POST", f"/{tool['name']}") for tool in self.tools[:1])):
            if key:
                for headers in ({}, {"Authorization": f"Bearer {key}x"}):
                    status = requests.request(method, self.url + path, headers=headers, timeout=30).status_code
                    expect(400 <= status < 500, f"{method} {path} answered {status} to a caller without the API key")
        origin = {"Origin": "https://example.com"}
        allowed = EnvironmentClient(self.url).http.get(f"{self.url}/tools", headers=origin, timeout=30)
        expect("Access-Control-Allow-Origin" not in allowed.headers, "pages of any origin may call it (CORS is open)")
        return "API key wanted" if key else "open to all who reach it"

    def schemas(self) -> str:
        """its tools are those of the data rows, and described"""
        for tool in self.tools:
            expect(bool(tool["description"]), f"the tool {tool['name']} has no description")
        expect(self.tools == self.tools_of_rows, "they differ: `uv run gymkit data` here, or deploy anew")
        return ", ".join(tool["name"] for tool in self.tools) or "it has no tools"

    # --------------------------------------------------------------------------------------------------- sessions

    def seeding(self) -> str:
        """a session begins with an empty body, {} and a row"""
        for body in (b"", b"{}", json.dumps(self.row).encode()):
            environment = EnvironmentClient(self.url)
            answer = environment.http.post(f"{self.url}/seed_session", data=body, timeout=120)
            expect(answer.status_code == 200, f"/seed_session answered {answer.status_code} to {body[:20]!r}")
            expect("set-cookie" in answer.headers, "/seed_session sets no cookie")
            environment.post_ok("/close_session", {})
        return ""

    def cookie(self) -> str:
        """its cookie is HttpOnly, SameSite and signed"""
        environment = EnvironmentClient(self.url)
        seeded = environment.post("/seed_session", self.row)
        cookies: SimpleCookie = SimpleCookie(seeded.headers.get("set-cookie", ""))
        environment.post_ok("/close_session", {})
        expect(len(cookies) == 1, f"/seed_session sets {len(cookies)} cookies")
        [(name, cookie)] = cookies.items()
        expect(bool(cookie["httponly"]), f"the cookie {name} is not HttpOnly: scripts can read it")
        expect(bool(cookie["samesite"]), f"the cookie {name} has no SameSite")
        forger = EnvironmentClient(self.url)
        forger.http.cookies.set(name, cookie.value[:-6] + "AAAAAA")
        verdict = forger.post_ok("/verify", self._request([]))
        expect(verdict.get("mask_sample") is True, "a forged cookie was given a verdict")
        return ""

    def apart(self) -> str:
        """two sessions do not touch each other"""
        one, other = EnvironmentClient(self.url), EnvironmentClient(self.url)
        for environment in (one, other):
            environment.post_ok("/seed_session", self.row)
        expect(_cookie(one) != _cookie(other), "both have the same cookie")
        self._play_on(one)
        one.post_ok("/close_session", {})
        # The other has seen nothing of that: it plays from the beginning to the same end.
        items = self._play_on(other)
        self._expect_reward(other.post_ok("/verify", self._request(items)), "after another was closed")
        return ""

    def closing(self) -> str:
        """a session ends once, and for good"""
        environment = EnvironmentClient(self.url)
        environment.post_ok("/seed_session", self.row)
        for _ in range(2):
            environment.post_ok("/close_session", {})
        for tool in self.tools[:1]:
            status = environment.post(f"/{tool['name']}", {}).status_code
            expect(status in (410, 422), f"a tool of a closed session answered {status}")
        again = environment.post("/seed_session", self.row).status_code
        expect(again == 409, f"a session that was closed could be begun anew ({again})")
        request = self._request([])
        first, second = (environment.post_ok("/verify", request) for _ in range(2))
        expect(first == second, "the second answer of /verify differs from the first")
        return ""

    # ----------------------------------------------------------------------------------------------------- limits

    def mistakes(self) -> str:
        """wrong calls are answered with text"""
        environment = EnvironmentClient(self.url)
        environment.post_ok("/seed_session", self.row)
        wrong = [(f"{self.url}/no_such_tool", b"{}"), (f"{self.url}/seed_session", b"no json")]
        for tool in self.tools[:1]:
            wrong += [(f"{self.url}/{tool['name']}", body) for body in (b"no json", b"[]", b'{"no_such_argument": 1}')]
        for address, body in wrong:
            answer = environment.http.post(address, data=body, timeout=60)
            expect(400 <= answer.status_code < 500, f"{body!r} to {address} was answered with {answer.status_code}")
            expect(_is_text(answer), f"the answer to {body!r} is no text for a model: {answer.text[:100]}")
        environment.post_ok("/close_session", {})
        return ""

    def sizes(self) -> str:
        """an oversized call is refused"""
        if not self.tools:
            raise DoesNotApply("it has no tools")
        environment = EnvironmentClient(self.url)
        environment.post_ok("/seed_session", self.row)
        address = f"{self.url}/{self.tools[0]['name']}"
        try:
            status = environment.http.post(address, data=b" " * 3_000_000, timeout=120).status_code
        except requests.ConnectionError:
            status = 413  # It hung up in the middle, which also is a refusal.
        expect(status == 413, f"3 MB of arguments were answered with {status}")
        environment.post_ok("/close_session", {})
        return ""

    # --------------------------------------------------------------------------------------------------- episodes

    def earns(self) -> str:
        """policy.py earns what it says"""
        expect(
            self.low <= self.expected <= self.high,
            f"policy.py says {self.expected:g}, which is outside of the manifest's range {self.low:g} to {self.high:g}",
        )
        started = time.monotonic()
        self._expect_reward(self._episode(self.player.policy(self.row)), "of policy.py")
        return f"{self.expected:g} in {time.monotonic() - started:.1f} s"

    def silence(self) -> str:
        """a policy that does nothing earns less"""
        verdict = self._episode(Silent())
        _expect_unmasked(verdict, "of a policy that does nothing")
        reward = verdict["reward"]
        expect(reward < self.expected or self.expected == self.low, f"the reward for doing nothing is {reward:g}")
        return f"{reward:g}"

    def again(self) -> str:
        """the same verdict can be asked for again"""
        environment = EnvironmentClient(self.url)
        environment.post_ok("/seed_session", self.row)
        request = self._request(self._play_on(environment))
        first, second = (environment.post_ok("/verify", request) for _ in range(2))
        expect(first == second, "the second answer of /verify differs from the first")
        return ""

    # ----------------------------------------------------------------------------------------------------- inside

    def _episode(self, policy: Policy) -> Item:
        return play_episode(self.url, self.row, policy, MAX_TURNS)

    def _play_on(self, environment: EnvironmentClient) -> list[Item]:
        """Let policy.py play on a session that is open; the transcript."""
        items: list[Item] = []
        play_on(environment, self.row, self.player.policy(self.row), MAX_TURNS, items)
        return items

    def _request(self, items: list[Item]) -> Item:
        return verify_request(self.row, items, "gymkit check")

    def _expect_reward(self, verdict: Item, of: str) -> None:
        _expect_unmasked(verdict, of)
        expect(verdict["reward"] == self.expected, f"the reward {of} is {verdict['reward']:g}, not {self.expected:g}")


def _expect_unmasked(verdict: Item, of: str) -> None:
    masked = verdict.get("mask_sample", False)
    expect(not masked, f"the sample {of} is masked ({verdict.get('failure_kind')}: {verdict.get('failure_reason')})")


def _cookie(environment: EnvironmentClient) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in environment.http.cookies)


def _is_text(answer: requests.Response) -> bool:
    try:
        return isinstance(answer.json()["output"], str)
    except (ValueError, KeyError, TypeError):
        return False


def run_checks(url: str, data: Path, player: Player, wait_seconds: float) -> int:
    """Run them all, print the table, and return how many have failed.

    Raises:
        RolloutError: no such environment answers at the address.
        ProjectError: a file of the environment is not as it has to be.
    """
    url = url.rstrip("/")
    row = read_rows(data)[0]
    tools = tools_of(url, wait_seconds)
    # A row of its own: sessions of others cannot be taken for those of the checks.
    mine = with_tools(row, tools) | {"row_key": secrets.token_hex(8)}
    check = Check(url, mine, player, tools, row["responses_create_params"].get("tools", []))
    table = Table(title=f"{project.environment_name()} at {url}", title_justify="left", box=None, padding=(0, 1))
    counts = {"passed": 0, "failed": 0, "does not apply": 0}
    checks: list[Callable[[], str]] = [getattr(check, name) for name in vars(Check) if not name.startswith("_")]
    with console.status("Checking ...") as status:
        for one in checks:
            name = (one.__doc__ or "").strip()
            status.update(f"Checking that {name} ...")
            try:
                remark, mark, outcome = one(), "[green]pass[/green]", "passed"
            except DoesNotApply as reason:
                remark, mark, outcome = str(reason), "[dim]n/a[/dim]", "does not apply"
            except (Wrong, RolloutError) as error:
                remark, mark, outcome = str(error), "[red]FAIL[/red]", "failed"
            except requests.RequestException as error:
                remark, mark, outcome = f"no answer: {error}", "[red]FAIL[/red]", "failed"
            counts[outcome] += 1
            table.add_row(mark, shown(name), shown(remark))
    console.print(table)
    outcomes = [f"{count} {outcome}" for outcome, count in counts.items() if count or outcome != "does not apply"]
    console.print(f"[bold]{', '.join(outcomes)}[/bold]")
    return counts["failed"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        nargs="?",
        default=os.environ.get("ENV_URL", LOCAL_URL),
        help="of the server (default: ENV_URL, or local)",
    )
    parser.add_argument("--data", type=Path, default=data_path("demo"), help="its first row is played")
    parser.add_argument("--wait", type=float, default=300, help="seconds to wait for a Space that sleeps")


def run(options: argparse.Namespace, player: Player) -> int:
    """Check the server; the exit status."""
    return 1 if run_checks(options.url, options.data, player, options.wait) else 0
