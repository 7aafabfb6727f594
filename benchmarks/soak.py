"""Many episodes with every fault mixed in: does the server keep its sessions, its memory and its word?

    uv run python benchmarks/soak.py ENVIRONMENT [--episodes 20000] [--quick]

ENVIRONMENT is a generated folder with its .venv; a copy of it is served, with tools in it that hang, raise and flood.
Its own policy.py plays, and in some episodes tries to steer its grade. The server is stopped by SIGTERM and SIGKILL and
started anew in the middle; its log lies on a disk that is full or fills up; its wall clock is stepped. Prints how the
episodes of each kind ended, and a list of checks. Exits with 1 where one fails. About five minutes on two cores;
`--quick` takes one.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from http_agent import Agent, ConnectionBroke, verify_body
from served import copied, descendants, free_port
from soak_episodes import LOST, MASKED, RIGHT, WRONG, Book, Episode, Kind, Plan, Wrong, plain, schedule

HOUR, DAY = 3600, 86400
EPOCH = 1_000_000_000
"""The modification time of the file that stands for the server's clock, where that is right (faulty_tools.py)."""
CLOCK_STEPS = (2 * DAY, -3 * DAY, HOUR, -HOUR, 0, 400 * DAY)
LOG_FILE, LOG_FULL, LOG_FILLS = "to a file", "disk full", "disk fills up"
EXIT_SECONDS = 15
KEEP_ALIVE_SECONDS = 30
"""After so long without a request NeMo Gym 0.7's server closes a connection."""


@dataclass(frozen=True)
class Life:
    """How one of the server's processes lives, one after the other, and by which signal it ends."""

    share: float
    log: str
    steps_clock: bool
    keeps_secret: bool
    end: signal.Signals


LIVES = (
    Life(0.10, LOG_FILE, False, True, signal.SIGKILL),
    Life(0.10, LOG_FULL, False, True, signal.SIGTERM),
    Life(0.10, LOG_FILE, True, False, signal.SIGKILL),
    Life(0.10, LOG_FILLS, False, True, signal.SIGTERM),
    Life(0.60, LOG_FULL, True, True, signal.SIGTERM),
)


@dataclass
class Process:
    """A running server."""

    popen: "subprocess.Popen[bytes]"
    log: Path
    family: set[int] = field(default_factory=set)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Soak:
    """The run: the server's lives on one side, the episodes on the other."""

    def __init__(self, environment: Path, scratch: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.copy, self.scratch = scratch / "copy", scratch
        self.port = free_port()
        # Nobody waits for a place: else those who wait get, one after the other, the places of others who are idle, and
        # none is ever refused.
        settings = {"tool_seconds": options.tool_seconds, "idle_seconds": options.idle_seconds, "wait_seconds": 0}
        copied(environment, self.copy, max_sessions=options.concurrency * 8, **settings)
        add_faulty_tools(self.copy)
        self.clock = scratch / "clock"
        self.clock.touch()
        self.book = Book()
        self.lives = LIVES
        self.life = -1
        self.up = asyncio.Event()
        self.process: Process | None = None
        self.plans: list[Plan] = []
        self.done = 0
        self.crossed_lives = 0
        self.exits: list[str] = []
        self.leftovers: set[int] = set()
        self.samples: list[tuple[int, float]] = []
        self.log_failures = 0

    # ------------------------------------------------------------------------------------------ the server's side

    async def start(self, life: Life) -> None:
        """Start a server and wait until it answers."""
        environ = os.environ | {"PORT": str(self.port), "TMPDIR": str(self.scratch), "PYTHONUNBUFFERED": "1"}
        if life.keeps_secret:
            environ["ENV_SESSION_SECRET"] = "the same after a restart"
        if life.steps_clock:
            self.set_clock(0)
            environ["SOAK_CLOCK"] = str(self.clock)
        log = Path("/dev/full") if life.log == LOG_FULL else self.scratch / f"log{self.life + 1}"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [str(self.copy / ".venv/bin/python"), "server.py"],
                cwd=self.copy,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.process = Process(popen, log)
        deadline = time.monotonic() + 60
        while True:
            try:
                await Agent(self.port, Counter(), 5).post("/close_session")
                break
            except (ConnectionBroke, TimeoutError):
                if popen.poll() is not None or time.monotonic() > deadline:
                    said = log.read_text()[-2000:] if log.is_file() else ""
                    raise Wrong(f"server.py did not start (log: {life.log}), status {popen.poll()}\n{said}") from None
                await asyncio.sleep(0.05)
        self.life += 1
        self.up.set()
        print(f"server {self.life + 1} runs; log: {life.log}, {self.done} episodes so far", file=sys.stderr, flush=True)

    async def stop(self, life: Life) -> None:
        """End the server as its life ends: with calls running, one of them in a thread that never returns."""
        assert self.process is not None
        busy: list[asyncio.Task[Any]] = []
        if life.end is signal.SIGTERM:
            for tool in ("hang", "hang_in_thread"):
                agent = Agent(self.port, Counter())
                await agent.post("/seed_session", self.plans[0].row | {"row_key": "of no episode"})
                busy.append(asyncio.create_task(agent.post(f"/{tool}", {"seconds": 3600})))
            await asyncio.sleep(self.options.tool_seconds / 10)
        family = descendants(self.process.pid)
        self.up.clear()
        started = time.monotonic()
        self.process.popen.send_signal(life.end)
        while self.process.popen.poll() is None and time.monotonic() - started < EXIT_SECONDS:
            await asyncio.sleep(0.05)
        if self.process.popen.poll() is None:
            self.exits.append(f"{life.end.name}: still running after {EXIT_SECONDS} s")
            self.leftovers.add(self.process.pid)
            self.process.popen.kill()
            self.process.popen.wait()
        elif self.process.popen.returncode not in (0, -life.end):
            self.exits.append(f"{life.end.name}: exit status {self.process.popen.returncode}")
        await asyncio.gather(*busy, return_exceptions=True)
        while (left := {pid for pid in family if alive(pid)}) and time.monotonic() - started < EXIT_SECONDS:
            await asyncio.sleep(0.1)
        self.leftovers |= left

    def set_clock(self, step: int) -> None:
        """Set the server's wall clock so many seconds before or after the real one."""
        os.utime(self.clock, (EPOCH + step, EPOCH + step))

    async def step_clock(self) -> None:
        """Step the server's wall clock, once in a while."""
        while True:
            for step in CLOCK_STEPS:
                self.set_clock(step)
                await asyncio.sleep(1.5)

    def fill_disk(self, process: Process) -> None:
        """From now on the server's log cannot grow."""
        size = process.log.stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))

    # --------------------------------------------------------------------------------------------- the episodes' side

    async def make_plans(self) -> None:
        """Play some rows without faults, each twice; half of them are given up early."""
        sys.path.insert(0, str(self.copy))
        from policy import play

        rows = [json.loads(line) for line in (self.copy / "data/train.jsonl").read_text("utf-8").splitlines()]
        for number, row in enumerate(rows[: self.options.rows]):
            first = await self._play(row, play, 1 if number % 2 else None)
            second = await self._play(row, play, 1 if number % 2 else None)
            if [move[:2] for move in first.moves] != [
                move[:2] for move in second.moves
            ] or first.fields != second.fields:
                raise Wrong(f"two plays of {row['task_id']} differ: is policy.py deterministic?")
            moves = [
                (name, arguments, output if output == other else None)
                for (name, arguments, output), (_, _, other) in zip(first.moves, second.moves, strict=True)
            ]
            self.plans.append(Plan(row, moves, first.fields, first.transcript, first.transcript_fields))
        rewards = {plan.fields["reward"] for plan in self.plans}
        if len(rewards) < 2 or any(plan.fields["mask_sample"] for plan in self.plans):
            raise Wrong(f"the rewards of faultless plays are {rewards}: no way to tell right from wrong")

    async def _play(self, row: dict[str, Any], play: Any, most: int | None) -> Plan:
        agent, moves, items = Agent(self.port, self.book.statuses), [], []
        await agent.post("/seed_session", row)
        generator = play(row)
        call = next(generator)
        while call is not None and (most is None or len(moves) < most):
            name, arguments = call
            answer = await agent.post(f"/{name}", arguments)
            moves.append((name, arguments, answer.output))
            number = f"c{len(moves)}"
            items.append({"type": "function_call", "call_id": number, "name": name, "arguments": json.dumps(arguments)})
            items.append({"type": "function_call_output", "call_id": number, "output": answer.body.decode()})
            try:
                call = generator.send(answer.output)
            except StopIteration:
                call = None
        body = verify_body(row, items)
        fields = (await agent.post("/verify", body)).json()
        agent.cookie = None
        without = (await agent.post("/verify", body)).json()
        agent.hang_up()

        def added(answer: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in answer.items() if key not in body}

        return Plan(row, moves, added(fields), items, added(without))

    async def episode(self, kind: Kind) -> None:
        """Play one episode to its end, over a restart if need be, and book how it ended."""
        outcome = WRONG
        try:
            outcome = await self._episode(kind)
        except Wrong as wrong:
            self.book.failures.append(f"{kind.__name__}: {wrong}")
        except TimeoutError:
            self.book.failures.append(f"{kind.__name__}: no answer in time")
        except Exception as error:
            self.book.failures.append(f"{kind.__name__}: {error!r}")
        self.book.outcomes[kind.__name__, outcome] += 1
        self.done += 1

    async def _episode(self, kind: Kind) -> str:
        while True:
            await self.up.wait()
            life = self.life
            episode = Episode(self.port, life, random.choice(self.plans), self.book, self.options.tool_seconds)
            cookie = None
            try:
                return await kind(episode)
            except ConnectionBroke as broke:
                cookie = episode.agent.cookie
                if self.up.is_set() and self.life == life:
                    raise Wrong(f"the connection broke while the server ran: {broke}") from None
            finally:
                episode.agent.hang_up()
            if cookie is None:
                continue  # Its session had not begun: it begins with the next server.
            return await self._lost(episode)

    async def _lost(self, episode: Episode) -> str:
        """The server of this episode was stopped. The next one must not know its session, and must say so."""
        while True:
            await self.up.wait()
            life = self.life
            try:
                await episode.masked("session_lost")
                return LOST
            except ConnectionBroke:
                if self.up.is_set() and self.life == life:
                    raise Wrong("the connection broke while the server ran") from None
            finally:
                episode.agent.hang_up()

    # ------------------------------------------------------------------------------------------------------ the run

    async def run(self) -> bool:
        """All lives, one after the other; whether all checks hold."""
        options = self.options
        kinds = iter(schedule(self.options.episodes, random.Random(7)))
        started, cpu = time.monotonic(), time.process_time()
        deadline = started + options.seconds
        total, begun = 0, 0
        held: dict[str, dict[str, int]] = {}

        async def worker() -> None:
            nonlocal begun
            while time.monotonic() < deadline:
                # Those that are begun in this life; an episode that a restart interrupts ends in the next one.
                if begun == self.options.episodes:
                    return
                if begun == total:
                    await asyncio.sleep(0.01)
                    continue
                begun += 1
                await self.episode(next(kinds))

        workers: list[asyncio.Task[None]] = []
        for number, life in enumerate(self.lives):
            last = number == len(self.lives) - 1
            await self.start(life)
            assert self.process is not None
            steps = asyncio.create_task(self.step_clock()) if life.steps_clock else None
            if not self.plans:
                await self.make_plans()
            if last:
                held["at first"] = await self.held()
            before = self.done
            share = self.options.episodes - self.done if last else round(life.share * self.options.episodes)
            total = self.options.episodes if last else total + share
            if not workers:
                workers = [asyncio.create_task(worker()) for _ in range(self.options.concurrency)]
            halfway = False
            while self.done < (self.options.episodes if last else total - self.options.concurrency // 2):
                await asyncio.sleep(0.02)
                if all(task.done() for task in workers) or time.monotonic() > deadline:
                    break
                if self.process.popen.poll() is not None:
                    raise Wrong(f"the server has ended by itself, status {self.process.popen.returncode}")
                if not halfway and self.done - before > share / 2:
                    halfway = True
                    if life.log == LOG_FILLS:
                        self.fill_disk(self.process)
                if last and self.done - before >= share * (len(self.samples) + 1) / 4:
                    self.samples.append((self.done - before, self.process.rss_mb()))
            if last:
                await asyncio.gather(*workers)
                played = time.monotonic() - started
                self.samples.append((self.done - before, self.process.rss_mb()))
                held["at last"] = await self.settled(held["at first"])
            if steps is not None:
                steps.cancel()
            await self.stop(life)
        print(
            f"{self.done} episodes in {played:.0f} s, {options.concurrency} at once, {len(self.lives)} servers; "
            f"load average {os.getloadavg()[0]:.1f}; this client's CPU {time.process_time() - cpu:.0f} s"
        )
        return self.report(held)

    async def settled(self, first: dict[str, int]) -> dict[str, int]:
        """What the server holds when those who never came back have ended.

        That takes the idle limit; and the server keeps what belongs to an idle connection until it closes that.
        """
        deadline = time.monotonic() + self.options.idle_seconds * 1.25 + KEEP_ALIVE_SECONDS + 5
        while True:
            held = await self.held()
            names = ("open sessions", "sessions in memory", "descriptors", "tasks", "processes")
            if all(held[name] <= first[name] for name in names) or time.monotonic() > deadline:
                return held
            await asyncio.sleep(1)

    async def held(self) -> dict[str, int]:
        """What the server's process holds."""
        assert self.process is not None
        agent = Agent(self.port, Counter())
        await agent.post("/seed_session", self.plans[0].row | {"row_key": "of no episode"})
        answer = await agent.post("/state")
        if not answer.output.startswith("{"):
            raise Wrong(f"the tool state said {answer.output[:200]!r}")
        state = json.loads(answer.output)
        await agent.post("/close_session")
        agent.hang_up()
        await asyncio.sleep(0.5)
        return state | {"descriptors": self.process.descriptors(), "processes": len(descendants(self.process.pid))}

    def report(self, held: dict[str, dict[str, int]]) -> bool:
        """Print the tables; whether all checks hold."""
        book, options = self.book, self.options
        endings = (RIGHT, MASKED, LOST, WRONG)
        print(f"\n{'kind of episode':<28}{'episodes':>10}" + "".join(f"{ending:>19}" for ending in endings))
        for kind in sorted({kind for kind, _ in book.outcomes}, key=lambda kind: (kind != plain.__name__, kind)):
            counts = [book.outcomes[kind, ending] for ending in endings]
            print(f"{kind.replace('_', ' '):<28}{sum(counts):>10}" + "".join(f"{count or '':>19}" for count in counts))
        sums = [sum(count for (_, ending), count in book.outcomes.items() if ending == each) for each in endings]
        print(f"{'all':<28}{sum(sums):>10}" + "".join(f"{count:>19}" for count in sums))

        first, last = held["at first"], held["at last"]
        print(f"\n{'the last server holds':<28}{'at first':>10}{'at last':>10}")
        for name in first:
            print(f"{name:<28}{first[name]:>10}{last[name]:>10}")
        grown = self.samples[-1][1] / self.samples[len(self.samples) // 2 - 1][1] - 1
        print("memory after so many of its episodes: " + ", ".join(f"{n}: {mb:.0f} MB" for n, mb in self.samples))
        print("answers by status: " + ", ".join(f"{status}: {n}" for status, n in sorted(book.statuses.items())))
        for failure, count in Counter(re.sub(r"[0-9a-f]{8,}", "#", text) for text in book.failures).most_common(10):
            print(f"  {count} x {failure[:300]}")

        crossed = sum("crossed" in failure for failure in book.failures)
        errors = sum(count for status, count in book.statuses.items() if status >= 500 and status != 503)
        steps = max(book.wall_offsets, default=0) - min(book.wall_offsets, default=0)
        cancelled = statistics.median(book.cancelled_after) if book.cancelled_after else float("inf")
        attacks = f"in {book.control_calls} control calls"
        checks = {
            f"rewards above merit: {book.above_merit} {attacks}": book.above_merit == 0 < book.control_calls,
            f"masked by the policy: {book.masked_by_policy} {attacks}": book.masked_by_policy == 0,
            f"all {options.episodes} episodes played and accounted for": self.done == sum(sums) == options.episodes,
            "every reward, output and masked sample as it must be": not book.failures and sums[3] == 0,
            f"status 500 or the like: {errors}": errors == 0,
            f"crossed sessions: {crossed}": crossed == 0,
            f"episodes lost to a restart, all of them masked: {sums[2]}": sums[2] > 0,
            f"seeds refused for want of room, with Retry-After: {book.refused_seeds}": book.refused_seeds > 0,
            f"a call that nobody waits for is cancelled after {cancelled:.2f} s (limit of a tool: "
            f"{options.tool_seconds:g} s)": cancelled < options.tool_seconds * 0.6,
            f"sessions left over: {last['open sessions'] - first['open sessions']} open, "
            f"{last['sessions in memory'] - first['sessions in memory']} in memory": last["open sessions"]
            <= first["open sessions"]
            and last["sessions in memory"] <= first["sessions in memory"],
            f"tasks left over: {last['tasks'] - first['tasks']}": last["tasks"] <= first["tasks"],
            f"descriptors left over: {last['descriptors'] - first['descriptors']}": last["descriptors"]
            <= first["descriptors"],
            f"processes left over: {len(self.leftovers)} of stopped servers, "
            f"{last['processes'] - first['processes']} of the last": not self.leftovers
            and last["processes"] <= first["processes"],
            f"every server ended when it was told to {self.exits or ''}": not self.exits,
            f"memory {grown:+.1%} from half of the last server's episodes to their end": grown <= 0.1,
        }
        checks[f"the wall clock was stepped by {steps / DAY:.0f} days"] = steps > DAY
        print()
        for name, holds in checks.items():
            print(f"{'pass' if holds else 'FAIL'}  {name}")
        return all(checks.values())


def add_faulty_tools(copy: Path) -> None:
    """Put the tools of faulty_tools.py into the server.py of a copy."""
    (copy / "faulty_tools.py").write_bytes(Path(__file__).with_name("faulty_tools.py").read_bytes())
    server = copy / "server.py"
    text = server.read_text(encoding="utf-8")
    changed = re.sub(
        r"^(class \w+)\(EnvironmentServer\):", r"\1(FaultyTools, EnvironmentServer):", text, flags=re.MULTILINE
    )
    changed = changed.replace("from gymkit.fixture", "from faulty_tools import FaultyTools\nfrom gymkit.fixture", 1)
    if changed.count("FaultyTools") != 2:
        raise Wrong("server.py has no class to put the faulty tools into")
    server.write_text(changed, encoding="utf-8")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="1,000 episodes")
    parser.add_argument("--seconds", type=float, default=900, help="no episode begins later than that")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rows", type=int, default=24, help="so many different tasks")
    parser.add_argument("--tool-seconds", type=float, default=1, help="time limit of a tool")
    parser.add_argument("--idle-seconds", type=float, default=10, help="idle time limit of a session")
    options = parser.parse_args()
    if options.quick:
        options.episodes = 1000
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        soak = Soak(options.environment, Path(scratch), options)
        try:
            holds = asyncio.run(soak.run())
        except Wrong as wrong:
            sys.exit(f"FAIL  {wrong}")
        finally:
            if soak.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    soak.process.popen.kill()
    sys.exit(not holds)


if __name__ == "__main__":
    main()
