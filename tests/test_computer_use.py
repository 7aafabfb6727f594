"""A generated computer-use environment on both lines of NeMo Gym, with its own agent and a stand-in for the model."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from generated import LINES, Environment, Template, free_port, generate, interpreter_for, run_ok
from PIL import Image, ImageChops, ImageStat
from standin_player import only_claims, text_of
from test_nemo_gym import head_server, policy_overrides, servers

STANDIN = Path(__file__).with_name("standin_player.py")
MODEL_TYPES = ["openai_model", "vllm_model"]


@pytest.fixture(scope="module", params=LINES)
def environment(
    request: pytest.FixtureRequest, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """A computer-use environment called my_env, generated with its hook."""
    line: str = request.param
    folder = tmp_path_factory.mktemp(f"desktop_{line.replace('.', '_')}") / "my_env"
    return generate(template, folder, line, interpreter_for(line), "archetype=computer_use")


@pytest.fixture
def policy(environment: Environment, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The stand-in model: its base URL, and the log of all requests that it got."""
    port, log = free_port(), tmp_path / "requests.jsonl"
    process = subprocess.Popen([sys.executable, STANDIN, str(port), environment.path, "example", log])
    try:
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1", log
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def shared_venv(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides by which all servers use the environment's own virtual environment."""
    root = tmp_path_factory.mktemp("venvs")
    names = ["resources_servers/my_env", "responses_api_agents/my_env_agent", "environment_servers/legacy_agent"]
    for server in [*names, *(f"responses_api_models/{name}" for name in MODEL_TYPES)]:
        (root / server).mkdir(parents=True)
        (root / server / ".venv").symlink_to(environment.path / ".venv")
    return ["+skip_venv_if_present=true", f"+uv_venv_dir={root}", "+uvicorn_logging_show_200_ok=true"]


def pictures_in(messages: list[dict[str, Any]]) -> list[str]:
    """The data URLs of all pictures that a request shows the model as pictures."""
    urls = []
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            if part.get("type") == "input_image":
                urls.append(part["image_url"])
            elif part.get("type") == "image_url":
                urls.append(part["image_url"]["url"])
    return urls


def decoded(url: str) -> Image.Image:
    assert url.startswith("data:image/jpeg;base64,")
    return Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, from 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def test_it_wins_by_clicks_and_keys_and_leaves_a_page_to_watch(environment: Environment) -> None:
    output = run_ok(
        *("uv", "run", "python", "rollout.py", "--record", "results/episode.html"),
        cwd=environment.path,
        **environment.environ(),
    )
    assert output.rstrip().endswith("Reward: 1")
    page = (environment.path / "results" / "episode.html").read_text(encoding="utf-8")
    folder = Path(re.findall(r"Pictures: (.+)", output)[0])
    saved = sorted(folder.iterdir())
    assert saved
    for path in saved:
        assert base64.b64encode(path.read_bytes()).decode() in page
    first, last = (Image.open(path).convert("RGB") for path in (saved[0], saved[-1]))
    assert first.size == last.size == (1024, 768)
    assert difference(first, last) > 0.5


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_model_sees_the_screen_after_each_action(
    environment: Environment, policy: tuple[str, Path], shared_venv: list[str], model_type: str, tmp_path: Path
) -> None:
    head = head_server()
    configs = f"configs/my_env.yaml,responses_api_models/{model_type}/configs/{model_type}.yaml"
    start = ["ng_run", f"+config_paths=[{configs}]", *policy_overrides(policy[0]), *shared_venv, *head]
    output = environment.path / "results" / f"example_{model_type}.jsonl"
    with servers(environment, tmp_path / "servers.log", *start):
        run_ok(
            *("ng_collect_rollouts", "+agent_name=my_env_agent", "+input_jsonl_fpath=data/example.jsonl"),
            *(f"+output_jsonl_fpath=results/{output.name}", *head),
            cwd=environment.path,
            timeout=300,
            **environment.activated(),
        )
    rows = [json.loads(line) for line in (environment.path / "data" / "example.jsonl").read_text().splitlines()]
    results = {result["task_id"]: result for result in map(json.loads, output.read_text().splitlines())}
    for number, row in enumerate(rows):
        # The application's state decides: to claim success earns nothing.
        assert results[row["task_id"]]["reward"] == (0.0 if only_claims(number) else 1.0)
        assert results[row["task_id"]]["mask_sample"] is False

    # What the screen really shows after each action: the same row, played without a model or NeMo Gym.
    reference = tmp_path / "reference.jsonl"
    run_ok(
        *(environment.python, "rollout.py", "--episodes", str(len(rows)), "--output", str(reference)),
        cwd=environment.path,
    )
    screens = {
        episode["task_id"]: [decoded(url) for url in pictures_in(episode["response"]["output"])]
        for episode in map(json.loads, reference.read_text(encoding="utf-8").splitlines())
    }
    seen: dict[str, list[str]] = {}
    for request in map(json.loads, policy[1].read_text().splitlines()):
        body = request["body"]
        messages = body.get("messages") or body["input"]
        prompt = text_of(messages[0]["content"])
        shown = pictures_in(messages)
        task_id = next(r["task_id"] for r in rows if r["responses_create_params"]["input"][0]["content"] == prompt)
        # Each request shows what the one before showed, and the screen after the last action as its last message.
        assert shown[: len(seen.get(task_id, []))] == seen.get(task_id, [])
        if len(shown) > len(seen.get(task_id, [])):
            assert pictures_in(messages[-1:]) == shown[-1:]
        seen[task_id] = shown
        # None of it comes as text.
        outputs = [m for m in messages if m.get("role") == "tool" or m.get("type") == "function_call_output"]
        assert "base64" not in json.dumps(outputs)
    for number, row in enumerate(rows):
        if only_claims(number):
            continue
        shown = [decoded(url) for url in seen[row["task_id"]]]
        assert len(shown) == len(row["oracle"]) - 1  # All but terminate, after which the model is not asked again.
        for one, other in zip(shown, screens[row["task_id"]], strict=True):
            assert difference(one, other) < 1
    wrong = difference(shown[0], shown[-1])
    assert wrong > 1, "the comparison could not tell one screen from another"


@pytest.mark.parametrize("environment", [line for line in LINES if line == "0.7"], indirect=True)
def test_the_catalog_and_an_evaluation_take_it(
    environment: Environment, policy: tuple[str, Path], shared_venv: list[str]
) -> None:
    for command, says in (("validate", "✓"), ("test", "8 cases passed"), ("publish", "Publication checks passed")):
        said = run_ok("gym", "env", command, "my_env", cwd=environment.path, **environment.activated())
        assert says in said
    # An evaluation wants a validation split: the five example rows play its part.
    shutil.copy(environment.path / "data" / "validation.jsonl", environment.path / "kept.jsonl")
    shutil.copy(environment.path / "data" / "example.jsonl", environment.path / "data" / "validation.jsonl")
    try:
        run_ok(
            *("gym", "eval", "run", "--environment", "my_env", "--split", "validation"),
            *("--output", "results/evaluation.jsonl", "--model-type", "openai_model", "--model", "standin"),
            *("--model-url", policy[0], "--model-api-key", "none", *shared_venv, *head_server()),
            cwd=environment.path,
            timeout=300,
            **environment.activated(),
        )
    finally:
        os.replace(environment.path / "kept.jsonl", environment.path / "data" / "validation.jsonl")
    results = [
        json.loads(line) for line in (environment.path / "results" / "evaluation.jsonl").read_text().splitlines()
    ]
    assert sorted(result["reward"] for result in results) == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_its_own_tests_pass(environment: Environment) -> None:
    output = run_ok("uv", "run", "pytest", "-q", cwd=environment.path, timeout=1200, **environment.environ())
    assert re.search(r"^\d+ passed", output.splitlines()[-1]), output
