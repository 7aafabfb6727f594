# Part of the template: changes belong there (`copier update` merges this file).
"""What the programs of this folder share: options, rows, an environment that runs, errors in one line."""

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import _root  # noqa: F401
from gymkit.client import running_environment
from gymkit.errors import CommandError
from gymkit.project import ROOT
from gymkit.proxies import never_for_loopback
from gymkit.rows import Row, data_path, read_rows
from gymkit.terminal import console, shown


def add_environment(parser: argparse.ArgumentParser, split: str) -> None:
    parser.add_argument("--url", default=os.environ.get("ENV_URL"), help="the environment (default: ENV_URL, or local)")
    parser.add_argument("--data", type=Path, default=data_path(split), help=f"task rows (default: data/{split}.jsonl)")
    parser.add_argument("--rows", default="", metavar="FROM:TO", help="which of them, counted from 0 (default: all)")
    parser.add_argument("--max-turns", type=int, default=20, help="tool calls of an episode, one after the other")
    parser.add_argument(
        "--max-tokens", type=int, default=4096, help="of an episode behind its prompt, answers included"
    )


def selected(options: argparse.Namespace) -> list[Row]:
    """The rows that `--data` and `--rows` name.

    Raises:
        CommandError: there are none.
    """
    rows = read_rows(options.data)
    start, _, end = options.rows.partition(":")
    try:
        chosen = rows[int(start or 0) : int(end) if end else None]
    except ValueError:
        raise CommandError(f"--rows: {options.rows!r} is not of the form FROM:TO.") from None
    if not chosen:
        raise CommandError(f"--rows {options.rows}: {options.data} has {len(rows)} rows, and none of these.")
    return chosen


def environment_python() -> list[str]:
    """How to run Python with the environment's own packages, which are not those of train/."""
    for name in ("bin/python", "Scripts/python.exe"):
        if (ROOT / ".venv" / name).exists():
            return [str(ROOT / ".venv" / name)]
    return ["uv", "run", "--project", str(ROOT), "python"]


@contextmanager
def environment(url: str | None) -> Iterator[str]:
    """The URL of a running environment; one is started where none is given, and none runs on port 11000."""
    with running_environment(url, environment_python()) as found:
        yield found


def run_in_environment(*command: str) -> None:
    """Run a program of the environment.

    Raises:
        CommandError: it fails; what it said has been shown.
    """
    done = subprocess.run([*environment_python(), *command], cwd=ROOT, check=False)
    if done.returncode:
        raise CommandError(f"{command[0]} failed: what it says stands above.")


def program(main: Callable[[], None]) -> None:
    """Run a program: errors that have a remedy are one line, and Ctrl-C is no error."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning)  # of names that are new in later versions
    never_for_loopback()
    try:
        main()
    except CommandError as error:
        console.print(f"[red]{shown(str(error))}[/red]", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("[dim]Interrupted. The same command goes on from the last checkpoint.[/dim]")
        sys.exit(130)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in a folder that a trainer writes to, of those that are whole."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").exists()]
    return max(found, key=steps_of, default=None)


def steps_of(checkpoint: Path | None) -> int:
    """How many steps a checkpoint has behind it."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def check_free(folder: Path, names: Sequence[str] = ("config.json",)) -> None:
    """Raise an error where a folder holds a finished model: it is not to be written over."""
    if any((folder / name).exists() for name in names):
        raise CommandError(f"{folder} holds a model already: name another --output, or remove it.")
