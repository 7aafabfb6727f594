"""docs/scaling.md: a grader that keeps a core busy, on a real Ray cluster of two nodes' processes."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from generated import FULL, LINES, ROOT, Environment, run_ok


# In CI the newest line does for both. NeMo Gym's own commands start Ray as well, and are in this group.
@pytest.mark.long
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", LINES if FULL else LINES[-1:], indirect=True)
def test_ray_speeds_a_grader_up_and_a_lost_worker_costs_no_reward(environment: Environment, tmp_path: Path) -> None:
    output = tmp_path / "measured.json"
    benchmark = [sys.executable, ROOT / "benchmarks" / "ray_grading.py", environment.path, "--quick", "--json", output]
    print(run_ok(*benchmark, cwd=ROOT, timeout=300))
    measured: dict[str, Any] = json.loads(output.read_text())
    process, one, two = (measured[f"{name}"] for name in ("in the server's process", "on one node", "on two nodes"))

    verdicts = process["verdicts"] + one["verdicts"] + two["verdicts"] + measured["lost worker"]["verdicts"]
    assert len(verdicts) == 3 * measured["tasks"] + 4
    assert all(verdict == process["verdicts"][0] for verdict in verdicts)
    assert verdicts[0]["reward"] == 1.0
    assert verdicts[0]["mask_sample"] is False
    assert 0.5 < verdicts[0]["strength"] <= 1.0

    assert [process["workers"], one["workers"], two["workers"]] == [0, 1, 2]
    # How much that gains depends on what else the machine does: the full form is for a quiet one.
    if FULL and len(os.sched_getaffinity(0)) > 1:
        assert one["seconds"] / two["seconds"] > 1.6
        assert process["seconds"] / two["seconds"] > 1.6
    # While it grades in its own process, the server answers nobody; on the cluster, everybody.
    assert two["longest other call"] < process["longest other call"] / 2
