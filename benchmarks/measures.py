"""What is measured of the servers of one NeMo Gym line. Rounds are interleaved: what disturbs one server meets all."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from contenders import ECHO, Contender, all_served
from load import Call, Load, RunningLoad, close_sessions, load, open_sessions, play_episodes

FLOOD_CALLERS = 64
"""Callers that a full server refuses, each again and again."""
PAUSE = 0.1
"""The mean pause of each of them, in seconds, and of a session that a model thinks for."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    """Of the tool that answers at once, with 64 sessions,"""
    other_rounds: int
    """and of all else."""
    seconds: int
    """Of one server's turn in a round; twice as long with more than 64 sessions."""
    levels: Sequence[int]
    """Sessions at once."""
    episodes: Sequence[int]
    """Where memory is looked at. The servers that keep all sessions are stopped after `kept_episodes`."""
    kept_episodes: int
    open_sessions: int


FULL = Effort(5, 3, 4, (1, 8, 64, 512, 2048), (1_000, 2_500, 5_000, 10_000, 20_000, 35_000, 50_000), 10_000, 10_000)
QUICK = Effort(2, 1, 2, (1, 64, 512), (500, 1_000, 2_500), 1_000, 1_000)


@dataclass
class Rates:
    """The rounds of each server (by name), and of each number of sessions."""

    at_once: dict[int, dict[str, list[Load]]] = field(default_factory=dict)
    blocking: dict[str, list[Load]] = field(default_factory=dict)


@dataclass
class FullServer:
    """A server with as many open sessions as it takes, and callers that want more."""

    sessions: int
    memory: dict[str, "OpenSessions"]
    """By the allocator of the server's Python: its own, and mimalloc where that Python has it."""
    alone: dict[float, list[Load]] = field(default_factory=dict)
    """64 of the sessions, by the mean pause of each between two calls, in seconds,"""
    meanwhile: dict[float, list[Load]] = field(default_factory=dict)
    """the same while others are refused,"""
    refused: dict[float, list[Load]] = field(default_factory=dict)
    """and those others."""


@dataclass(frozen=True)
class OpenSessions:
    """Memory of a server above that of its beginning, in MB."""

    opened: float
    """With all sessions open,"""
    ended: float
    """when all of them have ended,"""
    again: float
    """and with as many others open."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def rates(servers: list[Contender], effort: Effort) -> Rates:
    """Calls per second and latencies of tools that answer at once, and of tools that block for 100 ms."""
    found = Rates()
    # Of the generated ones, which share their way through gymkit, only the first goes through all levels.
    main = [server for server in servers if not server.generated or server is servers[0]]
    most = max(effort.levels) + 1
    with all_served(servers, max_sessions=most) as running:
        cookies = {
            server.name: open_sessions(running[server.name].url, [server.seed], most if server in main else 65)
            for server in servers
        }

        def turn(server: Contender, call: Call, sessions: int, seconds: int) -> Load:
            measured = load(running[server.name].url, call, cookies[server.name], sessions, seconds)
            say(
                f"  {server.name:<24} {call.path:<18} {sessions:>5} sessions {measured.calls:>7,.0f} calls/s  "
                f"p50 {measured.p50 * 1000:>8.1f} ms  p99 {measured.p99 * 1000:>8.1f} ms"
            )
            return measured

        for sessions in effort.levels:
            found.at_once[sessions] = {}
            seconds = effort.seconds * (2 if sessions > 64 else 1)
            taking_part = servers if sessions == 64 else main
            for number in range(effort.rounds if sessions == 64 else effort.other_rounds):
                for server in rotated(taking_part, number):
                    measured = turn(server, server.at_once, sessions, seconds)
                    found.at_once[sessions].setdefault(server.name, []).append(measured)
        for number in range(effort.other_rounds):
            for server in rotated(servers, number):
                if server.blocking is not None:
                    # As long as 64 calls of 100 ms take, one after the other, and longer.
                    measured = turn(server, server.blocking, 64, max(8, effort.seconds))
                    found.blocking.setdefault(server.name, []).append(measured)
    return found


def rotated(servers: list[Contender], number: int) -> list[Contender]:
    """Each round begins with another one."""
    number %= len(servers)
    return servers[number:] + servers[:number]


def memory(servers: list[Contender], effort: Effort) -> dict[str, list[tuple[int, float]]]:
    """The memory of each server's process in MB, after so many episodes."""

    def of(server: Contender) -> list[tuple[int, float]]:
        found, played = [], 0
        with server.serve() as running:
            for episodes in effort.episodes:
                if not server.generated and "bare" not in server.script.name and episodes > effort.kept_episodes:
                    break
                played += play_episodes(running.url, server.episode(), episodes - played)
                found.append((played, running.rss_mb()))
                say(f"  {server.name:<24} {played:>7,} episodes {found[-1][1]:>8.1f} MB")
        return found

    with ThreadPoolExecutor(2) as pool:
        return dict(zip([server.name for server in servers], pool.map(of, servers), strict=True))


def full_server(server: Contender, effort: Effort) -> FullServer:
    """Fill a generated server up to its cap, and refuse more callers while those inside go on."""
    count = effort.open_sessions
    found = FullServer(count, {"pymalloc": open_sessions_memory(server, count)})
    if has_mimalloc(server):
        found.memory["mimalloc"] = open_sessions_memory(server, count, PYTHONMALLOC="mimalloc")
    refusal = Call("/seed_session", json.dumps(server.seed), "full", 503, "retry-after")
    with server.serve(max_sessions=count, wait_seconds=0) as running:
        cookies = open_sessions(running.url, [server.seed], count)
        for pause in [PAUSE, 0] * effort.other_rounds:
            inside = (running.url, ECHO, cookies, 64, effort.seconds, pause)
            found.alone.setdefault(pause, []).append(load(*inside))
            flood = RunningLoad(running.url, refusal, [], FLOOD_CALLERS, effort.seconds + 1, PAUSE)
            found.meanwhile.setdefault(pause, []).append(load(*inside))
            found.refused.setdefault(pause, []).append(flood.result())
    return found


def open_sessions_memory(server: Contender, count: int, **environ: str) -> OpenSessions:
    """Open sessions, end them, and open as many others."""
    with server.serve(environ, max_sessions=count) as running:
        # What is made when it is first needed is made.
        play_episodes(running.url, server.episode(), 500)
        begin = running.rss_mb()
        cookies = open_sessions(running.url, [server.seed], count)
        opened = running.rss_mb() - begin
        close_sessions(running.url, cookies)
        ended = running.rss_mb() - begin
        open_sessions(running.url, [server.seed], count)
        again = running.rss_mb() - begin
    say(f"  {count:,} open sessions {environ or ''}: {opened:.1f} MB, ended {ended:.1f} MB, others {again:.1f} MB")
    return OpenSessions(opened, ended, again)


def has_mimalloc(server: Contender) -> bool:
    """Whether the server's Python (3.13 and later) can take its memory from mimalloc."""
    command = [server.environment / ".venv/bin/python", "-c", ""]
    done = subprocess.run(command, env=os.environ | {"PYTHONMALLOC": "mimalloc"}, capture_output=True)
    return done.returncode == 0
