# Part of the template: changes belong there (`copier update` merges this file).
"""Runs tests in a copy of the environment, one changed file after the other: `python -m gymkit.audit.mutant_worker`.

What takes seconds to import, and is not the environment's own, is imported once. Each run then is a fork of this
process. It reads jobs from its standard input, and writes results to its standard output, a JSON object a line.
"""

import importlib
import json
import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

IMPORTED_ONCE = (
    *("pytest", "_pytest.assertion.rewrite", "uvicorn", "requests", "fastapi.testclient"),
    *("gymkit.server", "gymkit.fixture", "gymkit.cli", "gymkit.episodes", "gymkit.describe"),
)


def main() -> None:
    sys.dont_write_bytecode = True  # The changed files are written within a second, and some are of the same length.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in IMPORTED_ONCE:
        importlib.import_module(name)
    print(json.dumps({"ready": True}), file=results, flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=results, flush=True)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run tests with a file changed.

    Args:
        job: `path` and `text` of the file, `tests` to run, `seconds` that they may take, `log` for what they say.

    Returns:
        `status`, the exit status of pytest, or None where it took too long; and `seconds`.
    """
    path = Path(job["path"])
    before = path.read_text(encoding="utf-8")
    path.write_text(job["text"], encoding="utf-8")
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Threads of imported libraries do not matter here.
            child = os.fork()
        if child == 0:
            _test(job)
        return {"status": _status(child, job["seconds"]), "seconds": time.monotonic() - started}
    finally:
        path.write_text(before, encoding="utf-8")


def _test(job: dict[str, Any]) -> None:
    """In the child: run the tests, and end without what the parent would do at its end."""
    status = 3
    try:
        os.setsid()
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        import pytest

        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *job["tests"]]))
        sys.stdout.flush()
    finally:
        os._exit(status)


def _status(child: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    status: int | None = None
    while status is None:
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
        elif time.monotonic() > deadline:
            break
        else:
            time.sleep(0.01)
    _end_group(child)  # What the tests have left running, too.
    if status is None:
        os.waitpid(child, 0)
    return status


def _end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


if __name__ == "__main__":
    main()
