"""A server that is operated: tools over MCP, spans of NeMo Gym's telemetry, and the schema of its rows (0.7)."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import yaml
from conftest import Attach
from generated import DATA, LINES, ROOT, Environment, free_port, run_ok
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
def test_the_servers_spans_belong_to_the_callers_trace(environment: Environment, tmp_path: Path) -> None:
    """NeMo Gym's telemetry in this server. Between NeMo Gym's servers, 0.7.0 joins no trace with nemo-lens 0.1.0."""
    more = tmp_path / "more"
    packages = ["nemo-lens", "opentelemetry-instrumentation-fastapi"]
    run_ok("uv", "pip", "install", "-q", "--python", environment.python, "--target", more, *packages, cwd=tmp_path)
    # 0.7.0 asks for two names that nemo-lens 0.1.0 spells otherwise, and without them traces nothing.
    with (more / "nemo" / "lens" / "semconv.py").open("a") as names:
        names.write("NV_DL_RANK, NV_DL_WORLD_SIZE = DL_RANK, DL_WORLD_SIZE\n")
    port, log = free_port(), tmp_path / "spans.jsonl"
    variables = {**os.environ, **environment.environ(), "PORT": str(free_port()), "NEMO_GYM_OTEL_ENABLED": "1"}
    variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    variables |= {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    variables["PYTHONPATH"] = os.pathsep.join([variables.get("PYTHONPATH", ""), str(more)])
    url, trace, caller = f"http://127.0.0.1:{variables['PORT']}", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    collector = [environment.python, STANDINS / "standin_collector.py", str(port), environment.path, log]
    server = [environment.python, "server.py"]
    with (
        started(collector, environment.path, os.environ, tmp_path / "said", answers(f"http://127.0.0.1:{port}/")),
        started(server, environment.path, variables, tmp_path / "log", answers(f"{url}/health"), stop=signal.SIGINT),
    ):
        agent = requests.Session()
        agent.headers["traceparent"] = f"00-{trace}-{caller}-01"
        row = json.loads((environment.path / "data" / "example.jsonl").read_text().splitlines()[0])
        agent.post(f"{url}/seed_session", json=row)
        agent.post(f"{url}/guess", json={"word": "crane"})
        agent.post(f"{url}/verify", json=row)
        wait_until(lambda: log.exists() and "POST /verify" in log.read_text(), 30)
    spans = [json.loads(line) for line in log.read_text().splitlines()]
    of_the_caller = [span["name"] for span in spans if (span["trace"], span["parent"]) == (trace, caller)]
    assert sorted(of_the_caller) == ["POST /guess", "POST /seed_session", "POST /verify"]


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


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
