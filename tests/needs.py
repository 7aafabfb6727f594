"""What some tests need besides Python, uv and git: whether it is here, and which command brings it.

A test says so by `@pytest.mark.needs("a browser")`. Where it is missing, the test is left out before the start, and one
line says so; with `CI=true` or `FULL=1`, nothing is left out, and what is missing fails at once.

As a program it prints the Debian packages that are missing (for .ci/run); it uses the standard library alone.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

Probe = Callable[[], bool]

FULL = "FULL" in os.environ
"""Whether all is tested that can be, each archetype, line and model server with each other; else what CI tests."""
NOTHING_IS_LEFT_OUT = FULL or os.environ.get("CI", "").lower() in ("true", "1")
LONG_TOO = NOTHING_IS_LEFT_OUT or "LONG" in os.environ
"""Whether tests that are marked as `long` run, too. Without them all takes less than ten minutes on two cores."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PYTHON_OF_LINE = {"0.4": ">=3.12,<3.13.14", "0.7": ">=3.13.14,<3.14"}
"""The Pythons on which each line of NeMo Gym is tested."""
DOWNLOAD_SECONDS = 300


def program(*names: str) -> Probe:
    return lambda: any(shutil.which(name) for name in names)


def library(name: str) -> Probe:
    def found() -> bool:
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
        return True

    return found


def browser() -> bool:
    """Chromium or Chrome of the system's, or that of `playwright install chromium`."""
    playwrights = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return any(map(shutil.which, BROWSERS)) or any(playwrights.glob("chromium-*"))


def root() -> bool:
    return os.geteuid() == 0


PACKAGES: dict[str, Probe] = {
    "buildah": program("buildah"),
    "bubblewrap": program("bwrap"),
    "chromium": browser,
    "debootstrap": program("debootstrap"),
    "fonts-dejavu-core": lambda: Path("/usr/share/fonts/truetype/dejavu").exists(),
    "libatomic1": library("libatomic.so.1"),
    "libtk8.6": library("libtk8.6.so"),
    "libxcb1": library("libxcb.so.1"),
    "openbox": program("openbox"),
    "procps": program("ps"),
    "scrot": program("scrot"),
    "wrk": program("wrk"),
    "x11-utils": program("xwininfo"),
    "x11-xserver-utils": program("xrandr"),
    "xdotool": program("xdotool"),
    "xvfb": program("Xvfb"),
}
"""Debian packages, and whether what each brings is here, from wherever."""

DISPLAY = ("xvfb", "openbox", "libtk8.6", "libxcb1", "fonts-dejavu-core", "bubblewrap", "procps")
NEEDS: dict[str, tuple[str, ...]] = {
    "a browser": ("chromium", "libatomic1"),  # The latter is for the driver's Node.js,
    "Node.js": ("libatomic1",),  # and for pyright's.
    "a display": DISPLAY,
    "E2B's desktop": (*DISPLAY, "xdotool", "scrot", "x11-utils", "x11-xserver-utils"),
    "a container builder": ("buildah", "debootstrap"),
    "bubblewrap": ("bubblewrap",),
    "wrk": ("wrk",),
}
"""What a test can ask for, and the Debian packages that it takes."""
AS_ROOT = "a container builder"


def missing_packages(needs: Iterable[str] = NEEDS) -> list[str]:
    return sorted({package for need in needs for package in NEEDS[need] if not PACKAGES[package]()})


@cache
def missing_needs() -> tuple[str, ...]:
    """Those of `NEEDS` that are not here."""
    return tuple(need for need in NEEDS if missing_packages([need]) or (need == AS_ROOT and not root()))


# ---------------------------------------------------------------------------------------------- the lines of NeMo Gym


def put_uv_on_path(folder: Path) -> None:
    """Let programs find the uv by which these tests were started (`~/.uv/bin/uv run`), and nothing else beside it."""
    uv = os.environ.get("UV")
    if uv and shutil.which("uv") is None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("uv", "uvx"):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(Path(uv).with_name(name))
        os.environ["PATH"] += f"{os.pathsep}{folder}"


def choose_lines() -> list[str]:
    """The lines of NeMo Gym to test: those of NEMO_GYM_LINES, or all; else the newest whose Python can be had."""
    chosen = os.environ.get("NEMO_GYM_LINES")
    if chosen:
        return chosen.split()
    if NOTHING_IS_LEFT_OUT:
        return list(PYTHON_OF_LINE)
    lines = [line for line in reversed(PYTHON_OF_LINE) if find_python(line) or download_python(line)][:1]
    # For the workers, and for what the tests start.
    os.environ["NEMO_GYM_LINES"] = " ".join(lines)
    return lines


@cache
def find_python(line: str) -> Path | None:
    """An interpreter that gives the wanted line of NeMo Gym: uv's, that of PATH, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for candidate in [PYTHON_OF_LINE[line], *map(str, sorted(pyenv.glob("versions/3.1[23]*/bin/python")))]:
        found = _ask("uv", "python", "find", "--system", "--no-python-downloads", candidate)
        if found and _gives(found, line):
            return Path(found)
    return None


def download_python(line: str) -> bool:
    """Let uv download an interpreter for a line; whether there is one now."""
    environ = {"UV_HTTP_RETRIES": "1", "UV_PYTHON_INSTALL_BIN": "0"}
    _ask("uv", "python", "install", PYTHON_OF_LINE[line], seconds=DOWNLOAD_SECONDS, **environ)
    find_python.cache_clear()
    return find_python(line) is not None


def _gives(python: str, line: str) -> bool:
    version = _ask(python, "-c", "import sys; print(*sys.version_info[:3])")
    number = tuple(map(int, version.split()))
    return (3, 13, 14) <= number < (3, 14) if line == "0.7" else (3, 12) <= number < (3, 13, 14)


def _ask(*command: str, seconds: float = 60, **environ: str) -> str:
    """What a program prints; nothing where it fails."""
    # That of the tests themselves is no answer.
    not_ours = ("VIRTUAL_ENV", "UV_PYTHON", "UV_INTERNAL__PARENT_INTERPRETER")
    variables = {key: value for key, value in os.environ.items() if key not in not_ours}
    try:
        done = subprocess.run(
            command, env=variables | environ, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


# ------------------------------------------------------------------------------------------------- what is said of it


def left_out(lines: Iterable[str]) -> str:
    """One line on what is missing, and what brings it; empty where nothing is."""
    if NOTHING_IS_LEFT_OUT:
        others = [line for line in lines if find_python(line) is None and not download_python(line)]
    else:
        others = [line for line in PYTHON_OF_LINE if line not in lines]
    names = [*missing_needs(), *(f"NeMo Gym {line}" for line in others), *([] if LONG_TOO else ["what takes long"])]
    if not names:
        return ""
    packages = missing_packages()
    sudo = "" if root() else "sudo "
    ways = [f"`{sudo}apt-get install {' '.join(packages)}`"] if packages else []
    if AS_ROOT in missing_needs() and not root():
        ways.append("root (for the containers)")
    if others:
        pythons = " ".join(f"'{PYTHON_OF_LINE[line]}'" for line in others if find_python(line) is None)
        install = f"`uv python install {pythons}` and " if pythons else ""
        ways.append(f'{install}`NEMO_GYM_LINES="{" ".join(PYTHON_OF_LINE)}"`')
    if not LONG_TOO:
        ways.append("`LONG=1`")
    return f"{', '.join(names)}. To test that too: {'; '.join(ways)}"


if __name__ == "__main__":
    print(" ".join(missing_packages()))
