"""Servers of a generated environment, alone or with NeMo Gym's around it as its own commands start them, and what comes
back from them.
"""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from generated import Environment, free_port, user_environ
from processes import answers, started
from standin_model import gives_up, text_of

MODEL_TYPES = ["openai_model", "vllm_model"]


def head_server() -> list[str]:
    return ["+head_server.host=127.0.0.1", f"+head_server.port={free_port()}"]


def policy_overrides(url: str) -> list[str]:
    return [f"+policy_base_url={url}", "+policy_api_key=none", "+policy_model_name=standin"]


@contextmanager
def standin(script: Path, environment: Environment, log: Path, *arguments: str) -> Iterator[str]:
    """Serve a stand-in model of standins/; its base URL. It writes all requests that it gets into the log."""
    port = free_port()

    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    command = [environment.python, script, str(port), environment.path, log, *arguments]
    said = log.with_suffix(".said")
    with started(command, environment.path, os.environ, said, listens):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def serving(environment: Environment, *program: str, log: Path | None = None, **env: str) -> Iterator[str]:
    """The environment, served alone by server.py or another program; its URL. Its log is in results/ unless named."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [environment.python, *(program or ["server.py"])]
    variables = user_environ() | environment.environ() | {"PORT": str(port)} | env
    log = log or environment.path / "results" / f"server_{port}.log"
    with started(command, environment.path, variables, log, answers(f"{url}/health")):
        yield url


@contextmanager
def servers(environment: Environment, log: Path, *command: str) -> Iterator[Path]:
    """Start servers and wait until NeMo Gym says that all are ready; stop them as Ctrl+C does."""

    def ready() -> bool:
        return re.search(r"All \d+ / \d+ servers ready", log.read_text(errors="replace")) is not None

    variables = user_environ() | environment.activated()
    with started(command, environment.path, variables, log, ready, seconds=180, stop=signal.SIGINT):
        yield log


@contextmanager
def started_by_ng_run(
    environment: Environment,
    log: Path,
    url: str,
    model_type: str,
    *options: str,
    config: str = "configs/my_env.yaml",
    model_config: str | None = None,
) -> Iterator[list[str]]:
    """All servers, as `ng_run` starts them; the options by which other commands find them.

    Args:
        environment: Whose servers they are.
        log: What they say.
        url: Of the policy's model.
        model_type: The model server.
        options: Further ones of `ng_run`.
        config: Of the environment.
        model_config: Of the model server; its usual one if not given.
    """
    head = head_server()
    model = f"responses_api_models/{model_type}/configs/{model_config or f'{model_type}.yaml'}"
    start = ["ng_run", f"+config_paths=[{config},{model}]", *policy_overrides(url), *options, *head]
    with servers(environment, log, *start):
        yield head


def collect_rollouts(
    environment: Environment, agent: str | None, rows: str, output: Path, head: list[str], timeout: float = 300
) -> None:
    """`ng_collect_rollouts` against servers that run.

    Args:
        environment: Whose servers they are.
        agent: Who plays; None where each row names its agent.
        rows: A file of the environment's.
        output: A file in its results/.
        head: The options by which the servers are found.
        timeout: In seconds.
    """
    environment.run_ok(
        *("ng_collect_rollouts", *([f"+agent_name={agent}"] if agent else [])),
        *(f"+input_jsonl_fpath={rows}", f"+output_jsonl_fpath=results/{output.name}", *head),
        env=environment.activated(),
        timeout=timeout,
    )


def gym_eval_run(
    environment: Environment, output: Path, url: str, model_type: str, *options: str, timeout: float = 300
) -> str:
    """Have `gym eval run` start all servers and roll the validation split out; what it has said.

    Args:
        environment: Whose split it is.
        output: A file in its results/.
        url: Of the policy's model.
        model_type: The model server.
        options: Further ones of the command.
        timeout: In seconds.
    """
    return environment.run_ok(
        *("gym", "eval", "run", "--environment", "my_env", "--split", "validation"),
        *("--output", f"results/{output.name}", "--model-type", model_type, "--model", "standin"),
        *("--model-url", url, "--model-api-key", "none", *options, *head_server()),
        env=environment.activated(),
        timeout=timeout,
    )


def check_rollouts(environment: Environment, path: Path, split: str) -> None:
    """Every row came back once, with the reward that the stand-in's play deserves."""
    rows = [json.loads(line) for line in (environment.path / "data" / f"{split}.jsonl").read_text().splitlines()]
    results: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    rewards = {result.get("task_id") or task_of(result, rows): result["reward"] for result in results}
    deserved = {result.get("task_id") or task_of(result, rows): deserved_reward(result) for result in results}
    assert set(rewards) == {row["task_id"] for row in rows}
    assert len(results) == len(rows)
    assert rewards == deserved
    assert set(rewards.values()) == {0.0, 1.0}
    assert not any(result["mask_sample"] for result in results)
    check_viewed(environment, path)


def viewed(environment: Environment, *files: Path) -> dict[str, Any]:
    """What `gymkit view` finds in files that it can read to their ends."""
    return json.loads(environment.run_ok("gymkit", "view", *files, "--json"))


def check_viewed(environment: Environment, path: Path) -> None:
    """`gymkit view` reads what NeMo Gym has collected, and its numbers are those of the metrics beside it."""
    [run] = viewed(environment, path)["runs"]
    [aggregated] = json.loads(path.with_name(f"{path.stem}_aggregate_metrics.json").read_text())
    found = {
        f"{kind}/{name}": value for name, all_of_it in numbers_of(run).items() for kind, value in all_of_it.items()
    }
    kinds = ("mean/", "max/", "min/", "median/", "std/")
    expected = {name: value for name, value in aggregated["agent_metrics"].items() if name.startswith(kinds)}
    for kind in kinds:  # 0.4 averages it like any other.
        expected.pop(f"{kind}mask_sample", None)
    assert "mean/reward" in expected
    assert found == pytest.approx(expected)


def numbers_of(run: dict[str, Any]) -> dict[str, dict[str, float]]:
    return run["metrics"] | {"reward": run["reward"]}


def deserved_reward(result: dict[str, Any]) -> float:
    """What the stand-in has earned: its player solves whatever it does not give up."""
    prompt = text_of(result["responses_create_params"]["input"][-1]["content"])
    outputs = [text_of(item["output"]) for item in result["response"]["output"] if item["type"].endswith("_output")]
    return 0.0 if gives_up(prompt, outputs[0]) else 1.0


def task_of(result: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The task of a rollout that has lost its `task_id`: its answer tells."""
    return next(row["task_id"] for row in rows if row["ground_truth"] == result["ground_truth"])
