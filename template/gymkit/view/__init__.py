# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit view`: see what happened in rollouts, a training run or an audit.

    gymkit view results/rollouts.jsonl              a summary here, and a page: results/view.html
    gymkit view before.jsonl after.jsonl            two runs compared: which tasks went up, which down
    gymkit view results/rollouts.jsonl --serve      the page at an address; episodes and pictures as they are looked at
    gymkit view FILE... --json                      the summary as JSON, and nothing else

Files may be rollouts (of rollout.py --output, gym eval run or ng_collect_rollouts), the curve of a training run
(curve.jsonl), or the report of gymkit audit --json.

Exit status: 0 when all that stands in the files is shown, 3 when a file or a line had to be left out (a line says
which, and why), 1 when nothing is left to be shown.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from gymkit import project
from gymkit.errors import CommandError
from gymkit.terminal import printable
from gymkit.view import text
from gymkit.view.again import Place, Rows, play
from gymkit.view.document import Embedded, document
from gymkit.view.files import AUDIT, ROLLOUTS, Json, Notes, opened
from gymkit.view.reports import audit, curve
from gymkit.view.rollouts import Episode, Run, failures_path, read_run
from gymkit.view.summary import comparison, summary
from gymkit.view.transcripts import transcript

LEFT_OUT = 3
"""The exit status when not all of it is shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="rollouts, a curve, an audit report")
    parser.add_argument("--output", type=Path, help="write the page there (default: results/view.html)")
    parser.add_argument("--serve", action="store_true", help="serve the page on this machine instead of writing it")
    parser.add_argument("--port", type=int, default=0, help="with --serve: the port (default: one that is free)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, and nothing else")
    parser.add_argument(
        "--pass-at", type=float, metavar="REWARD", help="the least reward that passes (default: the manifest's highest)"
    )
    parser.add_argument(
        "--pictures", type=int, default=50, metavar="MB", help="so many megabytes at most in the page (default: 50)"
    )


def run(options: argparse.Namespace) -> int:
    """Show files; the exit status.

    Raises:
        CommandError: there is nothing to show, or the page cannot be written.
    """
    to_file = not options.serve and not options.json
    found = _collected(options, Embedded(options.pictures * 1_000_000) if to_file else None)
    if options.json:
        print(json.dumps(found.view, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace").decode())
        _say(found.notes, sys.stderr)
    else:
        text.show(found.view, Console(highlight=False, soft_wrap=True))
        _say(found.notes, sys.stdout)
        if found.embedded is not None:
            _write(options.output or project.ROOT / "results" / "view.html", found)
        else:
            _serve(options.port, found)
    return LEFT_OUT if found.notes.lines else 0


@dataclass
class _Found:
    """What stands in the files."""

    view: Json
    notes: Notes
    episodes: list[Episode]
    table: list[list[Any]]
    """A line for each episode, as view.js reads it."""
    places: list[Place | None]
    """The row of each."""
    embedded: Embedded | None

    def add(self, run: int, episode: Episode, result: Json, place: Place | None) -> list[Any]:
        """Put in an episode; its line in the table."""
        chunk = self.embedded.add(transcript(result, self.embedded.keep)) if self.embedded else None
        self.episodes.append(episode)
        self.places.append(place)
        self.table.append(_table_line(run, episode, chunk, place.command if place else None))
        return self.table[-1]

    def play_again(self, number: int, folder: Path) -> Json:
        """Play an episode's row again: the number of the new episode, and its line in the table.

        Raises:
            CommandError: it could not be played.
        """
        place = self.places[number]
        if place is None:
            raise CommandError("its row is not in data/")
        output = folder / f"again-{time.monotonic_ns()}.jsonl"
        play(place, output)
        contents = opened(output, self.notes)
        if contents is None:
            raise CommandError("rollout.py has left nothing")
        episode, result = next(read_run(contents, self.notes))
        line = self.add(self.table[number][0], episode, result, place)
        return {"number": len(self.table) - 1, "line": line}


def _collected(options: argparse.Namespace, embedded: Embedded | None) -> _Found:
    notes = Notes()
    runs: list[Run] = []
    curves: list[Json] = []
    audits: list[Json] = []
    found = _Found({}, notes, [], [], [], embedded)
    rows = Rows()
    paths = list(dict.fromkeys(options.files))
    beside = {failures_path(path) for path in paths}
    names = _names(paths)
    for path in (path for path in paths if path not in beside):
        contents = opened(path, notes)
        if contents is None:
            continue
        if contents.kind == ROLLOUTS:
            run = Run(path, names[path])
            for episode, result in read_run(contents, notes):
                run.episodes.append(episode)
                found.add(len(runs), episode, result, rows.place(result))
            runs += [run] if run.episodes else []
        elif contents.kind == AUDIT:
            audits.append(audit(contents, names[path]))
        else:
            curves += [points] if (points := curve(contents, names[path], notes)) else []
    if not (runs or curves or audits):
        raise CommandError("\n".join(["there is nothing to show.", *map(printable, notes.lines)]))
    passes_at = project.reward_range()[1] if options.pass_at is None else options.pass_at
    compared = [comparison(runs[0], other) for other in runs[1:]]
    found.view = {
        "environment": project.environment_name(),
        "runs": [summary(run, passes_at) for run in runs],
        "comparisons": [one for one in compared if one],
        "curves": curves,
        "audits": audits,
        "left_out": notes.lines,
    }
    return found


def _names(paths: list[Path]) -> dict[Path, str]:
    """What the files are called: by as many of the last parts of their paths as tell them apart."""
    names: dict[Path, str] = {}
    for path in paths:
        parts = path.resolve().parts
        others = [other.resolve().parts for other in paths if other != path]
        length = next(
            (n for n in range(1, len(parts)) if all(parts[-n:] != other[-n:] for other in others)), len(parts)
        )
        names[path] = "/".join(parts[-length:])
    return names


def _table_line(run: int, episode: Episode, place: tuple[int, int] | None, again: str | None) -> list[Any]:
    """What the page's table has of an episode, and where its transcript is."""
    return [
        run,
        episode.task,
        episode.repeat,
        episode.state,
        episode.reward,
        episode.kind,
        episode.turns,
        sum(episode.calls.values()),
        sum(episode.errors.values()),
        episode.tokens,
        episode.seconds,
        episode.characters,
        f"{episode.path.name}:{episode.line}",
        again,
        place,
    ]


def _write(path: Path, found: _Found) -> None:
    assert found.embedded is not None
    page = document({**found.view, "episodes": found.table}, found.embedded)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror or error}).") from None
    if found.embedded.left_out:
        print(f"{found.embedded.left_out} pictures had no room in the page: --serve shows them, or --pictures MB.")
    print(f"The page: {printable(str(path))} ({len(page) / 1e6:.1f} MB)")


def _serve(port: int, found: _Found) -> None:
    from gymkit.view.served import Server

    try:
        server = Server(port, document({**found.view, "episodes": found.table}, None), found.episodes)
    except OSError as error:
        raise CommandError(
            f"port {port} cannot be listened on ({error.strerror or error}). Try another --port."
        ) from None
    with server, tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        server.play_again = lambda number: found.play_again(number, Path(folder))
        print(f"The page: {server.url} (Ctrl+C ends it)", flush=True)
        server.serve_forever()


def _say(notes: Notes, stream: Any) -> None:
    for line in notes.lines:
        print(printable(line), file=stream)
