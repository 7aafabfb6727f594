"""The soak in its short form: every fault, once or more, against a generated game."""

import sys

import pytest
from generated import FULL, LINES, ROOT, Environment, run


# In CI the newest line does for both: a run takes half a minute.
@pytest.mark.long
@pytest.mark.alone
@pytest.mark.xdist_group("alone")
@pytest.mark.parametrize("environment", LINES if FULL else LINES[-1:], indirect=True)
def test_it_keeps_its_word_under_every_fault(environment: Environment) -> None:
    soak = [
        sys.executable,
        ROOT / "benchmarks" / "soak.py",
        environment.path,
        "--episodes",
        "500",
        "--concurrency",
        "32",
    ]
    done = run(*soak, cwd=ROOT, timeout=240)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
