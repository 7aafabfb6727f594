"""The conversation archetype: its own tests, NeMo Gym's commands, a model as user, the tokens of a training run."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Environments
from generated import FULL, LINES, ROOT, Environment, edited
from gym_servers import MODEL_TYPES, collect_rollouts, gym_eval_run, standin, started_by_ng_run
from talking_model import gives_up

TALKING = ROOT / "standins" / "talking_model.py"
ENDPOINT = {"base_url": "base_url", "api_key": "api_key", "model": "model_name"}
TRAINING = "vllm_model_for_training.yaml"

Row = dict[str, Any]


@pytest.mark.parametrize("line", LINES if FULL else LINES[-1:])
def test_its_own_tests_pass(environments: Environments, line: str) -> None:
    environment = environments("conversation", line)
    if FULL:
        assert environment.own_tests() > 300
    else:
        files = [f"tests/test_{name}.py" for name in ("shop", "users", "agent", "contract")]
        assert environment.own_tests(*files) > 150


@pytest.mark.full
@pytest.mark.parametrize("line", LINES)
def test_its_own_tests_pass_with_a_judge(environments: Environments, line: str) -> None:
    assert environments("conversation", line, "use_judge=true").own_tests() > 300


def test_a_transcript_shows_both_speakers(environments: Environments) -> None:
    environment = environments("conversation", LINES[-1])
    row = read(environment.path / "data" / "example.jsonl")[0]
    said = " ".join(environment.run_ok("uv", "run", "python", "rollout.py").split())
    assert row["oracle"][0] in said and row["user"]["facts"]["order"] in said
    assert said.endswith("Reward: 1")


# A mistake in each part that the grade rests on: some test has to see it.
@pytest.mark.parametrize(
    ("file", "old", "new", "failing"),
    [
        ("shop.py", 'if row["id"] not in self.seen:', "if False:", "tests/test_shop.py"),
        ("shop.py", "return _plain(one) == _plain(other)", "return set(one) == set(other)", "tests/test_shop.py"),
        ("gymkit/users.py", "if self.over:", "if False:", "tests/test_users.py"),
        ("gymkit/scripts.py", "asks = ASKS_NOT.sub", "asks = re.compile('x^').sub", "tests/test_shop.py"),
    ],
    ids=["not_looked_up", "any_change", "after_the_end", "not_asked"],
)
@pytest.mark.full
def test_a_generous_environment_fails_its_tests(
    environments: Environments, file: str, old: str, new: str, failing: str
) -> None:
    environments("conversation", LINES[-1]).fails_with(file, old, new, failing)


# ----------------------------------------------------------------------------------------------------- with NeMo Gym


def user_by_a_model(environment: Environment) -> AbstractContextManager[None]:
    """Have a model server play the user, as the comments of the config say."""
    path = environment.path / "configs" / "my_env.yaml"
    config = yaml.safe_load(path.read_text())
    own = config["my_env_resources_server"]["resources_servers"]["my_env"]
    own["user_model_server"] = {"type": "responses_api_models", "name": "user_model"}
    own["user_responses_create_params"] = {"input": [], "temperature": 1.0, "max_output_tokens": 2000}
    endpoint = {f"openai_{name}": f"${{user_{key}}}" for name, key in ENDPOINT.items()}
    config["user_model"] = {"responses_api_models": {"openai_model": {"entrypoint": "app.py", **endpoint}}}
    return edited(path, yaml.safe_dump(config, sort_keys=False))


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check(results: list[Row], rows: list[Row]) -> None:
    """Each row came back once, with what the stand-in deserves, and with what the user has said in it."""
    assert len(results) == len(rows)
    found = {row["user"]["facts"]["order"]: row["reward"] for row in results}
    assert found == {row["user"]["facts"]["order"]: 0.0 if gives_up(row) else 1.0 for row in rows}
    assert set(found.values()) == {0.0, 1.0}
    assert not any(row["mask_sample"] for row in results)
    for row in results:
        heard = [item for item in row["response"]["output"] if item.get("role") == "user"]
        assert len(heard) >= 2 and row["user"]["facts"]["order"] in str(heard[0])


def check_tokens(results: list[Row]) -> None:
    """What NeMo RL trains on is one sequence: each prompt begins with the prompt before and its answer."""
    for row in results:
        turns = [item for item in row["response"]["output"] if item.get("prompt_token_ids")]
        assert len(turns) >= 2
        seen: list[int] = []
        for item in turns:
            assert item["prompt_token_ids"][: len(seen)] == seen
            assert item["generation_token_ids"]
            seen = item["prompt_token_ids"] + item["generation_token_ids"]


@pytest.mark.full
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", [f"conversation {line}" for line in LINES if line == "0.7"], indirect=True)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_gym_eval_run(environment: Environment, venv_of_servers: list[str], model_type: str, tmp_path: Path) -> None:
    output = environment.path / "results" / f"talked_{model_type}.jsonl"
    with standin(TALKING, environment, tmp_path / "policy.jsonl") as url:
        gym_eval_run(environment, output, url, model_type, *venv_of_servers)
    check(read(output), read(environment.path / "data" / "validation.jsonl"))


@pytest.mark.long
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize(
    "environment", [f"conversation {line}" for line in (LINES if FULL else LINES[:1])], indirect=True
)
def test_ng_run_for_training(environment: Environment, venv_of_servers: list[str], tmp_path: Path) -> None:
    """The user's turns are part of one sequence of tokens."""
    output = environment.path / "results" / "trained_validation.jsonl"
    with (
        standin(TALKING, environment, tmp_path / "policy.jsonl") as url,
        started_by_ng_run(
            *(environment, tmp_path / "trained.log", url, "vllm_model", *venv_of_servers), model_config=TRAINING
        ) as head,
    ):
        collect_rollouts(environment, "my_env_agent", "data/validation.jsonl", output, head)
    results = read(output)
    check(results, read(environment.path / "data" / "validation.jsonl"))
    check_tokens(results)


@pytest.mark.full
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", [f"conversation {line}" for line in LINES], indirect=True)
def test_a_model_server_plays_the_user(environment: Environment, venv_of_servers: list[str], tmp_path: Path) -> None:
    log = tmp_path / "user.jsonl"
    output = environment.path / "results" / "played_example.jsonl"
    with (
        user_by_a_model(environment),
        standin(TALKING, environment, tmp_path / "policy.jsonl") as url,
        standin(environment.path / "tests" / "standin_user.py", environment, log) as user,
        started_by_ng_run(
            *(environment, tmp_path / "played.log", url, "openai_model", *venv_of_servers),
            *(f"+user_base_url={user}", "+user_api_key=none", "+user_model_name=user"),
        ) as head,
    ):
        collect_rollouts(environment, "my_env_agent", "data/example.jsonl", output, head)
    results = read(output)
    assert len(results) == len(read(environment.path / "data" / "example.jsonl"))
    assert not any(row["mask_sample"] for row in results)
    assert all("I heard: " in str(row["response"]["output"]) for row in results)
    assert len(read(log)) >= len(results)
