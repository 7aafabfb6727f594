# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit audit`: does the reward pay for the task, and for nothing else?

    gymkit audit                              on a server that it starts, over all rows in data/
    gymkit audit --cheats 20                  the player on all rows, the players that should earn nothing on 20
    gymkit audit --row example:0 --only silent    one row, by one player, shown step by step
    gymkit audit --mutants                    which changes of domain and grader does no test notice?

The player has to earn on every row what it says. Others (silent ones, guessing ones, cheats, those of tests/cheats.py)
must earn nothing, and no sample may be masked. A task may declare `passive_reward`, what it pays to who does nothing,
and `chance`, what it pays a guess in the mean. docs/gaming.md says which attack is tried by what.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import nullcontext

from rich.console import Console
from rich.markup import escape

from gymkit import project
from gymkit.audit import cheats, leaks, mutants
from gymkit.audit.checks import Check, World, checks_of
from gymkit.audit.episode import Connections, Moves
from gymkit.audit.report import Report
from gymkit.audit.rows import Case, cases
from gymkit.audit.run import Audit, BrokenOff
from gymkit.client import EnvironmentClient, started_environment, tools_of
from gymkit.errors import CommandError
from gymkit.items import text_of
from gymkit.players import Player
from gymkit.rows import Row

AT_ONCE = 4

Plays = dict[str, Callable[[Row], Moves]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="of a running server (default: one is started)")
    parser.add_argument("--rows", type=_at_least_one, help="only the first rows (default: all)")
    parser.add_argument("--cheats", type=_at_least_one, metavar="ROWS", help="only the first rows, but for the player")
    parser.add_argument(
        "--row", metavar="ROW", help="this row alone: its split and number, as example:0, or its task_id"
    )
    parser.add_argument("--only", metavar="CHECK", help="this check alone, by its name in the table")
    parser.add_argument("--concurrency", type=_at_least_one, default=AT_ONCE, help=f"rows at once (default: {AT_ONCE})")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")
    parser.add_argument("--wait", type=float, default=300, help="seconds to wait for a Space that sleeps")
    parser.add_argument("--mutants", action="store_true", help="try the tests instead, by changes of what they test")
    parser.add_argument("--count", type=_at_least_one, default=100, help="with --mutants: so many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="with --mutants: draws them (default: 0)")


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def run(options: argparse.Namespace, load_player: Callable[[], Player], load_cheats: Callable[[], Plays]) -> int:
    """Audit the environment, or its tests; the exit status.

    Args:
        options: As `add_arguments` has them.
        load_player: Loads the environment's player.
        load_cheats: Loads the functions of tests/cheats.py, by name.

    Raises:
        CommandError: it cannot begin.
    """
    if options.mutants:
        return mutants.run(options)
    return _audit(options, load_player(), load_cheats())


def _audit(options: argparse.Namespace, player: Player, plays: Plays) -> int:
    chosen = _chosen(checks_of([*cheats.CHEATS, *cheats.of_environment(plays)]), options.only)
    rows = cases(options.row, options.rows)
    console = Console(highlight=False, stderr=options.json)
    given = nullcontext(options.url.rstrip("/")) if options.url else None
    with given or started_environment() as url:
        tools = tools_of(url, options.wait)
        everything = cases()
        seen = leaks.Leaks([case.row for case in everything], leaks.pages_of(EnvironmentClient(url)))
        world = World(Connections(url, options.concurrency), tools, player, *project.reward_range(), everything, seen)
        report = Report(project.environment_name(), url, [])
        audit = Audit(world, chosen, rows, options.cheats, report, f" --url {url}" if options.url else "")
        if options.row and options.only:
            _show(chosen, world, rows[0], console)
        status = _run(audit, options.concurrency, console)
    if options.json:
        print(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
    else:
        report.show(console)
    return status or (0 if report.passed else 1)


def _run(audit: Audit, concurrency: int, console: Console) -> int:
    """Run it to its end, or as far as it goes; the exit status of an audit that was broken off, else 0."""
    try:
        audit.run(concurrency, console)
    except BrokenOff as reason:
        audit.report.broken_off = str(reason)
        return 1
    except KeyboardInterrupt:
        audit.report.broken_off = "Interrupted: this is what had been seen until then."
        return 130
    return 0


def _chosen(checks: list[Check], only: str | None) -> list[Check]:
    if only is None:
        return checks
    found = [check for check in checks if only in (check.name, *check.lines)]
    if not found:
        raise CommandError(f"no check is called {only!r}. They are: {', '.join(check.name for check in checks)}.")
    return found


def _show(checks: list[Check], world: World, case: Case, console: Console) -> None:
    """Print what a check says, calls and is answered on a row."""
    for item in checks[0].run(world, case).items:
        if item["type"] == "function_call":
            console.print(f"[cyan]{item['name']}[/cyan] {escape(item['arguments'][:2000])}")
        elif item["type"] == "function_call_output":
            console.print(f"[green]{escape(str(item['output'])[:2000])}[/green]")
        elif item["type"] == "message":
            console.print(f"{item['role']}: {escape(text_of(item)[:2000])}")
        else:
            console.print(f"[dim]{escape(json.dumps(item, ensure_ascii=False)[:2000])}[/dim]")
