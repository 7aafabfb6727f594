"""How many servers do so many sessions need? A simulation whose figures are measured, and checked, on a real server.

    uv run python benchmarks/simulate_scale.py ENVIRONMENT [--think 10] [--quick]

ENVIRONMENT is a generated game with its .venv. First a real server is measured: processor time of each kind of call,
and memory of a session. Then the simulation is compared with the same server under 64 and 512 sessions with think time
(the one process that plays them all is part of it: calls wait for it, too). Then it goes up to 100,000 sessions, in
which a model thinks for `--think` seconds between two calls. One to two minutes.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import simpy
from http_agent import Agent, verify_body
from served import Served, served

Calls = list[tuple[str, dict[str, Any]]]

WORDS = ("slate", "crony", "panic", "piano")
"""How the demo row's word is found."""
AT_ONCE = 64
BUSY = 0.7
"""A server is loaded up to this share of its core: beyond it, queues grow fast."""
SESSIONS_OF_SERVER = 10_000
"""`max_sessions`, as it stands in a generated environment."""


@dataclass(frozen=True)
class Point:
    """What callers see: calls per second, and the time of a call in milliseconds."""

    rate: float
    p50: float
    p99: float
    busy: float
    client: float = 0.0
    """Processor seconds of the client for a call, where that was measured."""


def point(latencies: list[float], seconds: float, busy: float, client: float = 0.0) -> Point:
    marks = quantiles(latencies, n=100, method="inclusive")
    return Point(len(latencies) / seconds, marks[49] * 1000, marks[98] * 1000, busy, client)


def episode(environment: Path) -> Calls:
    """The calls of one episode, on the public demo row."""
    row = json.loads((environment / "data/demo.jsonl").read_text(encoding="utf-8").splitlines()[0])
    guesses = [("/guess", {"word": word}) for word in WORDS]
    return [("/seed_session", row), *guesses, ("/verify", verify_body(row, []))]


def thinks(rng: random.Random, seconds: float) -> float:
    """Think times vary as much as the lengths of a model's answers do."""
    return rng.expovariate(1 / seconds)


# -------------------------------------------------------------------------------------------------- the real server


def cpu_seconds(pid: int) -> float:
    """Processor time of a process's main thread, on which the event loop runs."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def cost_of_calls(server: Served, port: int, plan: Calls, episodes: int) -> dict[str, float]:
    """Processor seconds of the server for one call of each kind."""
    spent: defaultdict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for _ in range(0, episodes, AT_ONCE):
        agents = [Agent(port, Counter()) for _ in range(AT_ONCE)]
        for path, body in plan:
            before = cpu_seconds(server.pid)
            await asyncio.gather(*(agent.post(path, body) for agent in agents))
            spent[path] += cpu_seconds(server.pid) - before
            calls[path] += len(agents)
        for agent in agents:
            agent.hang_up()
    return {path: spent[path] / calls[path] for path in calls}


async def bytes_of_a_session(server: Served, port: int, plan: Calls, sessions: int) -> float:
    """Memory of an open session that has made a call."""
    before = server.rss_mb()
    for start in range(0, sessions, 64):
        agents = [Agent(port, Counter()) for _ in range(min(64, sessions - start))]
        for path, body in plan[:2]:
            await asyncio.gather(*(agent.post(path, body) for agent in agents))
        for agent in agents:
            agent.hang_up()
    return (server.rss_mb() - before) * 2**20 / sessions


async def real(server: Served, port: int, plan: Calls, sessions: int, think: float, seconds: float) -> Point:
    """So many sessions at once against the real server."""
    latencies: list[float] = []
    began = time.monotonic() + think
    until = began + seconds

    async def session(number: int) -> None:
        rng = random.Random(number)
        agent = Agent(port, Counter())
        await asyncio.sleep(rng.uniform(0, think))
        while True:
            for path, body in plan:
                started = time.monotonic()
                if started > until:
                    agent.hang_up()
                    return
                await agent.post(path, body)
                if started > began:
                    latencies.append(time.monotonic() - started)
                await asyncio.sleep(thinks(rng, think))

    playing = [asyncio.create_task(session(number)) for number in range(sessions)]
    await asyncio.sleep(began - time.monotonic())
    cpu, own = cpu_seconds(server.pid), time.process_time()
    await asyncio.sleep(seconds)
    busy = (cpu_seconds(server.pid) - cpu) / seconds
    client = (time.process_time() - own) / max(1, len(latencies))
    for task in playing:
        task.cancel()
    await asyncio.gather(*playing, return_exceptions=True)
    return point(latencies, seconds, busy, client)


# --------------------------------------------------------------------------------------------------- the simulation


def simulated(costs: list[float], sessions: int, think: float, seconds: float, client: float = 0.0) -> Point:
    """The same with a server that takes one call at a time, first come, first served.

    A call's time varies exponentially around its measured mean. With `client`, so many seconds of the one process that
    plays all sessions, half of them before the call and half after it, are part of a call's time.
    """
    rng = random.Random(7)
    world = simpy.Environment()
    server, player = simpy.Resource(world), simpy.Resource(world)
    latencies: list[float] = []
    worked = 0.0
    began = think

    def session() -> Generator[simpy.Event, None, None]:
        nonlocal worked
        yield world.timeout(rng.uniform(0, think))
        # Sessions are somewhere in their episode, not all at its beginning.
        turn = rng.randrange(len(costs))
        while True:
            started = world.now
            work = rng.expovariate(1 / costs[turn])
            steps = ((player, client / 2), (server, work), (player, client / 2)) if client else ((server, work),)
            for station, duration in steps:
                with station.request() as request:
                    yield request
                    yield world.timeout(duration)
            if started > began:
                latencies.append(world.now - started)
                worked += work
            turn = (turn + 1) % len(costs)
            yield world.timeout(thinks(rng, think))

    for _ in range(sessions):
        world.process(session())
    world.run(until=began + seconds)
    return point(latencies, seconds, worked / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--think", type=float, default=10, help="seconds a model takes for a turn, on average")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    seconds, many = (5, 1000) if options.quick else (20, 4000)
    plan = episode(options.environment)
    checks: list[tuple[int, float, Point]] = []
    with served(options.environment) as server:
        port, base = int(server.url.rpartition(":")[2]), server.rss_mb()
        asyncio.run(cost_of_calls(server, port, plan, 128))  # until it is warm
        memory = asyncio.run(bytes_of_a_session(server, port, plan, many))
        cost = asyncio.run(cost_of_calls(server, port, plan, many))
        costs = [cost[path] for path, _ in plan]
        mean = sum(costs) / len(costs)
        for sessions in (64, 512):
            # So that the server is about half busy.
            think = sessions * mean / 0.5
            checks.append((sessions, think, asyncio.run(real(server, port, plan, sessions, think, seconds))))
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}\n")
    print("measured, processor time of a call: " + ", ".join(f"{p} {s * 1000:.2f} ms" for p, s in cost.items()))
    print(f"measured, memory: {base:.0f} MB without a session, {memory / 1000:.1f} kB for each\n")
    print(f"{'sessions':>9}{'think s':>9}{'':>12}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'busy':>7}")
    for sessions, think, seen in checks:
        guess = simulated(costs, sessions, think, seconds * 3, seen.client)
        for name, it in (("real", seen), ("simulated", guess)):
            print(f"{sessions:>9}{think:>9.2f}{name:>12}{it.rate:>10.0f}{it.p50:>9.1f}{it.p99:>9.1f}{it.busy:>7.0%}")
        errors = guess.rate / seen.rate - 1, guess.p50 / seen.p50 - 1, guess.p99 / seen.p99 - 1
        print(f"{'':>18}{'error':>12}{errors[0]:>+10.0%}{errors[1]:>+9.0%}{errors[2]:>+9.0%}")
    print(f"\nsimulated, a model's turn takes {options.think:g} s; servers at most {BUSY:.0%} busy")
    print(f"{'sessions':>9}{'servers':>9}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'busy':>7}{'memory GB':>11}")
    for sessions in (100, 1000, 10_000, 30_000, 100_000):
        by_calls = sessions / options.think * mean / BUSY
        servers = max(1, -int(-by_calls // 1), -(-sessions // SESSIONS_OF_SERVER))
        # Each session stays with its server, and they share nothing: one of them stands for all.
        it = simulated(costs, sessions // servers, options.think, seconds)
        size = (servers * base + sessions * memory / 1e6) / 1000
        rate = it.rate * servers
        print(f"{sessions:>9,}{servers:>9}{rate:>10.0f}{it.p50:>9.1f}{it.p99:>9.1f}{it.busy:>7.0%}{size:>11.1f}")


if __name__ == "__main__":
    main()
