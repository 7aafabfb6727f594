# Part of the template: changes belong there (`copier update` merges this file).
"""The summary in the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from gymkit.terminal import shown

Json = dict[str, Any]

_WIDTH = 30
_MOST = 12
"""So many tasks that went up or down are named, and so many tools."""


def show(view: Json, console: Console) -> None:
    """Print what has been found, as `gymkit view --json` has it."""
    for run in view["runs"]:
        _show_run(run, console)
    for comparison in view["comparisons"]:
        _show_comparison(comparison, console)
    for curve in view["curves"]:
        first, last = curve["points"][0], curve["points"][-1]
        console.print(f"[bold]{shown(curve['file'])}[/bold]: {len(curve['points'])} points of a training run")
        console.print(
            f"  reward {first['reward']:.3f} at step {first['step']:g}, {last['reward']:.3f} at {last['step']:g}"
        )
    for audit in view["audits"]:
        console.print(f"[bold]{shown(audit['file'])}[/bold]: an audit of {shown(str(audit['environment']))}")
        failed = [check for check in audit["checks"] if check["findings"]]
        console.print(f"  {len(audit['checks']) - len(failed)} checks passed, {len(failed)} failed")
        for check in failed:
            console.print(f"  [red]{shown(check['name'])}[/red]: {shown(check['findings'][0]['what'])}", soft_wrap=True)


def _show_run(run: Json, console: Console) -> None:
    console.print(f"[bold]{shown(run['file'])}[/bold]: {run['episodes']} episodes of {run['tasks']} tasks")
    reward = run["reward"]
    if reward is None:
        console.print("  no episode has a reward that counts")
    else:
        console.print(
            f"  reward [bold]{reward['mean']:.3f}[/bold] in the mean of {run['graded']} graded "
            f"(median {reward['median']:g}, sd {reward['std']:.3f}, {reward['min']:g} to {reward['max']:g})"
        )
    most = max((bar[2] for bar in run["distribution"]), default=0)
    for low, high, count in run["distribution"]:
        name = f"{low:g}" if low == high else f"{low:.2f} to {high:.2f}"
        console.print(f"  {name:>14} {'█' * -(-count * _WIDTH // most)} {count}")
    if len(run["pass_at_k"]) > 1:
        passes = ", ".join(f"@{one['k']} {one['value']:.3f}" for one in run["pass_at_k"])
        console.print(f"  pass (reward at least {run['passes_at']:g}): {passes}")
    for state, colour in (("masked", "yellow"), ("failed", "red")):
        for kind, count in run[state].items():
            console.print(f"  [{colour}]{state}[/{colour}] ({shown(kind)}): {count}")
    lengths = f"  turns {run['turns']['mean']:.1f} in the mean, {run['turns']['max']:g} at most"
    if run["tokens"]:
        lengths += f"; tokens {run['tokens']['mean']:.0f}"
    if run["seconds"]:
        lengths += f"; {run['seconds']['mean']:.2f} s, 90% within {run['seconds']['p90']:.2f} s"
    console.print(lengths)
    if run["tools"]:
        table = Table(box=None, padding=(0, 1))
        for name in ("  tool", "calls", "errors", "episodes"):
            table.add_column(name, justify="left" if "tool" in name else "right")
        for tool in run["tools"][:_MOST]:
            numbers = (str(tool[name]) for name in ("calls", "errors", "episodes"))
            table.add_row(f"  {shown(tool['tool'][:60])}", *numbers)
        console.print(table)


def _show_comparison(comparison: Json, console: Console) -> None:
    test = comparison["test"]
    console.print(
        f"[bold]{shown(comparison['candidate'])}[/bold] against {shown(comparison['baseline'])}, "
        f"{len(comparison['tasks'])} tasks that both have:"
    )
    console.print(
        f"  reward {comparison['before']:.3f} -> [bold]{comparison['after']:.3f}[/bold] "
        f"({test['mean']:+.3f}, 95% from {test['low']:+.3f} to {test['high']:+.3f}), "
        f"p = {test['p']:.4f} ({'exact' if test['exact'] else 'normal approximation'})"
    )
    console.print(f"  up: {comparison['up']}, down: {comparison['down']}, the same: {comparison['same']}")
    changed = sorted(comparison["tasks"], key=lambda task: task["after"] - task["before"])
    down = [task for task in changed if task["after"] < task["before"]][:_MOST]
    up = [task for task in reversed(changed) if task["after"] > task["before"]][:_MOST]
    for colour, tasks in (("green", up), ("red", down)):
        for task in tasks:
            console.print(
                f"    [{colour}]{task['before']:g} -> {task['after']:g}[/{colour}] {shown(task['task'][:80])}"
            )
