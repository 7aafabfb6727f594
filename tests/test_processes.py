"""A server that fails in a fixture shows its own error, not that of the clean-up."""

import os
import sys
import time
from pathlib import Path

import pytest
from processes import started


def enter(command: list[str], folder: Path) -> None:
    """Start a server that is never ready."""
    with started(command, folder, os.environ, folder / "log", lambda: False, seconds=2):
        pytest.fail("it was never ready")


def test_a_server_that_ends_before_it_is_ready_shows_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with pytest.raises(AssertionError, match=r"exited with 1 after \d s; it said:\nthe port is taken"):
        enter(command, tmp_path)


def test_a_server_that_is_never_ready_shows_what_it_said_and_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-c", "import time; print('waiting for Godot'); time.sleep(60)"]
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"is not ready after 2 s; it said:\nwaiting for Godot"):
        enter(command, tmp_path)
    assert time.monotonic() - began < 30


def test_one_that_ends_while_it_is_used_does_not_hide_the_tests_own_error(tmp_path: Path) -> None:
    server = started([sys.executable, "-c", "pass"], tmp_path, os.environ, tmp_path / "log", lambda: True)
    with pytest.raises(ZeroDivisionError), server as process:
        process.wait()
        raise ZeroDivisionError
