"""Looking for an interpreter that NeMo Gym can use."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from uv_program import SetupFailed, ask, say, typed, uv_environ

NEWEST = ">=3.13.14,<3.14"
"""The Pythons on which NeMo Gym 0.7 runs. From 3.12 on below, it is 0.4."""
# `uvx copier` and `uv run` put a virtual environment on PATH that does not last: take what it was made from.
PROBE = "import sys; print(getattr(sys, '_base_executable', sys.executable), *sys.version_info[:3], sep='\\n')"
DOWNLOAD_SECONDS = 300


class Python(NamedTuple):
    """An interpreter that has been run."""

    version: tuple[int, int, int]
    path: str

    @property
    def nemo_gym(self) -> str:
        return "0.7" if self.version >= (3, 13, 14) else "0.4"

    @property
    def name(self) -> str:
        return f"Python {'.'.join(map(str, self.version))}"


def find_python(uv: str) -> Python:
    """The newest interpreter that NeMo Gym takes, downloaded by uv if need be and possible."""
    found = [python for python in map(probe, dict.fromkeys(candidates(uv))) if python is not None]
    # Of equal versions the first: uv's own choice, then PATH.
    best = max(found, key=lambda python: python.version, default=None)
    if (best is None or best.nemo_gym != "0.7") and may_download():
        say(f"      No Python {NEWEST} here: asking uv to download one ...")
        downloaded = download(uv)
        if downloaded is not None:
            return downloaded
        say("      uv could not download one.")
    if best is not None:
        return best
    raise SetupFailed(
        "No Python that NeMo Gym runs on was found, and uv could not or may not download one: it needs 3.13 "
        "(3.13.14 or later), or 3.12.",
        f"{typed(uv)} python install 3.13",
        f"{typed(uv)} sync --python 3.13",
    )


def find_chosen(uv: str, wanted: str) -> Python | None:
    """What UV_PYTHON, a path or a version, stands for; None if uv has to see to it."""
    if os.sep in wanted:
        return probe(wanted)
    done = ask(uv, "python", "find", "--system", "--no-python-downloads", wanted)
    return probe(done.stdout.strip()) if done is not None and done.returncode == 0 else None


def candidates(uv: str) -> Iterator[str]:
    """Interpreters to try: uv's choice, those on PATH, and pyenv's, into whose folders uv does not look."""
    for wanted in (NEWEST, ">=3.12,<3.14"):
        # A broken pyenv shim makes uv itself fail here; the other ways do not depend on it.
        done = ask(uv, "python", "find", "--system", "--no-python-downloads", wanted)
        if done is not None and done.returncode == 0:
            yield done.stdout.strip()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for name in ("python3.13", "python3.12", "python3", "python"):
            if folder and os.access(Path(folder) / name, os.X_OK):
                yield str(Path(folder) / name)
    roots = {os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")}
    for root in filter(None, roots):
        yield from map(str, Path(root).glob("versions/3.1[23]*/bin/python"))


def probe(path: str) -> Python | None:
    """Run an interpreter: what it is, or None if it does not run or NeMo Gym does not take it."""
    done = ask(path, "-c", PROBE)
    if done is None or done.returncode != 0:
        return None
    try:
        executable, *numbers = done.stdout.split("\n")[:4]
        major, minor, micro = map(int, numbers)
    except ValueError:
        return None
    return Python((major, minor, micro), executable) if (3, 12) <= (major, minor) < (3, 14) else None


def may_download() -> bool:
    never = os.environ.get("UV_PYTHON_DOWNLOADS", "").lower() in ("never", "manual", "false")
    return not never and os.environ.get("UV_OFFLINE", "").lower() in ("", "0", "false", "no", "off", "n", "f")


def download(uv: str) -> Python | None:
    """Let uv install an interpreter for NeMo Gym 0.7; None if it cannot, for want of a network above all."""
    # Without the first, uv tries for half a minute where there is no network; without the second, it puts a link into
    # ~/.local/bin, and warns where that is not on PATH.
    environ = uv_environ() | {"UV_HTTP_RETRIES": os.environ.get("UV_HTTP_RETRIES", "1"), "UV_PYTHON_INSTALL_BIN": "0"}
    try:
        done = subprocess.run([uv, "python", "install", NEWEST], env=environ, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    found = ask(uv, "python", "find", "--managed-python", "--no-python-downloads", NEWEST)
    return probe(found.stdout.strip()) if found is not None and found.returncode == 0 else None
