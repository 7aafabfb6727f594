"""NeMo Gym's own commands, from the generated root with nothing edited, against a stand-in for the model alone.

The agent, the model servers (openai_model, vllm_model) and the resources server are the real ones. To be quick, all
share the environment's virtual environment, in the way that the generated README describes.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from generated import FULL, LINES, ROOT, Environment
from gym_servers import (
    MODEL_TYPES,
    check_rollouts,
    check_viewed,
    collect_rollouts,
    gym_eval_run,
    head_server,
    policy_overrides,
    servers,
    started_by_ng_run,
)

pytestmark = pytest.mark.xdist_group("ray")  # One cluster at a time: each takes what the machine has.

# Computer use has an agent of its own: test_computer_use.py.
ALL_RUNS = [(f"{kind} {line}", model) for kind in ("game", "sandbox") for line in LINES for model in MODEL_TYPES]
# Any archetype has to do with either line and either model server. On 0.7, CI tries the sandbox by `gym env start`, and
# `ng_run` with computer use.
RUNS = ALL_RUNS if FULL else ALL_RUNS[1:2]

only_in_full = pytest.mark.full
"""For what CI leaves out: conftest.py takes it out of the collection."""

only_on_0_7 = pytest.mark.parametrize("environment", [line for line in LINES if line == "0.7"], indirect=True)
"""For commands that 0.4 does not have."""


@pytest.mark.parametrize(("environment", "model_type"), RUNS, indirect=["environment"])
def test_ng_run_and_ng_collect_rollouts(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], model_type: str, tmp_path: Path
) -> None:
    url, requests_log = policy
    log = tmp_path / "servers.log"
    output = environment.path / "results" / f"example_{model_type}.jsonl"
    with started_by_ng_run(environment, log, url, model_type, *venv_of_servers) as head:
        collect_rollouts(environment, "my_env_simple_agent", "data/example.jsonl", output, head, timeout=180)
    check_rollouts(environment, output, "example")
    text, rows = log.read_text(errors="replace"), len(output.read_text().splitlines())
    assert text.count('"POST /seed_session HTTP/1.1" 200') == rows
    assert text.count('"POST /verify HTTP/1.1" 200') == rows  # It ends the session: 0.4 knows no other way.
    endpoint = "/v1/responses" if model_type == "openai_model" else "/v1/chat/completions"
    assert {json.loads(line)["path"] for line in requests_log.read_text().splitlines()} == {endpoint}


# It takes a minute for each line.
@only_in_full
def test_a_grader_runs_on_nemo_gyms_own_ray_cluster(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    """examples/ray_grader/ under `ng_run`, without an address: it finds the cluster that NeMo Gym has started."""
    server = environment.path / "server.py"
    before = server.read_bytes()
    files = list((ROOT / "examples" / "ray_grader").glob("*.py"))
    try:
        for file in files:
            shutil.copy(file, environment.path)
        test_ng_run_and_ng_collect_rollouts(environment, policy, venv_of_servers, "openai_model", tmp_path)
        rollouts = (environment.path / "results" / "example_openai_model.jsonl").read_text().splitlines()
        assert all(0 < json.loads(rollout)["strength"] <= 1 for rollout in rollouts)
    finally:
        for file in files:
            (environment.path / file.name).unlink()
        server.write_bytes(before)


@only_in_full
def test_several_servers_share_the_rows(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    """docs/scaling.md: each server has an agent, and each row names the agent that plays it."""
    log = tmp_path / "servers.log"
    shard = shutil.copy(ROOT / "examples" / "several_servers" / "shard.py", environment.path)
    try:
        environment.run_ok(environment.python, "shard.py", "2", "data/validation.jsonl")
        output = environment.path / "results" / "validation_of_two.jsonl"
        with started_by_ng_run(
            *(environment, log, policy[0], "openai_model", *venv_of_servers), config="configs/my_env_x2.yaml"
        ) as head:
            collect_rollouts(environment, None, "results/validation_x2.jsonl", output, head, timeout=180)
        check_rollouts(environment, output, "validation")
        text = log.read_text(errors="replace")
        for number in (1, 2):
            of_this = [line for line in text.splitlines() if f"(my_env_resources_server_{number})" in line]
            for endpoint in ("seed_session", "verify"):
                assert sum(f'"POST /{endpoint} HTTP/1.1" 200' in line for line in of_this) == 32
    finally:
        for left in (Path(shard), environment.path / "configs" / "my_env_x2.yaml"):
            left.unlink(missing_ok=True)


# At a lower level, tests/of_gymkit/test_strangers.py tests it.
@only_in_full
def test_a_split_larger_than_the_server_ends_with_all_rows(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    """NeMo Gym seeds all rows at once, and gives up the whole collection where one seed is refused."""
    log = tmp_path / "servers.log"
    few = "+my_env_resources_server.resources_servers.my_env.max_sessions=5"
    output = environment.path / "results" / "larger.jsonl"
    with started_by_ng_run(environment, log, policy[0], "openai_model", *venv_of_servers, few) as head:
        collect_rollouts(environment, "my_env_simple_agent", "data/validation.jsonl", output, head)
    check_rollouts(environment, output, "validation")
    assert '"POST /seed_session HTTP/1.1" 503' not in log.read_text(errors="replace")


# In CI, a user's environment is evaluated so: test_user_environments.py.
@only_in_full
@only_on_0_7
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_gym_eval_run_of_the_validation_split(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], model_type: str
) -> None:
    output = environment.path / "results" / f"validation_{model_type}.jsonl"
    said = gym_eval_run(environment, output, policy[0], model_type, *venv_of_servers)
    check_rollouts(environment, output, "validation")
    assert said.count('"POST /seed_session HTTP/1.1" 200') == 64
    assert said.count('"POST /close_session HTTP/1.1" 200') == 64


@contextmanager
def started_by_gym(environment: Environment, model: str, venvs: list[str], log: Path) -> Iterator[list[str]]:
    """All servers, as `gym env start` starts them; the overrides by which other commands find them."""
    head = head_server()
    start = ["gym", "env", "start", "--environment", "my_env", "--model-type", "openai_model", "--model", "standin"]
    start += ["--model-url", model, "--model-api-key", "none", *venvs, *head]
    with servers(environment, log, *start):
        yield head


@pytest.mark.long
@pytest.mark.parametrize("environment", [f"sandbox {line}" for line in LINES if line == "0.7"], indirect=True)
def test_gym_env_start_and_an_evaluation_against_it(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    output = environment.path / "results" / "against_started.jsonl"
    with started_by_gym(environment, policy[0], venv_of_servers, tmp_path / "servers.log") as head:
        environment.run_ok(
            *("gym", "eval", "run", "--no-serve", "--agent", "my_env_simple_agent"),
            *("--input", "data/example.jsonl", "--output", f"results/{output.name}", *head),
            env=environment.activated(),
            timeout=180,
        )
    check_rollouts(environment, output, "example")


@only_in_full
@only_on_0_7
def test_gym_eval_aggregates_and_compares_rollouts_of_rollout_py(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    with started_by_gym(environment, policy[0], venv_of_servers, tmp_path / "servers.log") as head:
        for name, turns in (("before", "2"), ("after", "20")):
            play = ("python", "rollout.py", "--episodes", "10", "--concurrency", "4", "--max-turns", turns)
            environment.run_ok(*play, "--output", f"results/{name}.jsonl")
            aggregate = ("gym", "eval", "aggregate", "--input-glob", f"results/{name}.jsonl")
            environment.run_ok(*aggregate, "--output", f"results/{name}.jsonl", *head, env=environment.activated())
            check_viewed(environment, environment.path / "results" / f"{name}.jsonl")
    compare = ("gym", "eval", "compare", "--baseline", "results/before.jsonl", "--candidates", "results/after.jsonl")
    said = environment.run_ok(*compare, "--output-dir", tmp_path / "compared", env=environment.activated())
    assert "reward" in said
    assert list((tmp_path / "compared").iterdir())


@pytest.mark.long
@only_on_0_7
def test_the_catalog_lists_validates_tests_and_publishes_it(environment: Environment) -> None:

    def gym(*arguments: str) -> str:
        # In the virtual environments that it makes, the environment has to be found without help.
        return environment.run_ok("gym", *arguments, env=environment.activated() | {"PYTHONPATH": ""})

    listed = json.loads(gym("list", "environments", "--json"))
    assert [entry["domain"] for entry in listed if entry["name"] == "my_env"] == ["games"]
    assert "✓" in gym("env", "validate", "my_env")
    cases = len((environment.path / "tests" / "verifier_cases.jsonl").read_text().splitlines())
    assert f"{cases} cases passed" in gym("env", "test", "my_env")
    assert "Publication checks passed" in gym("env", "publish", "my_env")


def test_nemo_gyms_data_preparation_takes_the_rows(environment: Environment, tmp_path: Path) -> None:
    configs = "configs/my_env.yaml,responses_api_models/openai_model/configs/openai_model.yaml"
    for mode in ("train_preparation", "example_validation"):
        environment.run_ok(
            *("ng_prepare_data", f"+config_paths=[{configs}]", f"+mode={mode}"),
            *(f"+output_dirpath={tmp_path / mode}", "+should_download=false", *policy_overrides("none")),
            env=environment.activated(),
        )
    prepared = (tmp_path / "train_preparation" / "train.jsonl").read_text().splitlines()
    assert len(prepared) == len((environment.path / "data" / "train.jsonl").read_text().splitlines())
    # What training finds the agent by: 0.4 writes the agent itself, 0.7 the instance that declares the dataset.
    row = json.loads(prepared[0])
    assert row.get("agent_ref", {}).get("name", row.get("task_source")) == "my_env_simple_agent"
