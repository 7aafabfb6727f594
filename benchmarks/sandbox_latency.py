"""How long the calls of a sandbox environment take: the first of an episode, later ones, and many sessions at once.

    uv run python benchmarks/sandbox_latency.py ENVIRONMENT [--episodes 30] [--sessions 16] [--starts-only]

ENVIRONMENT is a generated folder with its .venv.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles

from served import Agent, Served, descendants, served


def seconds_of(agent: Agent, code: str) -> float:
    started = time.monotonic()
    agent.run(code)
    return time.monotonic() - started


def line(name: str, seconds: list[float]) -> str:
    percentiles = quantiles(seconds, n=100, method="inclusive")
    return (
        f"{name:<34} p50 {percentiles[49] * 1000:8.1f} ms   p99 {percentiles[98] * 1000:8.1f} ms   (n={len(seconds)})"
    )


def episodes(environment: Served, count: int, pause: float, later: int = 10) -> tuple[list[float], list[float]]:
    """The times of the first calls and of the later ones, one episode after the other."""
    first, others = [], []
    for _ in range(count):
        agent = Agent(environment.url)
        agent.post("/seed_session")
        first.append(seconds_of(agent, "x = 1"))
        others += [seconds_of(agent, "x + 1") for _ in range(later)]
        agent.post("/close_session")
        time.sleep(pause)
    return first, others


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


def crowd(environment: Served, sessions: int) -> tuple[float, float, float]:
    """First calls with pandas, all at once.

    Returns:
        Wall time until all are answered, in seconds; memory of one idle sandbox, guard and all, and memory of what is
        there without any sandbox, in MB (PSS).
    """
    alone = pss_mb(environment.pid)
    agents = [Agent(environment.url) for _ in range(sessions)]
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(lambda agent: agent.post("/seed_session"), agents))
        started = time.monotonic()
        answers = list(pool.map(lambda agent: agent.run("import pandas\npandas.Series([20, 22]).sum()"), agents))
        seconds = time.monotonic() - started
        assert all("42" in answer for answer in answers), answers
        memory = pss_mb(environment.pid) / sessions
        list(pool.map(lambda agent: agent.post("/close_session"), agents))
    return seconds, memory, alone


def pss_mb(pid: int) -> float:
    """The memory of all processes below one, each shared page in equal parts."""
    total = 0
    for each in descendants(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def compared(environment: Path, count: int, sessions: int, empty: str) -> None:
    """Both levels, with the fork server and without, in one run."""
    for forked in (True, False):
        for level, environ in (("bubblewrap", {}), ("limits", {"PATH": empty})):
            with served(environment, environ=environ, fork_server=forked) as server:
                time.sleep(5)  # The fork server loads what it holds.
                first, _ = episodes(server, count, pause=0, later=0)
                print(line(f"{level}, {'forked' if forked else 'program'}: first call", first))
                seconds, memory, alone = crowd(server, sessions)
                print(
                    f"    {sessions} first calls with pandas at once: {seconds:.1f} s; {memory:.1f} MB (PSS) for each "
                    f"idle sandbox; {alone:.0f} MB without any",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--episodes", type=int, default=30)
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--crowd", type=int, default=64)
    parser.add_argument("--starts-only", action="store_true", help="only how sandboxes start, at each level and way")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        compared(arguments.environment, arguments.episodes, arguments.crowd, empty)
    if arguments.starts_only:
        return
    with served(arguments.environment) as environment:
        _, later = episodes(environment, arguments.episodes, pause=0)
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
