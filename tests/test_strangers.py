"""A stranger on an open port: benchmarks/strangers.py in its short form, against a generated game."""

import sys

import pytest
from generated import FULL, LINES, ROOT, Environment, run


# In CI the newest line does for both.
@pytest.mark.long
@pytest.mark.alone
@pytest.mark.xdist_group("alone")
@pytest.mark.parametrize("environment", LINES if FULL else LINES[-1:], indirect=True)
def test_nobody_locks_the_others_out(environment: Environment) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "strangers.py", environment.path, "--seconds", "5"]
    # A busy machine adds to each stall: what is looked for here is one of seconds.
    done = run(*command, "--most-stall", "1", cwd=ROOT, timeout=240)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
