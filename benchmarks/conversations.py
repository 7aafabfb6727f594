"""Many conversations at once: turns of the user's a second, memory per session, and nothing of one in another.

    uv run python benchmarks/conversations.py ENVIRONMENT [--sessions 64] [--rounds 3]

ENVIRONMENT is a generated folder (`archetype=conversation`) with its .venv. Every row is played by its solution.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from statistics import quantiles
from typing import Any

from http_agent import Agent, verify_body
from served import Served, served

Row = dict[str, Any]


def read_rows(environment: Path) -> list[Row]:
    paths = [environment / "data" / f"{split}.jsonl" for split in ("train", "validation", "example")]
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


async def converse(port: int, row: Row, facts: list[str], turns: list[float]) -> tuple[float, list[str]]:
    """Play a row; its reward, and the facts of others that were heard in it."""
    agent = Agent(port, Counter())
    assert (await agent.post("/seed_session", row)).status == 200
    heard = ""
    for move in row["oracle"]:
        path, body = ("/user/turn", {"text": move}) if isinstance(move, str) else (f"/{move[0]}", move[1])
        started = time.monotonic()
        answer = await agent.post(path, body)
        if isinstance(move, str):
            turns.append(time.monotonic() - started)
        heard += answer.output + "\n"
    reward = (await agent.post("/verify", verify_body(row, []))).json()["reward"]
    agent.hang_up()
    own = json.dumps(row)
    return reward, [fact for fact in facts if fact in heard and fact not in own]


async def held_memory(server: Served, port: int, rows: list[Row], sessions: int) -> float:
    """KB of the server's memory for each session that has begun, and has been talked in once."""
    before = server.rss_mb()
    agents = [Agent(port, Counter()) for _ in range(sessions)]
    for number, agent in enumerate(agents):
        await agent.post("/seed_session", rows[number % len(rows)])
        await agent.post("/user/turn", {"text": "What is your email address, please?"})
    after = server.rss_mb()
    for agent in agents:
        await agent.post("/close_session")
        agent.hang_up()
    return (after - before) * 1024 / sessions


async def measure(server: Served, rows: list[Row], sessions: int, rounds: int) -> str:
    port = int(server.url.rpartition(":")[2])
    # What only one row says: its order, and its customer's address.
    facts = [row["user"]["facts"][name] for row in rows for name in ("order", "email")]
    await converse(port, rows[0], facts, [])
    turns: list[float] = []
    results: list[tuple[float, list[str]]] = []
    started = time.monotonic()
    for number in range(rounds):
        played = [rows[(number * sessions + each) % len(rows)] for each in range(sessions)]
        results += await asyncio.gather(*(converse(port, row, facts, turns) for row in played))
    seconds = time.monotonic() - started
    won = sum(reward == 1.0 for reward, _ in results)
    strange = sum(bool(found) for _, found in results)
    percentiles = quantiles(turns, n=100, method="inclusive")
    memory = await held_memory(server, port, rows, 16 * sessions)
    return (
        f"{len(results)} conversations, {sessions} at once: {len(turns) / seconds:.0f} turns/s besides tool calls, "
        f"p50 {percentiles[49] * 1000:.1f} ms, p99 {percentiles[98] * 1000:.1f} ms\n"
        f"at the top: {won}; with something of another: {strange}\n"
        f"memory: {memory:.0f} KB a session ({16 * sessions} open)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows = read_rows(arguments.environment)
    with served(arguments.environment.resolve()) as server:
        print(asyncio.run(measure(server, rows, arguments.sessions, arguments.rounds)))


if __name__ == "__main__":
    main()
