# Part of the template: changes belong there (`copier update` merges this file).
"""Play episodes over HTTP, as a model does: seed, tool calls, verdict.

    uv run python rollout.py                                  one episode, by the environment's own player (no key)
    uv run python rollout.py --episodes 50 --concurrency 8    many, with a progress bar and a summary
    uv run python rollout.py --model M --base-url URL         by any OpenAI-compatible model (key: OPENAI_API_KEY)

Without --url (or ENV_URL) it uses the environment that runs on port 11000, and starts one itself if none does.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import Any, Protocol

import requests
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gymkit.project import ROOT, environment_name
from policy import play

LOCAL_URL = "http://127.0.0.1:11000"
TOOL_SECONDS = 300
MODEL_SECONDS = 600
PATIENCE = 10
"""So often a request is made that the environment finds too many (429)."""

Item = dict[str, Any]

console = Console(highlight=False)


class RolloutError(Exception):
    """The rollout cannot go on; the message is one line for the person who started it."""


# ------------------------------------------------------------------------------------------------ the environment


class Environment:
    """One episode's connection: the session's cookie lives in a `requests.Session`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.http = requests.Session()
        key = os.environ.get("ENV_API_KEY")
        if key:
            self.http.headers["Authorization"] = f"Bearer {key}"

    def post(self, path: str, body: Any) -> requests.Response:
        for _ in range(PATIENCE):
            try:
                response = self.http.post(f"{self.url}{path}", json=body, timeout=TOOL_SECONDS)
            except requests.ConnectionError:
                raise RolloutError(f"The environment at {self.url} closed the connection.") from None
            except requests.Timeout:
                raise RolloutError(f"The environment at {self.url} did not answer within {TOOL_SECONDS} s.") from None
            if response.status_code != 429:
                break
            time.sleep(float(response.headers.get("Retry-After", 1)))
        return response

    def post_ok(self, path: str, body: Any) -> Item:
        response = self.post(path, body)
        if response.status_code == 503:
            time.sleep(float(response.headers.get("Retry-After", 5)))
            response = self.post(path, body)
        if not response.ok:
            raise RolloutError(f"{self.url}{path} answered {response.status_code}: {response.text[:500]}")
        return response.json()


def tools_of(url: str, wait_seconds: float) -> list[Item]:
    """The environment's tools. A Space that sleeps answers 503 until it has woken: that is waited for."""
    environment = Environment(url)
    deadline = time.monotonic() + wait_seconds
    waiting = False
    while True:
        try:
            health = environment.http.get(f"{environment.url}/health", timeout=30)
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
        time.sleep(2)
    found = environment_at(health)
    if found != environment_name():
        what = f"the environment '{found}'" if found else "something else"
        raise RolloutError(f"At {url} answers {what}, not '{environment_name()}'.")
    tools = environment.http.get(f"{environment.url}/tools", timeout=30)
    if tools.status_code == 401:
        raise RolloutError(f"{url} wants its API key: set ENV_API_KEY.")
    if not tools.ok:
        raise RolloutError(f"{url}/tools answered {tools.status_code}: {tools.text[:200]}")
    return tools.json()


def environment_at(health: requests.Response) -> str | None:
    """The name of the environment that gave this answer to a health check, or None for any other server."""
    try:
        return health.json()["environment"]
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def running_environment(url: str | None) -> Iterator[str]:
    """The URL of a running environment: the given one, the one on port 11000, or one started for the occasion."""
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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server_env = os.environ | {"PORT": str(port), "ENV_HOST": "127.0.0.1"}
    with tempfile.TemporaryFile("w+") as log, console.status("Starting the environment ..."):
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py")], cwd=ROOT, env=server_env, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    requests.get(f"{url}/health", timeout=2)
                    break
                except requests.RequestException:
                    if process.poll() is None and time.monotonic() < deadline:
                        time.sleep(0.1)
                        continue
                log.seek(0)
                end = log.read()[-2000:]
                raise RolloutError(f"The environment did not start (`uv run python server.py` shows why):\n{end}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    try:
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------------------------------- policies


class Policy(Protocol):
    """Who plays: given all items so far, the next output items (messages, function calls)."""

    def next_items(self, items: list[Item]) -> list[Item]: ...


def function_call(number: int, name: str, arguments: str, call_id: str | None = None) -> Item:
    """A function call as the Responses API has it."""
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": call_id or f"call_{number}",
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def message(number: int, text: str) -> Item:
    """An assistant's message as the Responses API has it."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": content}


class Player:
    """policy.py: the environment's own player, which needs no model."""

    def __init__(self, row: Item) -> None:
        self.moves = play(row)
        self.started = False

    def next_items(self, items: list[Item]) -> list[Item]:
        try:
            if self.started:
                name, arguments = self.moves.send(output_text(items[-1]["output"]))
            else:
                self.started = True
                name, arguments = next(self.moves)
        except StopIteration:
            return [message(len(items), "Done.")]
        return [function_call(len(items), name, json.dumps(arguments))]


class Model:
    """A model behind an OpenAI-compatible endpoint: the Responses API, or Chat Completions where there is only that."""

    def __init__(self, base_url: str, model: str, api_key: str, params: Item, use_chat: threading.Event) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.params = params
        self.use_chat = use_chat
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {api_key}"

    def next_items(self, items: list[Item]) -> list[Item]:
        if not self.use_chat.is_set():
            body = {**self.params, "model": self.model, "input": self.params["input"] + items}
            response = self._post("/responses", body)
            if response.status_code not in (404, 405, 501):
                return self._checked(response)["output"]
            self.use_chat.set()
        body = {
            "model": self.model,
            "messages": chat_messages(self.params["input"] + items),
            "tools": [chat_tool(tool) for tool in self.params["tools"]],
        }
        choice = self._checked(self._post("/chat/completions", body))["choices"][0]["message"]
        output: list[Item] = []
        if choice.get("content"):
            output.append(message(len(items), choice["content"]))
        for call in choice.get("tool_calls") or []:
            function = call["function"]
            number = len(items) + len(output)
            output.append(function_call(number, function["name"], function["arguments"], call["id"]))
        return output

    def _post(self, path: str, body: Item) -> requests.Response:
        for attempt in range(5):
            try:
                response = self.http.post(f"{self.base_url}{path}", json=body, timeout=MODEL_SECONDS)
            except requests.ConnectionError:
                raise RolloutError(f"No model answers at {self.base_url}.") from None
            except requests.RequestException as error:
                raise RolloutError(f"{self.base_url}: {error}") from None
            if response.status_code not in (429, 500, 502, 503) or attempt == 4:
                break
            time.sleep(2**attempt)
        return response

    def _checked(self, response: requests.Response) -> Item:
        if not response.ok:
            raise RolloutError(f"The model's endpoint answered {response.status_code}: {response.text[:500]}")
        return response.json()


def chat_tool(tool: Item) -> Item:
    """A Responses API function tool in the form of Chat Completions."""
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def chat_messages(items: list[Item]) -> list[Item]:
    """Responses API items as Chat Completions messages."""
    messages: list[Item] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            call = {"name": item["name"], "arguments": item["arguments"]}
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            calls = messages[-1].setdefault("tool_calls", [])
            calls.append({"id": item["call_id"], "type": "function", "function": call})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        elif kind == "message":
            messages.append({"role": item["role"], "content": text_of(item)})
    return messages


def text_of(item: Item) -> str:
    """The text of a message item."""
    content = item["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


# -------------------------------------------------------------------------------------------------------- episodes


def play_episode(url: str, row: Item, policy: Policy, max_turns: int, show: bool) -> Item:
    """Play one episode to its verdict.

    Returns:
        What `/verify` answered: its request (the row and the response, to be graded again later) and the verdict.
    """
    environment = Environment(url)
    params = row["responses_create_params"]
    if show:
        for item in params["input"]:
            console.print(Panel(escape(text_of(item)), title=item["role"], title_align="left", border_style="dim"))
    environment.post_ok("/seed_session", row)
    items: list[Item] = []
    for turn in range(1, max_turns + 1):
        output = policy.next_items(items)
        items += output
        calls = [item for item in output if item["type"] == "function_call"]
        if show:
            for item in output:
                if item["type"] == "message":
                    console.print(f"[bold]{turn:3d}[/bold]  {escape(text_of(item))}")
        for call in calls:
            result = call_tool(environment, call)
            items.append({"type": "function_call_output", "call_id": call["call_id"], "output": result})
            if show:
                console.print(f"[bold]{turn:3d}[/bold]  [cyan]{call['name']}[/cyan] {escape(call['arguments'])}")
                console.print(f"[green]{escape(indent(output_text(result), ' ' * 5))}[/green]")
        if not calls:
            break
    return environment.post_ok("/verify", verify_request(row, items, getattr(policy, "model", "policy.py")))


def verify_request(row: Item, items: list[Item], model: str) -> Item:
    """The body of `/verify`: the row, and the Responses API response that an agent would have had."""
    params = row["responses_create_params"]
    response = {
        "id": f"resp_{row.get('task_id', 'episode')}",
        "created_at": time.time(),
        "model": model,
        "object": "response",
        "output": items,
        "parallel_tool_calls": params.get("parallel_tool_calls", True),
        "tool_choice": params.get("tool_choice", "auto"),
        "tools": params["tools"],
    }
    return {**row, "response": response}


def call_tool(environment: Environment, call: Item) -> str:
    """A tool's answer, as the model gets to see it: the body, whatever its status."""
    try:
        arguments = json.loads(call["arguments"])
    except ValueError as error:
        return json.dumps({"output": f"Error: the arguments are no JSON: {error}"})
    return environment.post(f"/{call['name']}", arguments).text


def output_text(result: str) -> str:
    """The text in a tool's answer, `{"output": "..."}`; any other answer as it is."""
    try:
        return str(json.loads(result)["output"])
    except (ValueError, KeyError, TypeError):
        return result


class Summary:
    """Counts over all episodes of a run."""

    def __init__(self) -> None:
        self.rewards: list[float] = []
        self.masked: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def add(self, result: Item) -> None:
        if result.get("mask_sample"):
            kind, reason = result.get("failure_kind") or "unknown", result.get("failure_reason") or ""
            self.masked[f"{kind}: {reason}"[:200]] += 1
        else:
            self.rewards.append(result["reward"])

    def show(self, seconds: float) -> None:
        """Print the reward of one episode, or the mean and the counts of many."""
        graded = len(self.rewards)
        if graded == 1 and not self.masked and not self.failed:
            console.print(f"[bold]Reward: {self.rewards[0]:g}[/bold]")
            return
        mean = f"Mean reward: {sum(self.rewards) / graded:.3f}" if graded else "No reward"
        console.print(f"[bold]{mean}[/bold] over {graded} graded episodes in {seconds:.1f} s")
        for reward, count in sorted(Counter(self.rewards).items(), reverse=True):
            console.print(f"  reward {reward:g}: {count}")
        for what, counts in (("masked", self.masked), ("failed", self.failed)):
            for reason, count in counts.most_common():
                console.print(f"  [red]{what}[/red] ({escape(reason)}): {count}")


# ------------------------------------------------------------------------------------------------------------ main


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("ENV_URL"), help="the environment (default: ENV_URL, or local)")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "example.jsonl", help="the task rows to play")
    parser.add_argument("--row", type=int, default=0, help="number of the first row, counted from 0")
    parser.add_argument("--episodes", type=int, default=1, help="how many; rows are used again when they run out")
    parser.add_argument("--concurrency", type=int, default=1, help="episodes played at once")
    parser.add_argument("--max-turns", type=int, default=os.environ.get("MAX_TURNS", "20"), help="per episode")
    parser.add_argument("--model", default=os.environ.get("OPENAI_MODEL"), help="a model's name; without: policy.py")
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    parser.add_argument("--chat", action="store_true", help="use Chat Completions without asking for Responses first")
    parser.add_argument("--output", type=Path, help="write the trajectories there, as JSONL of /verify bodies")
    parser.add_argument("--wait", type=float, default=300, help="seconds to wait for a Space that sleeps")
    parsed = parser.parse_args()
    for name in ("episodes", "concurrency", "max_turns"):
        if getattr(parsed, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return parsed


def read_rows(path: Path) -> list[Item]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise RolloutError(f"{path}: {error.strerror}. `uv run python make_data.py` writes the rows.") from None
    except ValueError as error:
        raise RolloutError(f"{path} holds a line that is no JSON: {error}") from None
    if not rows:
        raise RolloutError(f"{path} holds no rows.")
    return rows


def main() -> int:
    options = arguments()
    rows = read_rows(options.data)
    use_chat = threading.Event()
    if options.chat:
        use_chat.set()
    api_key = os.environ.get("OPENAI_API_KEY", "none")
    summary = Summary()
    single = options.episodes == 1
    started = time.monotonic()

    with running_environment(options.url) as url:
        tools = tools_of(url, options.wait)

        def episode(number: int) -> Item:
            row = rows[(options.row + number) % len(rows)]
            params = {**row["responses_create_params"], "tools": tools}
            if isinstance(params["input"], str):
                params["input"] = [{"role": "user", "content": params["input"]}]
            row = {**row, "responses_create_params": params}
            policy: Policy = Player(row)
            if options.model:
                policy = Model(options.base_url, options.model, api_key, params, use_chat)
            return play_episode(url, row, policy, options.max_turns, show=single)

        columns = (TextColumn("episodes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with (
            open(options.output or os.devnull, "w", encoding="utf-8") as output,
            Progress(*columns, console=console, disable=single) as progress,
            ThreadPoolExecutor(options.concurrency) as pool,
        ):
            bar = progress.add_task("episodes", total=options.episodes)
            futures = [pool.submit(episode, number) for number in range(options.episodes)]
            try:
                for future in as_completed(futures):
                    try:
                        result = future.result()
                    except RolloutError as error:
                        if single:
                            raise
                        summary.failed[str(error).splitlines()[0]] += 1
                    else:
                        summary.add(result)
                        output.write(json.dumps(result, ensure_ascii=False) + "\n")
                    progress.advance(bar)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    summary.show(time.monotonic() - started)
    if options.output:
        console.print(f"[dim]Trajectories: {options.output}[/dim]")
    return 1 if summary.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RolloutError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
