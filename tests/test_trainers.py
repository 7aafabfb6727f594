"""Real training in a generated environment, by the programs of its train/ (`FULL=1`: PyTorch weighs gigabytes).

`TRAINING_VENV` names a virtual environment with what train/pyproject.toml asks for; without it, one is made.
"""

import ast
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Environments
from generated import LINES, ROOT, Environment, edited, free_port, run, run_ok, user_environ
from gym_servers import gym_eval_run, head_server, policy_overrides, servers, serving
from processes import answers, started

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("ray")]

SPLITS = ("train", "validation", "example")
STANDIN_VLLM = ROOT / "standins" / "standin_vllm.py"
SHORT = ("--rows", "16", "--warm-steps", "60", "--prompts", "2", "--generations", "4", "--samples", "1")

MASKED = """
import json, math, sys
sys.path.insert(0, "train")
import grpo, models
from gymkit.rows import data_path, read_rows

url, model, output = sys.argv[1:]
rows = read_rows(data_path("train"))[:2]
options = dict(output=output, steps=2, prompts=2, generations=4, max_tokens=400, max_turns=20, learning_rate=1e-4)
settings = grpo.settings(type("Options", (), options | {"save_every": 100, "seed": 0, "trl": {}}))
given = {"all": [1.0, 0.0, 1.0, 0.0], "one masked": [1.0, 0.0, 1.0, None]}

def run(rewards):
    def reward(completions, **_):
        return (rewards * len(completions))[: len(completions)]
    made = grpo.trainer(models.load(model, True), url, grpo.tools_at(url), rows, settings, reward)
    seen = []
    original = made._generate_and_score_completions
    def watched(inputs):
        output = original(inputs)
        seen.append(output["advantages"].tolist())
        return output
    made._generate_and_score_completions = watched
    made.train()
    logged = [each["reward"] for each in made.state.log_history if "reward" in each]
    return {"advantages": seen, "rewards": logged, "finite": all(math.isfinite(x) for step in seen for x in step)}

print("RESULT", json.dumps({name: run(rewards) for name, rewards in given.items()}))
"""


@pytest.fixture(scope="module")
def environment(environments: Environments) -> Environment:
    """A game with the packages of train/. (`venv_of_servers` asks for it.)"""
    made = environments("game", LINES[-1])
    if venv := os.environ.get("TRAINING_VENV"):
        (made.path / "train/.venv").symlink_to(venv)
    else:
        run_ok("uv", "sync", "-q", "--project", "train", cwd=made.path, timeout=1800)
    return made


@pytest.fixture(scope="module")
def trained(environment: Environment) -> tuple[Environment, Path]:
    """A game in which a tiny model has been trained for three steps, and the run's folder."""
    smoke(environment, *SHORT, "--steps", "3")
    return environment, environment.path / "results" / "smoke"


def python(environment: Environment) -> Path:
    return environment.path / "train/.venv/bin/python"


def smoke(environment: Environment, *options: str, **kwargs: Any) -> str:
    return run_ok(python(environment), "train/smoke.py", *options, cwd=environment.path, timeout=900, **kwargs)


def one_line(environment: Environment, program: str, *options: str | Path) -> str:
    """What a program says that is to fail, in one line and without a traceback."""
    done = run(python(environment), f"train/{program}.py", *options, cwd=environment.path, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip().splitlines()[-1]


def curve_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "grpo" / "curve.jsonl").read_text().splitlines()]


def test_three_steps_have_finite_losses_and_leave_figures_and_a_picture(trained: tuple[Environment, Path]) -> None:
    environment, folder = trained
    curve = curve_of(folder)
    assert [each["step"] for each in curve] == [1, 2, 3]
    assert all(math.isfinite(each["loss"]) and 0 <= each["reward"] <= 1 for each in curve)
    assert all(each["masked"] == 0 and each["failed"] == 0 for each in curve)
    result = json.loads((folder / "result.json").read_text())
    assert result["before"]["held out"]["episodes"] == 64
    assert (environment.path / "results/training.png").read_bytes().startswith(b"\x89PNG")
    assert "holds a finished run" in one_line(environment, "smoke")


def test_a_masked_sample_moves_neither_baseline_nor_log(trained: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, folder = trained
    with serving(environment) as url:
        said = run_ok(
            python(environment), "-c", MASKED, url, folder / "warm", tmp_path / "out", cwd=environment.path, timeout=600
        )
    found = json.loads(said.partition("RESULT ")[2].splitlines()[0])
    assert found["all"]["finite"] and found["one masked"]["finite"]
    assert found["all"]["rewards"] == pytest.approx([0.5, 0.5])
    assert found["one masked"]["rewards"] == pytest.approx([2 / 3, 2 / 3], abs=1e-3)
    for step in found["one masked"]["advantages"]:
        for group in (step[:4], step[4:]):
            assert group[3] == 0
            assert sum(group[:3]) == pytest.approx(0, abs=1e-5)  # The baseline is the mean of the three.
            assert group[1] < 0 < group[0] == group[2]


def test_what_does_not_work_is_one_line(trained: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, folder = trained
    model = str(folder / "warm")
    nobody = f"http://127.0.0.1:{free_port()}"
    assert "Nothing answers at" in one_line(environment, "evaluate", "--model", model, "--url", nobody)
    assert "no/such" in one_line(environment, "evaluate", "--model", "./no/such")
    silent = tmp_path / "silent"
    run_ok("cp", "-r", model, silent, cwd=tmp_path)
    (silent / "chat_template.jinja").unlink()
    assert "has no chat template" in one_line(environment, "evaluate", "--model", str(silent))
    (silent / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert "shows no tool calls" in one_line(environment, "evaluate", "--model", str(silent))
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"task_id": "lost", "responses_create_params": {}}) + "\n")
    assert "Row lost" in one_line(environment, "evaluate", "--model", model, "--data", rows)
    rows.write_text('{"prompt": "Hello."}\n')
    assert "this is no data row" in one_line(environment, "evaluate", "--model", model, "--data", rows)
    example = environment.path / "data/example.jsonl"
    warm = ("--rollouts", example, "--output", tmp_path / "warm")
    assert "this is no episode, but a row" in one_line(environment, "warm_start", *warm)
    assert "--give-up is a probability" in one_line(environment, "warm_start", *warm, "--give-up", "1")
    assert "holds a model already" in one_line(environment, "grpo", "--model", model, "--output", folder / "warm")
    wrong = ("--trl", '{"no_such_setting": 1}', "--output", tmp_path / "wrong")
    assert "no_such_setting" in one_line(environment, "grpo", "--model", model, *wrong)


def test_a_model_that_is_not_finite_ends_the_training_and_keeps_what_was_saved(
    trained: tuple[Environment, Path], tmp_path: Path
) -> None:
    environment, folder = trained
    # The decay of the weights makes them huge, whatever was earned.
    broken = ("--learning-rate", "1e30", "--trl", '{"weight_decay": 1.0}', "--steps", "5", "--save-every", "1")
    small = ("--generations", "4", "--prompts", "2", "--max-tokens", "400", "--output", tmp_path)
    said = one_line(environment, "grpo", "--model", folder / "warm", *broken, *small)
    assert "probabilities are not finite" in said and "--learning-rate" in said
    assert (tmp_path / "checkpoint-1" / "trainer_state.json").exists()
    assert not (tmp_path / "config.json").exists()


def test_a_loss_that_is_not_finite_ends_the_training(environment: Environment, tmp_path: Path) -> None:
    program = """
import math, sys
from types import SimpleNamespace
sys.path.insert(0, "train")
import curve, programs
from pathlib import Path
logs = {"reward": 0.5, "loss": math.nan}
programs.program(lambda: curve.Curve(Path(sys.argv[1]), 5).on_log(None, SimpleNamespace(global_step=3), None, logs))
"""
    done = run(python(environment), "-c", program, tmp_path, cwd=environment.path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("Step 3: loss is nan, not finite.")


def test_a_key_that_is_missing_is_said(trained: tuple[Environment, Path]) -> None:
    environment, folder = trained
    with serving(environment, ENV_API_KEY="a-key-of-tests") as url:
        said = one_line(environment, "evaluate", "--model", str(folder / "warm"), "--url", url)
    assert "set ENV_API_KEY" in said


def test_an_environment_without_a_place_for_all_episodes_is_said(trained: tuple[Environment, Path]) -> None:
    environment, folder = trained
    config = environment.path / "configs" / "my_env.yaml"
    text = config.read_text(encoding="utf-8").replace("# max_sessions: 10000", "max_sessions: 3")
    with edited(config, text), serving(environment) as url:
        said = one_line(environment, "evaluate", "--model", str(folder / "warm"), "--url", url)
    assert "the environment is full" in said and "`max_sessions`" in said


def test_a_training_that_was_interrupted_goes_on(trained: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, folder = trained
    options = ("--model", str(folder / "warm"), "--output", str(tmp_path), "--save-every", "2", "--max-tokens", "400")
    command = [python(environment), "train/grpo.py", *options, "--prompts", "2", "--generations", "4", "--steps"]
    begun = subprocess.Popen(
        [*map(str, command), "1000"], cwd=environment.path, env=user_environ(), stdout=subprocess.PIPE, text=True
    )
    assert begun.stdout is not None
    for line in begun.stdout:
        if line.startswith("step    5/"):
            break
    begun.send_signal(signal.SIGINT)
    rest = begun.communicate(timeout=120)[0]
    assert begun.returncode == 130
    assert "The same command goes on" in rest
    said = run_ok(*command, "6", cwd=environment.path, timeout=600)
    assert "Going on from" in said and "checkpoint-4" in said
    steps = [json.loads(line)["step"] for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "config.json").exists()


def test_the_programs_of_train_are_typed(environment: Environment) -> None:
    pyright = (sys.executable, "-m", "pyright", "train", "--pythonpath", python(environment))
    done = run(*pyright, cwd=environment.path)
    assert done.returncode == 0, done.stdout


# ------------------------------------------------------------------------------- the same model, served to NeMo Gym


@contextmanager
def served(environment: Environment, model: Path, log: Path) -> Iterator[str]:
    """A model, served as vLLM serves one; its base URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = [python(environment), STANDIN_VLLM, str(port), model, log]
    with started(command, environment.path, user_environ(), log.with_suffix(".said"), answers(f"{url}/models")):
        yield url


def of_rollouts(path: Path) -> tuple[float, float]:
    """The mean reward of rollouts, and its standard error over rows."""
    rewards: dict[str, list[float]] = {}
    for each in map(json.loads, path.read_text().splitlines()):
        assert not each["mask_sample"]
        rewards.setdefault(each["task_id"], []).append(each["reward"])
    means = [statistics.mean(values) for values in rewards.values()]
    return statistics.mean(means), statistics.stdev(means) / math.sqrt(len(means))


def test_it_earns_outside_of_the_trainer_what_it_earns_within(
    environment: Environment, venv_of_servers: list[str], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    played = ("--data", "data/train.jsonl", "--episodes", "560", "--concurrency", "8")
    environment.run_ok("uv", "run", "python", "rollout.py", *played, "--output", "results/played.jsonl")
    # So long that some episodes are won.
    warm = ("--rollouts", "results/played.jsonl", "--output", model, "--steps", "350", "--batch", "32")
    run_ok(python(environment), "train/warm_start.py", *warm, cwd=environment.path, timeout=900)
    command = (python(environment), "train/evaluate.py", "--model", model, "--max-tokens", "400", "--samples", "2")
    run_ok(*command, "--output", tmp_path / "result.json", cwd=environment.path, timeout=600)
    inside = json.loads((tmp_path / "result.json").read_text())
    results = environment.path / "results"
    with served(environment, model, tmp_path / "requests.jsonl") as url:
        episodes = ("--data", "data/validation.jsonl", "--episodes", "128", "--concurrency", "4")
        environment.run_ok(
            *("uv", "run", "python", "rollout.py", *episodes, "--model", "model", "--base-url", url, "--chat"),
            *("--output", "results/outside.jsonl"),
            timeout=400,
        )
        gym_eval_run(
            environment, results / "eval.jsonl", url, "vllm_model", "+num_repeats=2", *venv_of_servers, timeout=400
        )
    for path in (results / "outside.jsonl", results / "eval.jsonl"):
        mean, error = of_rollouts(path)
        print(path.name, mean, error, "within:", inside["reward"], inside["error"])
        assert abs(mean - inside["reward"]) <= 2 * math.hypot(error, inside["error"]) + 1e-9


@pytest.mark.parametrize("line", LINES)
def test_rollouts_for_nemo_rl_are_contiguous(
    trained: tuple[Environment, Path], environments: Environments, line: str, tmp_path: Path
) -> None:
    """With the rows that train/nemo_rl.py prepares, and NeMo Gym's model server as NeMo RL starts it."""
    trainer, folder = trained
    environment = environments("game", line)
    environment.run_ok("uv", "run", "python", "train/nemo_rl.py", "--output", tmp_path)
    rows = tmp_path / "some.jsonl"
    rows.write_text("".join((tmp_path / "validation.jsonl").read_text().splitlines(keepends=True)[:16]))
    head, configs = head_server(), "responses_api_models/vllm_model/configs/vllm_model_for_training.yaml"
    venvs = ["+skip_venv_if_present=true", f"+uv_venv_dir={venvs_for(environment, tmp_path)}"]
    with served(trainer, folder / "grpo", tmp_path / "requests.jsonl") as url:
        start = ["ng_run", f"+config_paths=[configs/my_env.yaml,{configs}]", *policy_overrides(url), *venvs, *head]
        start.append("++policy_model.responses_api_models.vllm_model.uses_reasoning_parser=false")
        with servers(environment, tmp_path / "servers.log", *start):
            files = (f"+input_jsonl_fpath={rows}", f"+output_jsonl_fpath={tmp_path / 'rollouts.jsonl'}")
            environment.run_ok("ng_collect_rollouts", *files, *head, env=environment.activated(), timeout=300)
    rollouts = [json.loads(each) for each in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    assert len(rollouts) == 16
    turns = [turns_of(rollout["response"]["output"]) for rollout in rollouts]
    assert max(map(len, turns)) > 1
    for rollout in turns:
        assert rollout
        for (prompt, made), (following, _) in itertools.pairwise(rollout):
            assert following[: len(prompt) + len(made)] == prompt + made


def turns_of(output: list[dict[str, Any]]) -> list[tuple[list[int], list[int]]]:
    """The tokens of each turn: its prompt, and what the model made."""
    found = [each for each in output if each.get("generation_token_ids")]
    return [([*map(int, each["prompt_token_ids"])], [*map(int, each["generation_token_ids"])]) for each in found]


def venvs_for(environment: Environment, folder: Path) -> Path:
    """Where NeMo Gym's servers find the environment's virtual environment."""
    for server in (
        *("resources_servers/my_env", "responses_api_agents/simple_agent", "responses_api_models/vllm_model"),
        *("environment_servers/single_agent_turn_legacy", "environment_servers/legacy_agent"),
    ):
        (folder / "venvs" / server).mkdir(parents=True)
        (folder / "venvs" / server / ".venv").symlink_to(environment.path / ".venv")
    return folder / "venvs"


def test_datasets_loads_the_data_set_for_the_hub(
    environment: Environment, environments: Environments, tmp_path: Path
) -> None:
    other = environments("sandbox", LINES[0])  # whose answers are numbers, texts and lists
    other.run_ok("uv", "run", "python", "train/hub.py", "--output", tmp_path / "hub")
    program = (
        "import datasets, sys; print({name: len(rows) for name, rows in datasets.load_dataset(sys.argv[1]).items()})"
    )
    said = run_ok(python(environment), "-c", program, tmp_path / "hub", cwd=tmp_path, env={"HF_HOME": str(tmp_path)})
    counts = {split: len((other.path / "data" / f"{split}.jsonl").read_text().splitlines()) for split in SPLITS}
    assert ast.literal_eval(said.splitlines()[-1]) == counts
