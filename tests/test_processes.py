"""A server that fails in a fixture shows its own error, not that of the clean-up."""

import os
import sys
import time
from pathlib import Path

import pytest
from processes import started


def test_a_server_that_ends_before_it_is_ready_shows_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with pytest.raises(AssertionError, match=r"exited with 1 after \d s; it said:\nthe port is taken"):
        with started(command, tmp_path, os.environ, tmp_path / "log", lambda: False):
            pytest.fail("it was never ready")


def test_a_server_that_is_never_ready_shows_what_it_said_and_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-c", "import time; print('waiting for Godot'); time.sleep(60)"]
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"is not ready after 2 s; it said:\nwaiting for Godot"):
        with started(command, tmp_path, os.environ, tmp_path / "log", lambda: False, seconds=2):
            pytest.fail("it was never ready")
    assert time.monotonic() - began < 30


def test_one_that_ends_while_it_is_used_does_not_hide_the_tests_own_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with started([sys.executable, "-c", "pass"], tmp_path, os.environ, tmp_path / "log", lambda: True) as server:
            server.wait()
            raise ZeroDivisionError
