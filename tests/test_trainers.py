"""Real training in a generated environment, by the programs of its train/ (`FULL=1`: PyTorch weighs gigabytes)."""

import json
import math
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Environments
from generated import LINES, ROOT, Environment, free_port, run, run_ok, user_environ

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("training")]

SHORT = ("--rows", "16", "--warm-steps", "20", "--prompts", "2", "--generations", "4", "--samples", "1")

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
def trained(environments: Environments) -> tuple[Environment, Path]:
    """A game in which a tiny model has been trained for three steps, and the run's folder."""
    environment = environments("game", LINES[0])
    run_ok("uv", "sync", "-q", "--project", "train", cwd=environment.path, timeout=1800)
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
    from gym_servers import serving

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
    assert "holds a model already" in one_line(environment, "grpo", "--model", model, "--output", folder / "warm")
    wrong = ("--trl", '{"no_such_setting": 1}', "--output", tmp_path / "wrong")
    assert "no_such_setting" in one_line(environment, "grpo", "--model", model, *wrong)
    broken = ("--learning-rate", "1e30", "--steps", "5", "--generations", "4", "--prompts", "2", "--max-tokens", "400")
    said = one_line(environment, "grpo", "--model", model, *broken, "--output", tmp_path / "broken")
    assert "not finite" in said


def test_a_key_that_is_missing_is_said(trained: tuple[Environment, Path]) -> None:
    environment, folder = trained
    from gym_servers import serving

    with serving(environment, ENV_API_KEY="a-key-of-tests") as url:
        said = one_line(environment, "evaluate", "--model", str(folder / "warm"), "--url", url)
    assert "set ENV_API_KEY" in said


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


def test_the_programs_of_train_are_typed_and_their_model_is_served(trained: tuple[Environment, Path]) -> None:
    environment, _ = trained
    import sys

    done = run(sys.executable, "-m", "pyright", "train", "--pythonpath", python(environment), cwd=environment.path)
    assert done.returncode == 0, done.stdout
    assert (ROOT / "standins/standin_vllm.py").exists()
