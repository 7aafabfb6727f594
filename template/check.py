# Part of the template: changes belong there (`copier update` merges this file).
"""Check a live server, here or on a Hugging Face Space: what agents, trainers and players rely on.

    uv run python check.py                                    what runs on port 11000
    uv run python check.py https://you-my-env.hf.space        (a key, if it wants one: ENV_API_KEY)

Prints a table, and exits with 1 when a check fails. It plays a few short episodes and ends each of them.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path

import requests
import yaml
from rich.markup import escape
from rich.table import Table

from gymkit.project import ROOT, environment_name
from rollout import (
    LOCAL_URL,
    Environment,
    Item,
    Player,
    Policy,
    RolloutError,
    console,
    message,
    play_episode,
    read_rows,
    tools_of,
    verify_request,
)

PROTECTED = (
    ("GET", "/tools"),
    ("GET", "/"),
    ("POST", "/seed_session"),
    ("POST", "/verify"),
    ("POST", "/close_session"),
)


class Wrong(Exception):
    """A check has failed; the message says what is wrong, for the person who runs the server."""


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


class Null:
    """A policy that says one word and does nothing."""

    def next_items(self, items: list[Item]) -> list[Item]:
        return [message(len(items), "Done.")]


class Check:
    """The checks of one server. Each public method is one: its docstring is its name in the table, and what it returns
    is the remark beside it.

    Args:
        url: Of the server.
        row: The data row to play; its tools are those of the server.
        tools: The server's tools.
        tools_of_rows: The tools that the data rows name.
    """

    def __init__(self, url: str, row: Item, tools: list[Item], tools_of_rows: list[Item]) -> None:
        self.url = url
        self.row = row
        self.tools = tools
        self.tools_of_rows = tools_of_rows
        reward = yaml.safe_load((ROOT / "environments" / environment_name() / "manifest.yaml").read_text())["reward"]
        self.least, self.most = reward["range"]

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
        tool = f"/{self.tools[0]['name']}"
        for method, path in (*PROTECTED, ("POST", tool)):
            if key:
                for headers in ({}, {"Authorization": f"Bearer {key}x"}):
                    status = requests.request(method, self.url + path, headers=headers, timeout=30).status_code
                    expect(400 <= status < 500, f"{method} {path} answered {status} to a caller without the API key")
        origin = {"Origin": "https://example.com"}
        allowed = Environment(self.url).http.get(f"{self.url}/tools", headers=origin, timeout=30)
        expect("Access-Control-Allow-Origin" not in allowed.headers, "pages of any origin may call it (CORS is open)")
        return "API key wanted" if key else "open to all who reach it"

    def schemas(self) -> str:
        """its tools are those of the data rows, and described"""
        for tool in self.tools:
            expect(bool(tool["description"]), f"the tool {tool['name']} has no description")
        expect(self.tools == self.tools_of_rows, "they differ: `uv run python make_data.py` here, or deploy anew")
        return ", ".join(tool["name"] for tool in self.tools)

    # --------------------------------------------------------------------------------------------------- sessions

    def seeding(self) -> str:
        """a session begins with an empty body, {} and a row"""
        for body in (b"", b"{}", json.dumps(self.row).encode()):
            environment = Environment(self.url)
            answer = environment.http.post(f"{self.url}/seed_session", data=body, timeout=120)
            expect(answer.status_code == 200, f"/seed_session answered {answer.status_code} to {body[:20]!r}")
            expect("set-cookie" in answer.headers, "/seed_session sets no cookie")
            environment.post_ok("/close_session", {})
        return ""

    def cookie(self) -> str:
        """its cookie is HttpOnly, SameSite and signed"""
        environment = Environment(self.url)
        seeded = environment.post("/seed_session", self.row)
        cookies: SimpleCookie = SimpleCookie(seeded.headers.get("set-cookie", ""))
        environment.post_ok("/close_session", {})
        expect(len(cookies) == 1, f"/seed_session sets {len(cookies)} cookies")
        [(name, cookie)] = cookies.items()
        expect(bool(cookie["httponly"]), f"the cookie {name} is not HttpOnly: scripts can read it")
        expect(bool(cookie["samesite"]), f"the cookie {name} has no SameSite")
        forger = Environment(self.url)
        forger.http.cookies.set(name, cookie.value[:-6] + "AAAAAA")
        verdict = forger.post_ok("/verify", self._request([]))
        expect(verdict.get("mask_sample") is True, "a forged cookie was given a verdict")
        return ""

    def apart(self) -> str:
        """two sessions do not touch each other"""
        one, other = Environment(self.url), Environment(self.url)
        for environment in (one, other):
            environment.post_ok("/seed_session", self.row)
        expect(_cookie(one) != _cookie(other), "both have the same cookie")
        self._play_on(one, Player(self.row))
        one.post_ok("/close_session", {})
        # The other has seen nothing of that: it plays from the beginning to the same end.
        items = self._play_on(other, Player(self.row))
        self._expect_reward(other.post_ok("/verify", self._request(items)), self.most, "after another was closed")
        return ""

    def closing(self) -> str:
        """a session ends once, and for good"""
        environment = Environment(self.url)
        environment.post_ok("/seed_session", self.row)
        for _ in range(2):
            environment.post_ok("/close_session", {})
        verdict = environment.post_ok("/verify", self._request([]))
        expect(verdict.get("mask_sample") is True, "a session that was closed got a verdict")
        return ""

    # ----------------------------------------------------------------------------------------------------- limits

    def mistakes(self) -> str:
        """wrong calls are answered with text"""
        environment = Environment(self.url)
        environment.post_ok("/seed_session", self.row)
        tool = f"{self.url}/{self.tools[0]['name']}"
        wrong = [
            (tool, b"no json"),
            (tool, b"[]"),
            (tool, b'{"no_such_argument": 1}'),
            (f"{self.url}/no_such_tool", b"{}"),
        ]
        for address, body in wrong:
            answer = environment.http.post(address, data=body, timeout=60)
            expect(400 <= answer.status_code < 500, f"{body!r} to {address} was answered with {answer.status_code}")
            expect(_is_text(answer), f"the answer to {body!r} is no text for a model: {answer.text[:100]}")
        environment.post_ok("/close_session", {})
        return ""

    def sizes(self) -> str:
        """an oversized call is refused"""
        environment = Environment(self.url)
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

    def oracle(self) -> str:
        """policy.py gets the whole reward"""
        started = time.monotonic()
        verdict = self._episode(Player(self.row))
        self._expect_reward(verdict, self.most, "of policy.py")
        return f"{self.most:g} in {time.monotonic() - started:.1f} s"

    def null(self) -> str:
        """a policy that does nothing gets none"""
        self._expect_reward(self._episode(Null()), self.least, "for doing nothing")
        return f"{self.least:g}"

    def again(self) -> str:
        """the same verdict can be asked for again"""
        environment = Environment(self.url)
        environment.post_ok("/seed_session", self.row)
        request = self._request(self._play_on(environment, Player(self.row)))
        first, second = (environment.post_ok("/verify", request) for _ in range(2))
        expect(first == second, "the second answer of /verify differs from the first")
        return ""

    # ----------------------------------------------------------------------------------------------------- inside

    def _episode(self, policy: Policy) -> Item:
        return play_episode(self.url, self.row, policy, max_turns=100, show=False)

    def _play_on(self, environment: Environment, policy: Policy) -> list[Item]:
        """Play on a session that is open; the transcript."""
        items: list[Item] = []
        while True:
            output = policy.next_items(items)
            items += output
            call = output[-1]
            if call["type"] != "function_call":
                return items
            answer = environment.post(f"/{call['name']}", json.loads(call["arguments"])).text
            items.append({"type": "function_call_output", "call_id": call["call_id"], "output": answer})

    def _request(self, items: list[Item]) -> Item:
        return verify_request(self.row, items, "check.py")

    def _expect_reward(self, verdict: Item, reward: float, of: str) -> None:
        reason = f" ({verdict['failure_kind']}: {verdict['failure_reason']})" if verdict.get("mask_sample") else ""
        expect(not reason, f"the sample {of} is masked{reason}")
        expect(verdict["reward"] == reward, f"the reward {of} is {verdict['reward']:g}, not {reward:g}")


def _cookie(environment: Environment) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in environment.http.cookies)


def _is_text(answer: requests.Response) -> bool:
    try:
        return isinstance(answer.json()["output"], str)
    except (ValueError, KeyError, TypeError):
        return False


def run_checks(url: str, data: Path, wait_seconds: float) -> int:
    """Run them all, print the table, and return how many have failed.

    Raises:
        RolloutError: no such environment answers at the address.
    """
    url = url.rstrip("/")
    tools = tools_of(url, wait_seconds)
    row = read_rows(data)[0]
    params = row["responses_create_params"]
    playable = {**row, "responses_create_params": {**params, "tools": tools}}
    check = Check(url, playable, tools, params["tools"])
    table = Table(title=f"{environment_name()} at {url}", title_justify="left", box=None, padding=(0, 1))
    failed = 0
    checks: list[Callable[[], str]] = [getattr(check, name) for name in vars(Check) if not name.startswith("_")]
    with console.status("Checking ...") as status:
        for one in checks:
            name = (one.__doc__ or "").strip()
            status.update(f"Checking that {name} ...")
            try:
                remark, mark = one(), "[green]pass[/green]"
            except (Wrong, RolloutError) as error:
                remark, mark = str(error), "[red]FAIL[/red]"
                failed += 1
            except requests.RequestException as error:
                remark, mark = f"no answer: {error}", "[red]FAIL[/red]"
                failed += 1
            table.add_row(mark, escape(name), escape(remark))
    console.print(table)
    console.print(f"[bold]{len(checks) - failed} passed, {failed} failed[/bold]")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "url", nargs="?", default=os.environ.get("ENV_URL", LOCAL_URL), help="(default: ENV_URL, or local)"
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "demo.jsonl", help="its first row is played")
    parser.add_argument("--wait", type=float, default=300, help="seconds to wait for a Space that sleeps")
    options = parser.parse_args()
    return 1 if run_checks(options.url, options.data, options.wait) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RolloutError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
