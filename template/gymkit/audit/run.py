# Part of the template: changes belong there (`copier update` merges this file).
"""An audit: all checks on their rows, several at once."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gymkit.audit.checks import Check, Seen, World
from gymkit.audit.episode import NoEpisode
from gymkit.audit.report import Finding, Report, Tally
from gymkit.audit.rows import Case
from gymkit.client import RolloutError

AGAIN = "uv run gymkit audit --row {row} --only {check}"


class BrokenOff(Exception):
    """The audit cannot go on. The message is one line."""


class Audit:
    """An audit of a served environment.

    Args:
        world: What the checks have in common.
        checks: In the order of the report.
        cases: The rows, for the player.
        cheat_rows: So many rows at most are played by each of the other checks; None for all.
        report: Filled while the audit goes on, so that it can be shown when it is broken off.
        again: What comes behind the command that plays a row again.
    """

    def __init__(
        self,
        world: World,
        checks: Sequence[Check],
        cases: Sequence[Case],
        cheat_rows: int | None,
        report: Report,
        again: str = "",
    ) -> None:
        self.world = world
        self.checks = checks
        self.cases = cases
        self.cheat_rows = cheat_rows
        self.report = report
        self.again = again
        self.tallies = {name: Tally(name, says) for check in checks for name, says in check.lines.items()}
        report.tallies = list(self.tallies.values())
        self._played: dict[str, list[tuple[Case, float]]] = {check.name: [] for check in checks}

    def run(self, concurrency: int, console: Console) -> None:
        """Run all of it. What has been seen stands in the report, also where it ends before its time.

        Raises:
            BrokenOff: the server does not answer any more.
            KeyboardInterrupt: somebody has had enough.
        """
        started = time.monotonic()
        work = list(self._work())
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        pool = ThreadPoolExecutor(concurrency)
        try:
            with Progress(*columns, console=console, transient=True) as progress:
                bar = progress.add_task("Auditing", total=len(work))
                futures = {pool.submit(self._run_one, check, case): (check, case) for check, case in work}
                for future in as_completed(futures):
                    self._note(*futures[future], future)
                    progress.advance(bar)
            self._judge_all()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self.report.seconds = time.monotonic() - started

    def _work(self) -> Iterator[tuple[Check, Case]]:
        """The player first: what it has done must not pay anybody after it."""
        for check in self.checks:
            rows = self.cases if check.name == "player" else self.cases[: self.cheat_rows]
            for case in rows:
                yield check, case

    def _run_one(self, check: Check, case: Case) -> Seen:
        try:
            return check.run(self.world, case)
        except NoEpisode as refused:
            return Seen(wrong={next(iter(check.lines)): f"no episode can be made from the row: {refused}"})
        except (RolloutError, requests.RequestException) as error:
            self._make_sure_that_it_answers(error)
            return Seen(wrong={next(iter(check.lines)): " ".join(str(error).split())[:300]})

    def _make_sure_that_it_answers(self, error: Exception) -> None:
        with suppress(requests.RequestException):
            if requests.get(f"{self.world.server.url}/health", timeout=10).ok:
                return
        why = " ".join(str(error).split())[:200]
        raise BrokenOff(f"The environment at {self.world.server.url} does not answer any more: {why}") from None

    def _note(self, check: Check, case: Case, future: "Future[Seen]") -> None:
        seen = future.result()
        self.report.episodes += seen.episodes
        for name in check.lines:
            tally = self.tallies[name]
            tally.rows += 1
            tally.not_tried += name in seen.not_tried
            if name in seen.rewards:
                tally.rewards.append(seen.rewards[name])
            if name in seen.wrong:
                self._find(check, name, case, seen.wrong[name])
        if check.name in seen.rewards:
            self._played[check.name].append((case, seen.rewards[check.name]))

    def _find(self, check: Check, name: str, case: Case, what: str) -> None:
        again = AGAIN.format(row=case.place, check=check.name) + self.again
        self.tallies[name].findings.append(Finding(case.order, case.place, case.task_id, what, again))

    def _judge_all(self) -> None:
        for check in self.checks:
            played = sorted(self._played[check.name], key=lambda one: one[0].order)
            found = check.verdict_on_all(self.world, [case for case, _ in played], [reward for _, reward in played])
            if found is not None and not self.tallies[check.name].findings:
                self._find(check, check.name, *found)
