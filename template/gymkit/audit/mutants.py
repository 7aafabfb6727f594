# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit audit --mutants`: which changes of domain and grader does no test notice?

The domain's tests (those that are not the template's) run first, with each change in turn, in a copy of the
environment; then, where they notice nothing, the contract's, which play and grade episodes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gymkit.audit.mutations import Mutation, mutations, of_the_template
from gymkit.errors import CommandError
from gymkit.project import ROOT, environment_name

NOT_COPIED = (".venv", ".git", "__pycache__", "results", "cache", "outputs", ".*_cache", "*.egg-info", "node_modules")
CONTRACT = "tests/test_contract.py"
LEAST = 0.95
"""An audit fails where a smaller share of the changes is noticed."""
SLOWER = 4
"""A run that takes so many times as long as without a change, and `MARGIN` seconds, is noticed by that."""
MARGIN = 20
LONGEST = 900


@dataclass(frozen=True)
class Outcome:
    """What became of a change."""

    mutation: Mutation
    noticed: bool
    too_long: bool = False


class Worker:
    """A process that runs tests in its own copy of the environment (`gymkit.audit.mutant_worker`)."""

    def __init__(self, folder: Path, log: Path) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        environ |= {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"}
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gymkit.audit.mutant_worker"],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CommandError("a process that runs tests has ended: `uv run pytest` shows why.")
        return json.loads(line)

    def run(self, path: str, text: str, tests: list[str], seconds: float) -> tuple[int | None, float]:
        """Run tests with a file changed: pytest's exit status, None where it took too long, and the seconds it took."""
        assert self._process.stdin is not None
        job = {"path": path, "text": text, "tests": tests, "seconds": seconds, "log": str(self._log)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["status"], answer["seconds"]

    def said(self) -> str:
        """What the last run said, in its last line."""
        lines = [line for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def workers(count: int) -> Iterator[list[Worker]]:
    """Workers, each in a copy of the environment that is removed afterwards."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True)))
        folders = [scratch / str(number) / ROOT.name for number in range(count)]
        for folder in folders:
            shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
            (folder / "results").mkdir()
        made = []
        for folder in folders:
            worker = Worker(folder, folder.parent / "log")
            stack.callback(worker.end)
            made.append(worker)
        yield made


def own_tests() -> list[str]:
    """The environment's own tests."""
    tests = sorted((ROOT / "tests").glob("test_*.py"))
    return [path.relative_to(ROOT).as_posix() for path in tests if not of_the_template(path)]


def run(options: argparse.Namespace) -> int:
    """Try all changes that are drawn; the exit status.

    Raises:
        CommandError: there is nothing to change, or the tests fail as it is.
    """
    console = Console(highlight=False, stderr=options.json)
    drawn, of_all = mutations(options.count, options.seed)
    if not drawn:
        raise CommandError("there is nothing to change: server.py imports no module of yours, and defines no grade().")
    stages = [tests for tests in (own_tests(), [CONTRACT]) if tests]
    outcomes: list[Outcome] = []
    try:
        with workers(min(os.cpu_count() or 1, len(drawn))) as made:
            limits = _limits(made[0], stages, drawn[0].path, console)
            _try_all(made, drawn, list(zip(stages, limits, strict=True)), outcomes, console)
    except KeyboardInterrupt:
        _report(options, console, outcomes, of_all, "Interrupted: this is what had been tried until then.")
        return 130
    return 0 if _report(options, console, outcomes, of_all, None) >= LEAST else 1


def _limits(worker: Worker, stages: list[list[str]], path: str, console: Console) -> list[float]:
    """How long each stage may take, from how long it takes without a change."""
    limits: list[float] = []
    text = (ROOT / path).read_text(encoding="utf-8")
    with console.status("Running the tests as they are ..."):
        for tests in stages:
            status, seconds = worker.run(path, text, tests, LONGEST)
            if status != 0:
                raise CommandError(f"the tests fail without any change: {' '.join(tests)}: {worker.said()}")
            limits.append(SLOWER * seconds + MARGIN)
    return limits


def _try_all(
    made: list[Worker],
    drawn: list[Mutation],
    stages: list[tuple[list[str], float]],
    outcomes: list[Outcome],
    console: Console,
) -> None:
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in made:
        free.put(worker)

    def tried(mutation: Mutation) -> Outcome:
        worker = free.get()
        try:
            for tests, seconds in stages:
                status, _ = worker.run(mutation.path, mutation.text, tests, seconds)
                if status != 0:
                    return Outcome(mutation, True, too_long=status is None)
            return Outcome(mutation, False)
        finally:
            free.put(worker)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    pool = ThreadPoolExecutor(len(made))
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("Changing", total=len(drawn))
            for future in as_completed([pool.submit(tried, mutation) for mutation in drawn]):
                outcomes.append(future.result())
                progress.advance(bar)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _report(
    options: argparse.Namespace, console: Console, outcomes: list[Outcome], of_all: int, broken_off: str | None
) -> float:
    """Print what has been found; the share that was noticed."""
    survivors = sorted(
        (outcome.mutation for outcome in outcomes if not outcome.noticed), key=lambda one: (one.path, one.line)
    )
    share = 1 - len(survivors) / len(outcomes) if outcomes else 0.0
    too_long = sum(outcome.too_long for outcome in outcomes)
    if options.json:
        shown = [{key: value for key, value in asdict(one).items() if key != "text"} for one in survivors]
        counts = {"tried": len(outcomes), "of": of_all, "noticed": len(outcomes) - len(survivors), "too_long": too_long}
        made = {"environment": environment_name(), "seed": options.seed, "broken_off": broken_off, **counts}
        print(json.dumps({**made, "share": round(share, 4), "survivors": shown}, indent=1, ensure_ascii=False))
        return share
    for one in survivors:
        console.print(f"[bold]{escape(one.path)}:{one.line}[/bold] {one.operator}", soft_wrap=True)
        for line in one.diff:
            console.print(f"  [{'red' if line[0] == '-' else 'green'}]{escape(line)}[/]", soft_wrap=True)
    if broken_off:
        console.print(f"[red]{broken_off}[/red]")
    noticed = f"{len(outcomes) - len(survivors)} of {len(outcomes)} changes were noticed ({share:.0%})"
    late = f", {too_long} of them by taking too long" if too_long else ""
    console.print(f"[bold]{noticed}[/bold]{late}; drawn from {of_all} by the seed {options.seed}")
    if share < LEAST and not broken_off:
        console.print(
            f"[red]That is less than {LEAST:.0%}: the changes above stand for mistakes that no test sees.[/red]"
        )
    return share
