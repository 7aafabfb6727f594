"""schemathesis with all its checks, over the `/openapi.json` of every archetype."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from generated import ARCHETYPES, FULL, LINES, Environment
from gym_servers import serving

# CI tries a game on the newest line, which takes half a minute; FULL=1 every archetype on both lines.
EXAMPLES = 50 if FULL else 10
RUNS = [f"{archetype} {line}" for archetype in ARCHETYPES for line in LINES] if FULL else [f"game {LINES[-1]}"]

CONFIG = """\
seed = 1

[checks.positive_data_acceptance]
# 410 and 422 are documented: the session has ended, and no episode can be made from a made-up row.
expected-statuses = ["2xx", "401", "403", "404", "409", "410", "422", "503"]
"""
TIMEOUT = ("--request-timeout", "60", "--max-response-time", "60")  # A tool may wait for half a minute.
OF_TOOLS = """
[checks.negative_data_rejection]
# What can be understood is taken: "3" for 3.
expected-statuses = ["200", "4xx"]
"""


def schemathesis(url: str, folder: Path, config: str, *options: str) -> str:
    """What `schemathesis run` says; it must find nothing."""
    path = folder / "schemathesis.toml"
    path.write_text(config)
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [program, "--config-file", path, "run", f"{url}/openapi.json", "--checks", "all", *TIMEOUT, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("environment", RUNS, indirect=True)
def test_every_answer_is_one_that_the_document_names(environment: Environment, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    control = "/(seed_session|verify|close_session|aggregate_metrics|tools|reverify_mode)"
    with serving(environment, log=log) as url:
        row = json.loads((environment.path / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines()[0])
        client = requests.Session()
        client.post(f"{url}/seed_session", json=row, timeout=60).raise_for_status()
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.get_dict().items())
        # The tools in one session, which nothing ends; then what begins and ends sessions.
        most = ("--max-examples", str(EXAMPLES))
        if client.get(f"{url}/tools", timeout=60).json():
            of_tools = ("--exclude-path-regex", f"^{control}$", "-H", f"Cookie: {cookie}")
            schemathesis(url, tmp_path, CONFIG + OF_TOOLS, *of_tools, *most)
        schemathesis(url, tmp_path, CONFIG, "--include-path-regex", f"^{control}$", *most)
        assert client.get(f"{url}/health", timeout=10).ok
        assert "Traceback" not in log.read_text(), log.read_text()[-5000:]
