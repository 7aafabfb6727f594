"""How many answers a second are graded, by a generated environment and by NeMo Gym's own servers, in one run.

    ENVIRONMENT/.venv/bin/python benchmarks/text_grading.py ENVIRONMENT [--at-once 64] [--rounds 5]

ENVIRONMENT was generated with `archetype=question`, and has NeMo Gym 0.7 in its `.venv`. The answers are right ones and
wrong ones in turn. Sessions of the environment are seeded before the clock starts; NeMo Gym's servers want no session.
Of the environment it is also said for how long its event loop was held, the longest in each round.

NeMo Gym's instruction_following is left out where its package of constraints is not installed: it is in no registry.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Run in the environment: its server on a port, with a task that measures how late the event loop is.
SERVED = """
import asyncio, json, sys, threading, time
sys.path[:0] = [".", "tests"]
import uvicorn
from gymkit.cli import load_server_class
from gymkit.fixture import make_server

server = make_server(load_server_class())
app = server.setup_webserver()
longest = 0.0


async def watch():
    global longest
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.002)
        longest = max(longest, time.perf_counter() - before - 0.002)


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        asyncio.get_running_loop().create_task(watch())
        await super().startup(sockets)


def report():
    global longest
    for line in sys.stdin:
        print(longest, flush=True)
        longest = 0.0


threading.Thread(target=report, daemon=True).start()
Server(uvicorn.Config(app, port=int(sys.argv[1]), log_level="error")).run()
"""
ANSWERS = """
import json, sys
sys.path[:0] = [".", "tests"]
from cheats import wrong_answers
from gymkit.rows import data_path, read_rows
from policy import answer

for row in read_rows(data_path("train")):
    right = answer(row)
    print(json.dumps([row, right, wrong_answers(row, right)[0][1]]))
"""


def response(text: str) -> Row:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
    fields = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "object": "response"}
    return {"id": "r", "created_at": 0.0, "model": "m", "output": [message], **fields}


def as_mcqa(row: Row) -> Row:
    options = [{chr(65 + place): option} for place, option in enumerate(row["options"])]
    return {"options": options, "expected_answer": row["ground_truth"][0]["expected_output"]}


def as_math(row: Row) -> Row:
    return {"question": "?", "expected_answer": row["ground_truth"][0]["expected_output"]}


OTHERS = {"choice": ("mcqa", as_mcqa), "math": ("math_with_judge", as_math)}


class Started:
    """A server as a child process."""

    def __init__(self, command: list[str], folder: Path, port: int, **variables: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    async def wait(self, http: Any) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                async with http.get(f"{self.url}/openapi.json") as answer:
                    await answer.read()
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{self.url} did not start")
                await asyncio.sleep(0.1)

    def held(self) -> float:
        """The longest time for which the event loop was held since this was last asked for, in seconds."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def theirs(python: Path, name: str, port: int, folder: Path) -> Started:
    """One of NeMo Gym's servers, alone."""
    settings: Row = {"entrypoint": "app.py", "domain": "knowledge", "host": "127.0.0.1", "port": port}
    if name == "math_with_judge":
        settings |= {"should_use_judge": False, "judge_responses_create_params": {"input": []}}
        settings["judge_model_server"] = {"type": "responses_api_models", "name": "judge"}
    config = {
        name: {"resources_servers": {name: settings}},
        "head_server": {"host": "127.0.0.1", "port": 11000},
        "dry_run": False,
    }
    variables = {"NEMO_GYM_CONFIG_DICT": json.dumps(config), "NEMO_GYM_CONFIG_PATH": name}
    return Started([str(python), "-m", f"resources_servers.{name}.app"], folder, port, **variables)


async def posted(http: Any, url: str, body: Row, headers: Row | None = None) -> Any:
    async with http.post(url, json=body, headers=headers) as answer:
        return answer.headers, await answer.json(content_type=None)


async def ours_once(http: Any, url: str, cases: list[tuple[Row, str]]) -> tuple[float, list[float]]:
    tokens = [
        (await posted(http, f"{url}/seed_session", row, {"X-Session-Token": ""}))[0]["X-Session-Token"]
        for row, _ in cases
    ]
    started = time.perf_counter()
    verify = (
        posted(http, f"{url}/verify", {**row, "response": response(text)}, {"X-Session-Token": token})
        for (row, text), token in zip(cases, tokens, strict=True)
    )
    answers = await asyncio.gather(*verify)
    return time.perf_counter() - started, [body["reward"] for _, body in answers]


async def theirs_once(http: Any, url: str, cases: list[tuple[Row, str]], made: Any) -> tuple[float, list[float]]:
    bodies = [
        {"responses_create_params": row["responses_create_params"], "response": response(text), **made(row)}
        for row, text in cases
    ]
    started = time.perf_counter()
    answers = await asyncio.gather(*(posted(http, f"{url}/verify", body) for body in bodies))
    return time.perf_counter() - started, [body["reward"] for _, body in answers]


async def measure(environment: Path, at_once: int, rounds: int) -> None:
    import aiohttp

    python = environment / ".venv/bin/python"
    said = subprocess.run([python, "-c", ANSWERS], cwd=environment, capture_output=True, text=True, check=True).stdout
    cases: dict[str, list[tuple[Row, str]]] = {}
    for row, right, wrong in map(json.loads, said.splitlines()):
        cases.setdefault(row["kind"], []).extend([(row, right), (row, wrong)])
    own = Started([str(python), "-c", SERVED, "18431"], environment, 18431)
    others = {kind: theirs(python, name, 18432 + n, environment) for n, (kind, (name, _)) in enumerate(OTHERS.items())}
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        ) as http:
            for started in [own, *others.values()]:
                await started.wait(http)
            print("| answers | server | verdicts a second | event loop held, at most |\n|---|---|---|---|")
            for kind, found in cases.items():
                chosen = (found * at_once)[:at_once]
                results: dict[str, list[float]] = {"this": [], "theirs": []}
                held = []
                for number in range(rounds + 1):  # the first to warm up
                    own.held()
                    seconds, rewards = await ours_once(http, own.url, chosen)
                    held.append(own.held())
                    assert rewards == [float(place % 2 == 0) for place in range(at_once)], (kind, rewards)
                    results["this"].append(at_once / seconds)
                    if kind in others:
                        seconds, _ = await theirs_once(http, others[kind].url, chosen, OTHERS[kind][1])
                        results["theirs"].append(at_once / seconds)
                    if number == 0:
                        print(f"<!-- {kind}, cold: held {held.pop() * 1000:.0f} ms, {results['this'].pop():.0f}/s -->")
                        results["theirs"] = []
                print(f"| {kind} | generated | {statistics.median(results['this']):.0f} | {max(held) * 1000:.0f} ms |")
                if results["theirs"]:
                    print(f"| {kind} | {OTHERS[kind][0]} | {statistics.median(results['theirs']):.0f} | |")
    finally:
        for started in [own, *others.values()]:
            started.process.kill()
            started.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(measure(options.environment.resolve(), options.at_once, options.rounds))


if __name__ == "__main__":
    main()
