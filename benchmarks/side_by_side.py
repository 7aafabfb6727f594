"""A generated server beside the seed's way, NeMo Gym's own example, and a bare FastAPI app, on each NeMo Gym line.

    uv run --group benchmarks python benchmarks/side_by_side.py [--quick] [--environments FOLDER] [--page | --no-page]

Measures calls per second and latency over the number of sessions, with a tool that answers at once and with one that
blocks; a full server; memory over episodes. Prints tables and writes them, with the picture, into docs/performance.md;
`--quick` only prints, unless with `--page`. The load comes from wrk. NEMO_GYM_LINES=0.4 leaves 0.7 out.
"""

import argparse
import math
import shlex
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from contenders import BARE, SEED_WAY, contenders, environments
from generated import ARCHETYPES, LINES
from load import Load, require_wrk
from measures import FLOOD_CALLERS, FULL, PAUSE, QUICK, Effort, FullServer, Rates, full_server, memory, rates, say
from picture import draw, require_matplotlib
from report import ROOT, load_average, machine, milliseconds, spread, table, times, versions, write

PACKAGES = ("nemo-gym", "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic")


def speed_table(loads: Mapping[str, list[Load]]) -> str:
    """Calls per second and latency, and how they compare within each round."""

    def ratio(name: str, to: str, of: str) -> str:
        pairs = zip(loads[name], loads[to], strict=True)
        return spread([getattr(one, of) / (getattr(other, of) or math.nan) for one, other in pairs], times)

    head = ["server", "calls/s", "of bare", "of the seed's way", "p50, ms", "p99, ms", "p99 of bare's"]
    rows = [
        [
            name,
            spread([load.calls for load in own]),
            ratio(name, BARE, "calls"),
            ratio(name, SEED_WAY, "calls"),
            milliseconds(median(load.p50 for load in own)),
            spread([load.p99 for load in own], milliseconds),
            ratio(name, BARE, "p99"),
        ]
        for name, own in loads.items()
    ]
    return table(head, rows)


def levels_table(found: Rates) -> str:
    """Median calls per second and p99 over the number of sessions."""
    names = list(next(iter(found.at_once.values())))
    rows = []
    for name in names:
        rounds = [loads[name] for loads in found.at_once.values() if name in loads]
        calls = [median(load.calls for load in loads) for loads in rounds]
        p99 = [median(load.p99 for load in loads) for loads in rounds]
        rows.append([name, *(f"{most:,.0f} / {milliseconds(late)}" for most, late in zip(calls, p99, strict=True))])
    return table(["calls/s / p99 in ms, at", *[f"{level:,}" for level in found.at_once]], rows)


def full_table(found: FullServer) -> str:
    rows = []
    for pause in sorted(found.alone, reverse=True):
        sessions = f"64 sessions, {pause * 1000:g} ms between calls" if pause else "64 sessions without a pause"
        for name, loads in (
            (f"{sessions}: alone", found.alone[pause]),
            ("meanwhile", found.meanwhile[pause]),
            ("refused seeds: 503, Retry-After", found.refused[pause]),
        ):
            calls = spread([load.calls for load in loads])
            p50 = spread([load.p50 for load in loads], milliseconds)
            rows.append([name, calls, p50, spread([load.p99 for load in loads], milliseconds)])
    return table([f"{found.sessions:,} sessions open", "calls/s", "p50, ms", "p99, ms"], rows)


def open_table(found: FullServer) -> str:
    rows = [
        [
            f"Python's {name}" if name == "pymalloc" else f"PYTHONMALLOC={name}",
            f"{memory.opened * 2**20 / found.sessions:,.0f}",
            *(f"{megabytes:+.1f} MB" for megabytes in (memory.opened, memory.ended, memory.again)),
        ]
        for name, memory in found.memory.items()
    ]
    head = [f"{found.sessions:,} sessions", "bytes each", "open", "ended", "as many others open"]
    return table(head, rows)


def memory_table(found: Mapping[str, list[tuple[int, float]]]) -> str:
    rows = []
    for name, points in found.items():
        held = dict(points)
        last = max(held)
        first = min(held, key=lambda episodes: abs(episodes - min(5_000, last / 2)))
        change = f"{held[last] / held[first] - 1:+.1%}"
        rows.append([name, f"{held[first]:,.1f} MB at {first:,}", f"{held[last]:,.1f} MB at {last:,}", change])
    return table(["server", "memory after episodes", "and at the end", "change"], rows)


def section(line: str, python: Path, effort: Effort, found: Rates, full: FullServer, held: Mapping) -> str:
    generator = max(load.generator for level in found.at_once.values() for own in level.values() for load in own)
    return "\n".join(
        [
            f"## NeMo Gym {line}\n",
            f"{versions(python, *PACKAGES)}. Turns of {effort.seconds} s and longer; medians with their "
            f"range, ratios taken within a round. wrk took at most {generator:.0%} of a core.\n",
            f"A tool that answers at once, 64 sessions ({effort.rounds} rounds, {effort.other_rounds} of all that "
            "follows):\n",
            speed_table(found.at_once[64]),
            "A tool that blocks for 100 ms, 64 sessions (640 calls/s can be had at most; a plain `def` in the bare app "
            "runs in one of FastAPI's own 40 threads, the seed's tools are coroutines):\n",
            speed_table(found.blocking),
            "A tool that answers at once, over sessions at once, of which each calls again as soon as it is answered. "
            "(uvloop accepts one connection at a turn of its loop: where hundreds begin together on a busy server, "
            "some wait for seconds until they are let in.)\n",
            levels_table(found),
            f"A full server, with {FLOOD_CALLERS} callers who want a session, each again after {PAUSE * 1000:g} ms or "
            "so, and are refused:\n",
            full_table(full),
            "Memory of the server's process with its sessions, above that of its beginning. Python's own allocator "
            "keeps the pages of ended sessions for the next ones; mimalloc, which Python 3.13 brings along, gives them "
            "back:\n",
            open_table(full),
            "Memory of the server's process; an episode is a seed, one call and a verdict:\n",
            memory_table(held),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look; nothing is written")
    parser.add_argument("--environments", type=Path, help="generated environments, as ARCHETYPE-LINE; made if missing")
    parser.add_argument("--archetypes", nargs="+", default=ARCHETYPES, choices=ARCHETYPES)
    parser.add_argument(
        "--page",
        action=argparse.BooleanOptionalAction,
        help="write docs/performance.md and its picture, or not; without it, all but --quick does",
    )
    arguments = parser.parse_args()
    write_page = not arguments.quick if arguments.page is None else arguments.page
    require_wrk()
    if write_page:
        require_matplotlib()
    effort = QUICK if arguments.quick else FULL
    started, before = time.monotonic(), load_average()
    sections, drawn = [], {}
    with ExitStack() as stack:
        folder = arguments.environments or Path(stack.enter_context(TemporaryDirectory(prefix="environments-")))
        for line in sorted(LINES, reverse=True):
            paths = environments(line, arguments.archetypes, folder)
            servers = contenders(paths)
            say(f"NeMo Gym {line}")
            found = rates(servers, effort)
            full = full_server(servers[0], effort)
            held = memory([server for server in servers if not server.generated or server is servers[0]], effort)
            sections.append(section(line, servers[0].environment / ".venv/bin/python", effort, found, full, held))
            drawn[line] = (found, held)
    minutes = (time.monotonic() - started) / 60
    options = ["--quick"] * arguments.quick
    if arguments.archetypes != ARCHETYPES:
        options += ["--archetypes", *arguments.archetypes]
    command = shlex.join(["benchmarks/side_by_side.py", *options])
    short = " (few rounds, of two seconds)" if arguments.quick else ""
    loads = f"the load average was {before} before it and {load_average()} at its end"
    text = (
        f"Measured on {date.today()} in {minutes:.0f} minutes by `python {command}`{short}, on {machine()}; {loads} "
        "(the servers and wrk account for up to 2).\n\n" + "\n".join(sections)
    )
    print(text)
    if write_page:
        draw(drawn, ROOT / "docs" / "performance.svg")
        write("side by side", f"![Calls per second, latency and memory](performance.svg)\n\n{text}")


if __name__ == "__main__":
    main()
