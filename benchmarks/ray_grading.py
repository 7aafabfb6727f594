"""A grader that keeps a core busy: in the server, on a Ray cluster of one node and of two, and with a worker lost.

    uv run python benchmarks/ray_grading.py ENVIRONMENT [--quick] [--json FILE]

ENVIRONMENT is a generated game called my_env, with its .venv. A copy of it gets examples/ray_grader/ and is served; the
cluster's nodes are processes on this machine with one core each. About two minutes; `--quick` takes one.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from http_agent import Agent, ConnectionBroke, verify_body
from served import copied, descendants, free_port

EXAMPLE = Path(__file__).parents[1] / "examples" / "ray_grader"
GUESSES = ("slate", "crony", "piano")


@contextmanager
def server(environment: Path, ray_address: str, **settings: Any) -> Iterator[int]:
    """The port of a served copy of the environment, with the example's server.py."""
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        copy, port = Path(scratch, "copy"), free_port()
        copied(environment, copy, **settings)
        for file in EXAMPLE.glob("*.py"):
            shutil.copy(file, copy)
        environ = os.environ | {"PORT": str(port), "ENV_RAY_ADDRESS": ray_address, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        with Path(scratch, "log").open("wb") as log:
            process = subprocess.Popen(
                [str(copy / ".venv/bin/python"), "server.py"], cwd=copy, env=environ, stdout=log, stderr=log
            )
        try:
            asyncio.run(answers(port, process, Path(scratch, "log")))
            yield port
        finally:
            process.terminate()
            process.wait(60)


async def answers(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server answers."""
    while True:
        try:
            await Agent(port, Counter()).post("/close_session")
            return
        except ConnectionBroke:
            if process.poll() is not None:
                raise SystemExit(f"server.py did not start\n{log.read_text()[-2000:]}") from None
            await asyncio.sleep(0.1)


@contextmanager
def cluster(python: Path) -> Iterator["subprocess.Popen[str]"]:
    """A cluster of one node; `add_node` makes it two."""
    command = [str(python), str(Path(__file__).with_name("ray_nodes.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the Ray cluster did not start"
    return line


def add_node(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    said(process)


async def seeded(port: int, row: dict[str, Any]) -> Agent:
    """An agent with a game that it has won."""
    agent = Agent(port, Counter(), seconds=300)
    await agent.post("/seed_session", row)
    for word in GUESSES:
        await agent.post("/guess", {"word": word})
    return agent


async def graded(agent: Agent, row: dict[str, Any]) -> dict[str, Any]:
    verdict = (await agent.post("/verify", verify_body(row, []))).json()
    agent.hang_up()
    return {name: verdict.get(name) for name in ("reward", "strength", "mask_sample", "failure_reason")}


@dataclass(frozen=True)
class Grading:
    """Grades that were asked for at once."""

    seconds: float
    longest: float
    """The longest time that another session's call took meanwhile, in seconds."""
    workers: int
    """So many of the cluster's workers were seen at work at once."""
    verdicts: list[dict[str, Any]]


async def grade_many(port: int, count: int, nodes: "subprocess.Popen[str]") -> Grading:
    """Grade so many games at once, while another one is played on."""
    row = {"responses_create_params": {"input": "x"}, "ground_truth": [{"expected_output": GUESSES[-1]}]}
    agents = [await seeded(port, row) for _ in range(count)]
    other = await seeded(port, row)
    longest, at_work = 0.0, 0

    async def plays_on() -> None:
        nonlocal longest, at_work
        while True:
            began = time.monotonic()
            await other.post("/guess", {"word": "slate"})
            longest = max(longest, time.monotonic() - began)
            at_work = max(at_work, len(workers(nodes, "strength")))
            await asyncio.sleep(0.1)

    playing = asyncio.create_task(plays_on())
    started = time.monotonic()
    verdicts = await asyncio.gather(*(graded(agent, row) for agent in agents))
    seconds = time.monotonic() - started
    await asyncio.sleep(0.1)
    playing.cancel()
    other.hang_up()
    return Grading(seconds, longest, at_work, verdicts)


def workers(process: "subprocess.Popen[str]", function: str) -> list[int]:
    """The cluster's workers that run a function just now: Ray names them after it."""
    found = []
    for pid in descendants(process.pid):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"ray::{function}".encode()):
                found.append(pid)
        except OSError:
            continue
    return found


async def grade_with_a_lost_worker(port: int, nodes: "subprocess.Popen[str]", count: int) -> tuple[int, list[Any]]:
    """Grade so many games, and kill a worker in the middle of one; its pid and the verdicts."""
    grading = asyncio.create_task(grade_many(port, count, nodes))
    while not (running := workers(nodes, "strength")):
        assert not grading.done(), "no worker was seen at work"
        await asyncio.sleep(0.02)
    os.kill(running[0], signal.SIGKILL)
    return running[0], (await grading).verdicts


def measure(environment: Path, tasks: int, rounds: int, repeats: int) -> dict[str, Any]:
    """The seconds (median over `repeats`) that `tasks` grades take, each way, and what became of a lost worker."""
    result: dict[str, Any] = {"tasks": tasks, "rounds": rounds, "cores": os.cpu_count()}
    python = environment / ".venv/bin/python"
    with cluster(python) as nodes:
        address = said(nodes)
        with (
            server(environment, "", in_process="true", rounds=rounds) as alone,
            server(environment, address, rounds=rounds) as port,
        ):
            asyncio.run(grade_many(port, 2, nodes))  # The first call connects and starts a worker.
            for name in ("in the server's process", "on one node", "on two nodes"):
                if name == "on two nodes":
                    add_node(nodes)
                    asyncio.run(grade_many(port, 4, nodes))
                target = alone if "process" in name else port
                runs = [asyncio.run(grade_many(target, tasks, nodes)) for _ in range(repeats)]
                result[name] = {
                    "seconds": median(run.seconds for run in runs),
                    "all seconds": [round(run.seconds, 2) for run in runs],
                    "longest other call": max(run.longest for run in runs),
                    "workers": max(run.workers for run in runs),
                    "verdicts": [verdict for run in runs for verdict in run.verdicts],
                }
            pid, verdicts = asyncio.run(grade_with_a_lost_worker(port, nodes, 4))
            result["lost worker"] = {"pid": pid, "verdicts": verdicts}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--tasks", type=int, default=12, help="grades asked for at once")
    parser.add_argument("--rounds", type=int, default=250, help="so many times 4 ms of work in each")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="6 grades, once")
    parser.add_argument("--json", type=Path, help="write what was measured there")
    options = parser.parse_args()
    tasks, repeats = (6, 1) if options.quick else (options.tasks, options.repeats)
    result = measure(options.environment, tasks, options.rounds, repeats)
    print(f"{tasks} grades at once, {repeats} times; {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}\n")
    head = f"{'grader':<26}{'seconds (median)':>18}{'grades/s':>10}{'speed-up':>10}{'workers':>9}"
    print(f"{head}{'longest other call':>20}   all")
    base = result["in the server's process"]["seconds"]
    for name in ("in the server's process", "on one node", "on two nodes"):
        seconds = result[name]["seconds"]
        print(
            f"{name:<26}{seconds:>18.2f}{tasks / seconds:>10.2f}{base / seconds:>10.2f}{result[name]['workers']:>9}"
            f"{result[name]['longest other call'] * 1000:>17.0f} ms   {result[name]['all seconds']}"
        )
    masked = sum(verdict["mask_sample"] for verdict in result["lost worker"]["verdicts"])
    print(f"\na worker killed in its task: {len(result['lost worker']['verdicts'])} verdicts, {masked} of them masked")
    if options.json:
        options.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
