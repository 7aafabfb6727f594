"""Models and gateways that answer oddly (standins/odd_model.py): every episode is accounted for, and the others go on.

By rollout.py over both APIs, and by agent.py under NeMo Gym on both lines.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from generated import FULL, LINES, ROOT, Environment
from gym_servers import MODEL_TYPES, standin, started_by_ng_run
from odd_model import FAILURES, ODDITIES

ODD_MODEL = ROOT / "standins" / "odd_model.py"
EPISODES = 200 if FULL else 40
CONCURRENCY = 8


def what_was_odd(log: Path) -> Counter[str]:
    """How often each oddity was answered."""
    return Counter(name for line in log.read_text().splitlines() for name in json.loads(line)["odd"])


@pytest.mark.long
@pytest.mark.parametrize("environment", [LINES[-1]], indirect=True)
@pytest.mark.parametrize("api", ["responses", "chat"])
def test_rollout_accounts_for_every_episode(environment: Environment, api: str, tmp_path: Path) -> None:
    log, output = tmp_path / "requests.jsonl", tmp_path / "rollouts.jsonl"
    with standin(ODD_MODEL, environment, log) as url:
        done = environment.run(
            *(environment.python, "rollout.py", "--model", "odd", "--base-url", url, "--output", output),
            *("--episodes", str(EPISODES), "--concurrency", str(CONCURRENCY)),
            *(("--chat",) if api == "chat" else ()),
            # A terminal that has no UTF-8.
            env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "OPENAI_API_KEY": "none"},
            timeout=900,
        )
    odd = what_was_odd(log)
    assert set(odd) == {*FAILURES, *ODDITIES} or not FULL, set(FAILURES) | set(ODDITIES) - set(odd)
    assert "reasoning forgotten" not in odd
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    failed = [result for result in results if result.get("failure_kind")]
    graded = [result for result in results if not result.get("failure_kind")]
    assert len(results) == EPISODES
    assert failed, "the endpoint was not odd enough"
    assert graded
    counted = [int(number) for number in re.findall(r"failed \(.*\): (\d+)$", done.stdout, re.MULTILINE)]
    assert sum(counted) == len(failed), done.stdout
    assert f"over {len(graded)} graded episodes" in done.stdout
    assert done.returncode == 1
    # What the provider says is shown; and what had been played is written.
    assert "the provider says why" in done.stdout
    assert all(result["mask_sample"] for result in failed)
    assert any(result["response"]["output"] for result in failed)
    assert sum(len(result["response"]["output"]) for result in graded) > len(graded)


ALL_RUNS = [(f"computer_use {line}", model) for line in LINES for model in MODEL_TYPES]


@pytest.mark.full
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize(("environment", "model_type"), ALL_RUNS, indirect=["environment"])
def test_the_agent_accounts_for_every_episode(
    environment: Environment, venv_of_servers: list[str], model_type: str, tmp_path: Path
) -> None:
    log, output = tmp_path / "requests.jsonl", environment.path / "results" / f"odd_{model_type}.jsonl"
    rows = (environment.path / "data" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f"{rows[number % len(rows)]}\n" for number in range(EPISODES)), encoding="utf-8")
    said = tmp_path / "servers.log"
    with standin(ODD_MODEL, environment, log, "terminate") as url:
        # NeMo Gym 0.4's openai_model asks an endpoint for ever that answers 429, 502 or 503.
        limit = "++my_env_agent.responses_api_agents.my_env_agent.model_seconds=15"
        with started_by_ng_run(environment, said, url, model_type, limit, *venv_of_servers) as head:
            done = environment.run(
                *("ng_collect_rollouts", "+agent_name=my_env_agent", f"+input_jsonl_fpath={data}"),
                *(f"+output_jsonl_fpath={output}", f"+num_samples_in_parallel={CONCURRENCY}", *head),
                env=environment.activated(),
                timeout=1200,
            )
            lines = said.read_text(errors="replace").splitlines()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    results: list[dict[str, Any]] = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    failures = output.with_name(f"{output.stem}_failures.jsonl")
    if failures.exists():
        results += [json.loads(line) for line in failures.read_text(encoding="utf-8").splitlines()]
    assert len(results) == EPISODES
    kinds = Counter((result.get("mask_sample"), result.get("failure_kind")) for result in results)
    print(kinds, what_was_odd(log))
    assert kinds[False, None]
    assert kinds[True, "agent_run_error"] or kinds[False, "agent_run_error"]
    # The model server logs tracebacks of its own, at times in the middle of another server's line.
    assert not [line for line in lines if re.match(r"\(my_env_agent\)\s+(\+ Exception Group )?Traceback", line)]
