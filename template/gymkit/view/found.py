# Part of the template: changes belong there (`copier update` merges this file).
"""What stands in all the files together, as the page and the terminal show it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymkit import project
from gymkit.errors import CommandError
from gymkit.terminal import printable
from gymkit.view.again import Place, Rows, play
from gymkit.view.document import Embedded
from gymkit.view.files import AUDIT, ROLLOUTS, Json, Notes, opened
from gymkit.view.reports import audit, curve
from gymkit.view.rollouts import Episode, Run, failures_path, read_run
from gymkit.view.summary import comparison, summary
from gymkit.view.transcripts import transcript


@dataclass
class Found:
    """What stands in the files."""

    view: Json
    notes: Notes
    episodes: list[Episode]
    table: list[list[Any]]
    """A line for each episode, as overview.js reads it."""
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


def collected(files: list[Path], pass_at: float | None, embedded: Embedded | None) -> Found:
    """Read the files.

    Args:
        files: The paths.
        pass_at: The least reward that passes, for pass@k; None for the manifest's highest.
        embedded: Where the transcripts go; None where a server reads them again.

    Raises:
        CommandError: there is nothing to show.
    """
    notes = Notes()
    runs: list[Run] = []
    curves: list[Json] = []
    audits: list[Json] = []
    found = Found({}, notes, [], [], [], embedded)
    rows = Rows()
    paths = list(dict.fromkeys(files))
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
    passes_at = project.reward_range()[1] if pass_at is None else pass_at
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
