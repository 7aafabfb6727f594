"""Many episodes of a sandbox environment, some with a killed or hung cell: what does the server keep of them?

    uv run python benchmarks/sandbox_soak.py ENVIRONMENT [--episodes 500] [--faults 50]

ENVIRONMENT is a generated folder with its .venv. Exits with 1 where a process, folder or descriptor is left over, or
the server's memory has grown by more than 10% since the first fifty episodes.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from served import Agent, Served, served

FAULTS = (
    "import os\nos._exit(1)",
    "import time\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass",
    "import os\nos.system('setsid sleep 1000 &')\nos.kill(os.getpid(), 9)",
    "import time\ntime.sleep(1000)",
)


def episode(environment: Served, fault: str | None) -> None:
    agent = Agent(environment.url)
    agent.post("/seed_session")
    assert agent.run("x = 20\nprint('y' * 50_000)\nx + 22").endswith("42")
    if fault is not None:
        output = agent.run(fault)
        assert "started anew" in output or "was interrupted" in output, output
        assert agent.run("6 * 7").endswith("42")
    agent.post("/run_shell", command="echo done")
    agent.post("/close_session")


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
    started = time.monotonic()
    with served(arguments.environment, cell_seconds=2) as environment, ThreadPoolExecutor(arguments.at_once) as pool:
        episode(environment, None)
        processes = environment.descendants()  # the fork server
        list(pool.map(lambda fault: episode(environment, fault), faults[:50]))
        rss, descriptors = environment.rss_mb(), environment.descriptors()
        print(f"after 50 episodes: {rss:.0f} MB, {descriptors} descriptors", flush=True)
        list(pool.map(lambda fault: episode(environment, fault), faults[50:]))
        time.sleep(2)
        left = environment.descendants() - processes, environment.folders(), environment.descriptors() - descriptors
        grown = environment.rss_mb() / rss - 1
    seconds = time.monotonic() - started
    print(
        f"after {arguments.episodes} episodes, {sum(map(bool, faults))} with a fault, {seconds:.0f} s: "
        f"memory {grown:+.1%}; left over: {left[0]} processes, {left[1]} folders, {left[2]} descriptors"
    )
    sys.exit(left[0] > 0 or left[1] > 0 or left[2] > 0 or grown > 0.1)


if __name__ == "__main__":
    main()
