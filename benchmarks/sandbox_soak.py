"""Many episodes of a sandbox environment, some with a killed or hung cell: what does the server keep of them?

    uv run python benchmarks/sandbox_soak.py ENVIRONMENT [--episodes 500] [--faults 50]

ENVIRONMENT is a generated folder with its .venv, with the example's tasks and player. Each episode plays one of its
rows, every third with a wrong answer. Exits with 1 where a reward is not what the answer deserves, where a process,
folder or descriptor is left over, or where the server's memory has grown by more than 10% since the first fifty.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from served import Agent, Served, descendants, served

FAULTS = (
    "import os\nos._exit(1)",
    "import time\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass",
    "import os\nos.system('setsid sleep 1000 &')\nos.kill(os.getpid(), 9)",
    "import time\ntime.sleep(1000)",
)


MOST_WORKERS = max(2, os.cpu_count() or 2) + 2
"""So many compare mathematics at once: gymkit/symbolic.py."""

Row = dict[str, Any]
Player = Callable[[Row], Generator[tuple[str, Row], str, None]]


def player_of(environment: Path) -> Player:
    """`play` of its policy.py."""
    spec = importlib.util.spec_from_file_location("policy", environment / "policy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.play


def played(agent: Agent, play: Player, row: Row, wrong: bool) -> float:
    """The reward for the player's answer, or for a wrong one."""
    output: str | None = None
    calls = play(row)
    try:
        while True:
            name, arguments = calls.send(output)  # pyright: ignore[reportArgumentType]
            if name == "submit_answer" and wrong:
                arguments = {"answer": "none of these"}
            output = agent.post(f"/{name}", **arguments)["output"]
    except StopIteration:
        pass
    response = {
        "id": "resp_soak",
        "created_at": 0,
        "model": "player",
        "object": "response",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    verdict = agent.post("/verify", **row, response=response)
    assert not verdict.get("mask_sample"), verdict.get("failure_reason")
    return verdict["reward"]


def episode(environment: Served, play: Player, row: Row, wrong: bool, fault: str | None) -> bool:
    """Play a row; whether the reward is the right one."""
    agent = Agent(environment.url)
    agent.post("/seed_session", **row)
    assert agent.run("x = 20\nprint('y' * 50_000)\nx + 22").endswith("42")
    if fault is not None:
        output = agent.run(fault)
        assert "started anew" in output or "was interrupted" in output, output
        assert agent.run("6 * 7").endswith("42")
    agent.post("/run_shell", command="echo done")
    right = played(agent, play, row, wrong) == (0 if wrong else 1)
    agent.post("/close_session")
    return right


def processes(environment: Served) -> tuple[Counter[str], list[str]]:
    """What runs below the server's process: how many workers of its own, and the command lines of all others.

    Its own are the fork server, which is its child (a guard has the same command line, and another parent), and the
    program that compares mathematics, with the workers that it has forked and keeps.
    """
    own: Counter[str] = Counter()
    others = []
    for pid in descendants(environment.pid):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if "/fork_server.py " in line and parent == environment.pid:
            own["fork server"] += 1
        elif "/symbolic_worker.py " in line:
            own["mathematics" if parent == environment.pid else "worker of mathematics"] += 1
        else:
            others.append(line)
    return own, others


def began(pid: int) -> str | None:
    """When a process began, which tells it from a later one with its number; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--faults", type=int, default=50, help="how many of them have a killed or hung cell")
    parser.add_argument("--at-once", type=int, default=2)
    arguments = parser.parse_args()
    every = arguments.episodes // arguments.faults if arguments.faults else 0
    faults = [
        FAULTS[number // every % len(FAULTS)] if every and number % every == 0 else None
        for number in range(arguments.episodes)
    ]
    play = player_of(arguments.environment)
    rows = [json.loads(line) for line in (arguments.environment / "data/example.jsonl").read_text().splitlines()]
    started = time.monotonic()
    with served(arguments.environment, cell_seconds=2) as environment, ThreadPoolExecutor(arguments.at_once) as pool:

        def of_number(number: int) -> bool:
            return episode(environment, play, rows[number % len(rows)], number % 3 == 2, faults[number])

        wrong = list(pool.map(of_number, range(50))).count(False)
        rss, descriptors = environment.rss_mb(), environment.descriptors()
        print(f"after 50 episodes: {rss:.0f} MB, {descriptors} descriptors", flush=True)
        wrong += list(pool.map(of_number, range(50, arguments.episodes))).count(False)
        time.sleep(2)
        own, others = processes(environment)
        folders, kept = environment.folders(), environment.descriptors() - descriptors
        grown = environment.rss_mb() / rss - 1
        below = {pid: began(pid) for pid in descendants(environment.pid)}
    seconds = time.monotonic() - started
    outlived = [pid for pid, start in below.items() if start is not None and began(pid) == start]
    print(
        f"after {arguments.episodes} episodes, {sum(map(bool, faults))} with a fault, {seconds:.0f} s: "
        f"{wrong} rewards wrong; memory {grown:+.1%}; left over: processes {others}, {folders} folders, {kept} "
        f"descriptors; the server's own workers: {dict(own)}; of all these outlive it {outlived}"
    )
    too_many = own["fork server"] > 1 or own["mathematics"] > 1 or own["worker of mathematics"] > MOST_WORKERS
    sys.exit(bool(wrong or others or folders or outlived or too_many) or kept > 0 or grown > 0.1)


if __name__ == "__main__":
    main()
