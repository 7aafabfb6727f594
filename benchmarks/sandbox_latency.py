"""How long the calls of a sandbox environment take: the first of an episode, later ones, and many sessions at once.

    uv run python benchmarks/sandbox_latency.py ENVIRONMENT [--episodes 30] [--sessions 16]

ENVIRONMENT is a generated folder with its .venv.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles

from served import Agent, Served, served


def seconds_of(agent: Agent, code: str) -> float:
    started = time.monotonic()
    agent.run(code)
    return time.monotonic() - started


def line(name: str, seconds: list[float]) -> str:
    percentiles = quantiles(seconds, n=100, method="inclusive")
    return (
        f"{name:<34} p50 {percentiles[49] * 1000:8.1f} ms   p99 {percentiles[98] * 1000:8.1f} ms   (n={len(seconds)})"
    )


def episodes(environment: Served, count: int, pause: float) -> tuple[list[float], list[float]]:
    """The times of the first calls and of the later ones, one episode after the other."""
    first, later = [], []
    for _ in range(count):
        agent = Agent(environment.url)
        agent.post("/seed_session")
        first.append(seconds_of(agent, "x = 1"))
        later += [seconds_of(agent, "x + 1") for _ in range(10)]
        agent.post("/close_session")
        time.sleep(pause)
    return first, later


def at_once(environment: Served, sessions: int) -> tuple[float, float]:
    """Wall time of three cells of 1 s: of one session, and of all at once."""
    agents = [Agent(environment.url) for _ in range(sessions)]
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(lambda agent: (agent.post("/seed_session"), agent.run("import time")), agents))

        def play(agent: Agent) -> None:
            for _ in range(3):
                agent.run("time.sleep(1)")

        started = time.monotonic()
        play(agents[0])
        one = time.monotonic() - started
        started = time.monotonic()
        list(pool.map(play, agents))
        return one, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--episodes", type=int, default=30)
    parser.add_argument("--sessions", type=int, default=16)
    arguments = parser.parse_args()
    with served(arguments.environment) as environment:
        first, later = episodes(environment, arguments.episodes, pause=0)
        print(line("first call, no warm sandbox", first))
        print(line("later calls", later), flush=True)
        one, many = at_once(environment, arguments.sessions)
        print(f"3 cells of 1 s: {one:.2f} s in one session, {many:.2f} s in {arguments.sessions} at once", flush=True)
    with served(arguments.environment, warm_sandboxes=2) as environment:
        time.sleep(10)
        # As long between two episodes as a model takes for a turn or two.
        first, later = episodes(environment, arguments.episodes, pause=4)
        print(line("first call, warm sandboxes", first))
        print(line("later calls", later))


if __name__ == "__main__":
    main()
