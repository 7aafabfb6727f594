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
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from gymkit import project
from gymkit.errors import CommandError
from gymkit.terminal import printable
from gymkit.view import text
from gymkit.view.document import Embedded, document
from gymkit.view.files import Notes
from gymkit.view.found import Found, collected

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
    found = collected(options.files, options.pass_at, Embedded(options.pictures * 1_000_000) if to_file else None)
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


def _write(path: Path, found: Found) -> None:
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


def _serve(port: int, found: Found) -> None:
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
