# Part of the template: changes belong there (`copier update` merges this file).
"""What an audit has found: a line for each check, the first offending row, and the same as JSON."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Finding:
    """What is wrong with a row."""

    order: int
    """Of the row among those audited."""
    row: str
    """Its split and number, as `--row` takes it."""
    task_id: str
    what: str
    again: str
    """The command that plays it again."""


@dataclass
class Tally:
    """What a check has seen so far."""

    name: str
    says: str
    rows: int = 0
    rewards: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    not_tried: int = 0

    @property
    def first(self) -> Finding:
        return min(self.findings, key=lambda finding: finding.order)

    @property
    def mean(self) -> float | None:
        return sum(self.rewards) / len(self.rewards) if self.rewards else None


@dataclass
class Report:
    """An audit."""

    environment: str
    url: str
    tallies: list[Tally]
    episodes: int = 0
    seconds: float = 0.0
    broken_off: str | None = None
    """Why the audit has not come to its end."""

    @property
    def passed(self) -> bool:
        return self.broken_off is None and not any(tally.findings for tally in self.tallies)

    def as_json(self) -> dict[str, Any]:
        """The report as `--json` prints it."""
        return {
            "environment": self.environment,
            "url": self.url,
            "passed": self.passed,
            "broken_off": self.broken_off,
            "episodes": self.episodes,
            "seconds": round(self.seconds, 1),
            "checks": [
                {
                    "name": tally.name,
                    "says": tally.says,
                    "rows": tally.rows,
                    "rows_not_tried": tally.not_tried,
                    "mean_reward": tally.mean,
                    "findings": [
                        {"row": one.row, "task_id": one.task_id, "what": one.what, "again": one.again}
                        for one in sorted(tally.findings, key=lambda finding: finding.order)
                    ],
                }
                for tally in self.tallies
            ],
        }

    def show(self, console: Console) -> None:
        """Print the table, and below it the first offending row of each check that has failed."""
        table = Table(title=f"{self.environment} at {self.url}", title_justify="left", box=None, padding=(0, 1))
        for name, justify in (("", "left"), ("check", "left"), ("", "left"), ("rows", "right"), ("reward", "right")):
            table.add_column(name, justify=justify)
        for tally in self.tallies:
            mean = "" if tally.mean is None else f"{tally.mean:.3g}"
            table.add_row(_mark(tally), tally.name, escape(tally.says), f"{tally.rows}", mean)
        console.print(table)
        for tally in self.tallies:
            if tally.not_tried:
                console.print(f"[dim]{tally.name}: {tally.not_tried} rows could not be tried[/dim]")
        self._show_findings(console)

    def _show_findings(self, console: Console) -> None:
        wrong = [tally for tally in self.tallies if tally.findings]
        for tally in wrong:
            first = tally.first
            more = f" (and {len(tally.findings) - 1} rows more)" if len(tally.findings) > 1 else ""
            said = f"{first.row} ({first.task_id}): {tally.name}: {first.what}{more}"
            console.print(f"[red]{escape(said)}[/red]", soft_wrap=True)
            console.print(f"  [dim]again:[/dim] {escape(first.again)}", soft_wrap=True)
        if self.broken_off:
            console.print(f"[red]{escape(self.broken_off)}[/red]", soft_wrap=True)
        passed = len(self.tallies) - len(wrong)
        console.print(
            f"[bold]{passed} passed, {len(wrong)} failed[/bold], {self.episodes} episodes in {self.seconds:.1f} s"
        )


def _mark(tally: Tally) -> str:
    if tally.findings:
        return "[red]FAIL[/red]"
    return "[green]pass[/green]" if tally.rows else "[dim]-[/dim]"
