"""A server that is operated: traces by NeMo Gym's telemetry, tools over MCP, and the schema of its rows (0.7)."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Attach
from generated import DATA, LINES, ROOT, Environment, free_port, run_ok
from gym_servers import head_server
from processes import answers, started
from render import render

STANDINS = ROOT / "standins"

only_on_0_7 = pytest.mark.parametrize("environment", [line for line in LINES if line == "0.7"], indirect=True)


# ---------------------------------------------------------------------------------------------------------------- MCP


@only_on_0_7
def test_an_mcp_client_plays_an_episode_to_its_reward(environment: Environment, tmp_path: Path) -> None:
    port = free_port()
    config = yaml.safe_load((environment.path / "configs" / "my_env.yaml").read_text())
    settings = config["my_env_resources_server"]["resources_servers"]["my_env"]
    settings |= {"host": "127.0.0.1", "port": port, "expose_tools_over_mcp": True}
    served = {"my_env_resources_server": {"resources_servers": {"my_env": settings}}}
    served |= {"head_server": {"host": "127.0.0.1", "port": free_port()}, "dry_run": False}
    variables = {
        **os.environ,
        **environment.environ(),
        "NEMO_GYM_CONFIG_DICT": yaml.safe_dump(served),
        "NEMO_GYM_CONFIG_PATH": "my_env_resources_server",
        "ENV_LOG_FORMAT": "json",
    }
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    with started([environment.python, "server.py"], environment.path, variables, log, answers(f"{url}/health")):
        said = environment.run_ok(environment.python, STANDINS / "mcp_player.py", url, environment.path, timeout=60)
    for played in json.loads(said):
        assert played["tools"] == ["guess"]
        (first, wrong, last, verify) = played["outputs"]
        assert not first[0] and "5 tries left" in json.loads(first[1])["output"]
        assert wrong[0] and "guess was called wrongly. word: Field required" in wrong[1]
        assert not last[0] and "Found in 2 of 6 tries" in json.loads(last[1])["output"]
        assert verify[0] and "Unknown tool: 'verify'" in verify[1]
        assert (played["reward"], played["guesses"]) == (1.0, 2)
    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    mistakes = [event for event in events if "tool" in event]
    assert [(event["level"], event["tool"]) for event in mistakes] == [("info", "guess")] * 2
    assert all("session" in event for event in mistakes)


# ------------------------------------------------------------------------------------------------------------- traces


@pytest.mark.full
@only_on_0_7
def test_a_trace_goes_from_the_agent_to_the_tools_and_the_verdict(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], tmp_path: Path
) -> None:
    more = tmp_path / "more"
    packages = ["nemo-lens", "opentelemetry-instrumentation-fastapi", "opentelemetry-instrumentation-aiohttp-client"]
    run_ok("uv", "pip", "install", "-q", "--python", environment.python, "--target", more, *packages, cwd=tmp_path)
    # NeMo Gym 0.7.0 asks for two names that nemo-lens 0.1.0 spells otherwise, and without them traces nothing.
    with (more / "nemo" / "lens" / "semconv.py").open("a") as names:
        names.write("NV_DL_RANK, NV_DL_WORLD_SIZE = DL_RANK, DL_WORLD_SIZE\n")
    port, log = free_port(), tmp_path / "spans.jsonl"
    log.touch()
    telemetry = {"enabled": "true", "otlp_endpoint": f"http://127.0.0.1:{port}", "otlp_protocol": "http/protobuf"}
    variables = environment.activated()
    variables["PYTHONPATH"] = os.pathsep.join([variables.get("PYTHONPATH", ""), str(more)])
    command = [environment.python, STANDINS / "standin_collector.py", str(port), environment.path, log]
    ready = answers(f"http://127.0.0.1:{port}/")
    with started(command, environment.path, os.environ, tmp_path / "said", ready):
        environment.run_ok(
            *("gym", "eval", "run", "--environment", "my_env", "--split", "validation", "--limit", "3"),
            *(
                "--output",
                "results/traced.jsonl",
                "--model-type",
                "openai_model",
                "--model",
                "standin",
                "--model-url",
                policy[0],
            ),
            *("--model-api-key", "none", *venv_of_servers, *head_server()),
            *(f"+telemetry.{name}={value}" for name, value in telemetry.items()),
            env=variables,
            timeout=300,
        )
    traces: dict[str, list[dict[str, Any]]] = {}
    for line in log.read_text().splitlines():
        span = json.loads(line)
        traces.setdefault(span["trace"], []).append(span)
    rollouts = [trace for trace in traces.values() if any(span["name"] == "gym.rollout" for span in trace)]
    assert len(rollouts) == 3
    for trace in rollouts:
        names = Counter(span["name"] for span in trace)
        assert names["gym.verify"] == 1 and names["POST /guess"] >= 1, names
        ids = {span["span"] for span in trace}
        assert all(span["parent"] in ids or not span["parent"] for span in trace)


# --------------------------------------------------------------------------------------------------------------- rows


@only_on_0_7
def test_the_schema_of_the_rows_is_shown_and_holds(environment: Environment) -> None:
    shown = environment.run_ok("gym", "env", "schema", "--resources-server", "my_env", env=environment.activated())
    schema = json.loads(shown[shown.index("{") :])
    assert set(schema["properties"]) == {"task_id", "ground_truth", "row_key"}


SPOILED_ROWS = {
    "a key that is not declared": (
        ("tasks.py", '"prompt": PROMPT,', '"prompt": PROMPT, "hint": "none",'),
        "wordle-demo-000: hint: Extra inputs are not permitted (task_data.py)",
    ),
    "a key that is read and not declared": (
        ("server.py", "WordleGame(str(", 'WordleGame(row.get("word") or str('),
        "wordle-demo-000: new_episode() reads what task_data.py does not declare: word",
    ),
}


@pytest.mark.parametrize("what", SPOILED_ROWS)
def test_a_row_that_is_not_as_task_data_says_is_refused(what: str, attach: Attach, tmp_path: Path) -> None:
    (name, part, instead), says = SPOILED_ROWS[what]
    folder = tmp_path / "my_env"
    render("game", folder)
    environment = attach(folder, LINES[-1])
    path = folder / name
    before = path.read_text()
    assert part in before
    path.write_text(before.replace(part, instead))
    done = environment.run(*DATA)
    assert done.returncode == 1
    assert says in done.stderr
