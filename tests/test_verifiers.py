"""verifiers' own command plays a generated game, by its own client of NeMo Gym's servers."""

import json
from pathlib import Path

import pytest
from conftest import STANDIN
from generated import LINES, Environment, interpreter_for, run_ok
from gym_servers import serving, standin
from standin_model import gives_up

CONFIG = """\
model = "standin"
num_rollouts = 4
push = false

[client]
type = "eval"
base_url = "{model}"
api_key_var = "STANDIN_KEY"

[env.taskset]
id = "nemo_gym"
dataset = "{environment}/data/example.jsonl"

[env.taskset.task]
resources_url = "{url}"

[env.agent.harness]
id = "null"

[env.agent.runtime]
type = "subprocess"
"""


@pytest.mark.full
@pytest.mark.parametrize("environment", LINES, indirect=True)
def test_its_command_plays_and_its_rewards_are_what_the_play_deserves(environment: Environment, tmp_path: Path) -> None:
    run_ok("uv", "venv", "-q", "--python", interpreter_for(LINES[0]), cwd=tmp_path)
    run_ok("uv", "pip", "install", "-q", "verifiers==0.4.*", cwd=tmp_path)
    with serving(environment) as url, standin(STANDIN, environment, tmp_path / "model.jsonl") as model:
        config = CONFIG.format(model=model, environment=environment.path, url=url)
        (tmp_path / "verifiers.toml").write_text(config)
        command = (tmp_path / ".venv/bin/vf-eval", "@", "verifiers.toml")
        run_ok(*command, cwd=tmp_path, env={"STANDIN_KEY": "none"})
    (path,) = tmp_path.glob("outputs/*/traces.jsonl")
    traces = [trace for line in path.read_text().splitlines() for trace in json.loads(line)["traces"]]
    rewards = [trace["rewards"]["nemo_gym"]["score"] for trace in traces]
    assert len(rewards) == 20
    assert rewards == [deserved(trace["nodes"]) for trace in traces]
    assert set(rewards) == {0.0, 1.0}
    assert not any(trace["info"]["nemo_gym"]["mask_sample"] for trace in traces)


def deserved(nodes: list[dict[str, dict[str, str]]]) -> float:
    """What the stand-in has earned: its player solves whatever it does not give up."""
    prompt, *outputs = [node["message"]["content"] for node in nodes if node["message"]["role"] != "assistant"]
    return 0.0 if gives_up(prompt, outputs[0]) else 1.0
