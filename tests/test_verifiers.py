"""verifiers' own command plays generated environments, by its client of NeMo Gym's servers and the file they ship."""

import json
from pathlib import Path

import pytest
from conftest import STANDIN
from generated import LINES, Environment, interpreter_for, run_ok
from gym_servers import serving, standin
from standin_model import gives_up

ENVIRONMENTS = [LINES[0], f"question {LINES[-1]}", f"tools {LINES[0]}"]
ROWS = 5
"""Of the example split, played four times each."""


@pytest.mark.full
@pytest.mark.parametrize("environment", ENVIRONMENTS, indirect=True)
def test_its_command_plays_by_the_file_of_the_environment(environment: Environment, tmp_path: Path) -> None:
    run_ok("uv", "venv", "-q", "--python", interpreter_for(LINES[0]), cwd=tmp_path)
    run_ok("uv", "pip", "install", "-q", "verifiers==0.4.*", cwd=tmp_path)
    with serving(environment) as url, standin(STANDIN, environment, tmp_path / "model.jsonl") as model:
        options = ("--model", "standin", "--client.base-url", model, "--client.api-key-var", "STANDIN_KEY")
        options += ("--env.taskset.task.resources-url", url, "--output-dir", tmp_path / "outputs")
        options += ("--select.limit", str(ROWS))
        command = (tmp_path / ".venv/bin/vf-eval", "@", "train/verifiers.toml", *options)
        run_ok(*command, cwd=environment.path, env={"STANDIN_KEY": "none"})
    (path,) = tmp_path.glob("outputs/*/traces.jsonl")
    traces = [trace for line in path.read_text().splitlines() for trace in json.loads(line)["traces"]]
    assert [error["message"] for trace in traces for error in trace["errors"]] == []
    rewards = [trace["rewards"]["nemo_gym"]["score"] for trace in traces]
    assert len(rewards) == 4 * ROWS
    assert rewards == [deserved(trace["nodes"]) for trace in traces]
    assert set(rewards) == {0.0, 1.0}
    assert not any(trace["info"]["nemo_gym"]["mask_sample"] for trace in traces)


def deserved(nodes: list[dict[str, dict[str, str]]]) -> float:
    """What the stand-in has earned: its player solves whatever it does not give up."""
    prompt, *outputs = [node["message"]["content"] for node in nodes if node["message"]["role"] != "assistant"]
    return 0.0 if gives_up(prompt, *outputs[:1]) else 1.0
