"""The tools archetype as its user meets it: its own tests, the audit, NeMo Gym's commands; and a service of his own."""

import json
import os
import re
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import Attach, Environments
from generated import CASES, CHECK, DATA, FULL, LINES, Environment, Template, copy_command, edited, free_port, run_ok
from gym_servers import MODEL_TYPES, check_rollouts, collect_rollouts, gym_eval_run, serving, started_by_ng_run
from processes import answers, started

KEY = "railway-key-7f3a"
"""What its stand-in takes."""
AUDIT = ("uv", "run", "gymkit", "audit")


# ------------------------------------------------------------------------------------------------------ its own tests


@pytest.mark.parametrize("line", LINES if FULL else LINES[-1:])
def test_its_own_tests_pass(environments: Environments, line: str) -> None:
    environment = environments("tools", line)
    if FULL:
        assert environment.own_tests() > 300
    else:
        names = ("assistant", "search", "services", "web", "contract")
        files = [f"tests/test_{name}.py" for name in names]
        assert environment.own_tests("-n", "3", "--dist", "loadfile", *files) > 200


SERVICES = "gymkit/services.py"
ALERTS = "and sorted(set(self.alerts)) == sorted(set(self.task.alerts))"
FAULT = "or not await self._works(probe, monotonic()):"
HIDDEN = 'body.replace(secret, b"*" * 8)'


@pytest.mark.parametrize(
    ("file", "old", "new", "failing"),
    [
        pytest.param("assistant.py", "right and called and", "right and", "assistant", id="no_calls"),
        pytest.param(
            "gymkit/web.py", "target.copy_with(host=address)", "target", "web -k checked", id="resolves_twice"
        ),
        *(
            pytest.param(*case, id=name, marks=pytest.mark.full)
            for name, case in {
                "any_alert": ("assistant.py", ALERTS, "", "assistant"),
                "masks_all": (SERVICES, FAULT, "or True:", "services"),
                "repeats_the_key": (SERVICES, HIDDEN, "body", "services -k replay"),
                "checks_nothing": ("gymkit/web.py", "await self._checked(target)", "target.host", "web"),
            }.items()
        ),
    ],
)
def test_a_mistake_fails_its_tests(environments: Environments, file: str, old: str, new: str, failing: str) -> None:
    name, *only = failing.split()
    environments("tools", LINES[-1]).fails_with(file, old, new, f"tests/test_{name}.py", *only)


def test_the_audit_passes(environments: Environments) -> None:
    """The player on all rows; the others on all, or in CI on the first ones, of which each kind has one."""
    rows = 97 if FULL else 16
    found = json.loads(environments("tools", LINES[-1]).run_ok(*AUDIT, "--json", "--cheats", str(rows)))
    assert found["passed"]
    checks = {check["name"]: check for check in found["checks"]}
    assert (checks["player"]["rows"], checks["player"]["mean_reward"]) == (97, 1.0)
    for name in ("obeys-the-page", "answers-both", "claims-the-calls", "calls-with-forged-arguments"):
        assert (checks[name]["rows"], checks[name]["mean_reward"]) == (rows, 0.0)


# ----------------------------------------------------------------------------------------------------- with NeMo Gym


@pytest.mark.xdist_group("ray")  # One cluster at a time: each takes what the machine has.
# Other archetypes are played by `ng_run` in CI.
@pytest.mark.parametrize("environment", [f"tools {line}" for line in (LINES if FULL else LINES[-1:])], indirect=True)
@pytest.mark.parametrize("model_type", MODEL_TYPES if FULL else MODEL_TYPES[:1])
def test_nemo_gym_plays_it(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], model_type: str, tmp_path: Path
) -> None:
    """`gym eval run` on 0.7, `ng_run` on 0.4."""
    output = environment.path / "results" / f"tools_{model_type}.jsonl"
    if environment.line == "0.7":
        gym_eval_run(environment, output, policy[0], model_type, *venv_of_servers)
    else:
        log = tmp_path / "servers.log"
        with started_by_ng_run(environment, log, policy[0], model_type, *venv_of_servers) as head:
            collect_rollouts(environment, "my_env_simple_agent", "data/validation.jsonl", output, head)
    check_rollouts(environment, output, "validation")


# ----------------------------------------------------------------------------------------------- a service of a user's

FOLDER = Path(__file__).with_name("user_environments") / "trains"
SAMPLE = ("weather.py", "assistant.py", "search", "tests/test_assistant.py", "tests/test_search.py", "tests/cheats.py")
SAMPLE += ("tests/standin_search.py",)


@pytest.fixture(scope="module")
def clerk(template: Template, attach: Attach, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment whose tools are the four operations of a service outside, in place of the sample."""
    folder = tmp_path_factory.mktemp("clerk") / "my_env"
    run_ok(*copy_command(template, folder, "archetype=tools"), "--skip-tasks", cwd=folder.parent)
    for name in (*SAMPLE, "data"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    return attach(folder, LINES[-1])


def mode(environment: Environment, setting: str, **more: str) -> AbstractContextManager[None]:
    """Settings in the config, for a while."""
    config = environment.path / "configs" / "my_env.yaml"
    lines = "".join(f"\n      {name}: {value}" for name, value in {"service_mode": setting, **more}.items())
    entrypoint = "      entrypoint: server.py"
    return edited(config, config.read_text().replace(entrypoint, entrypoint + lines))


@pytest.mark.long
def test_a_service_of_a_users_own_takes_the_place_of_the_sample(clerk: Environment, tmp_path: Path) -> None:
    """Recorded once while the service is there, and then tested, audited and played without it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "asked.txt"
    key = {"RAILWAY_API_KEY": KEY}
    with mode(clerk, "record", railway_url=url):
        clerk.run_ok(*DATA, env=key)
        command = [clerk.python, "tests/standin_railway.py", str(port), log]
        with started(command, clerk.path, os.environ, tmp_path / "said.txt", answers(f"{url}/openapi.json")):
            with urlopen(f"{url}/openapi.json") as described:
                assert sum(map(len, json.load(described)["paths"].values())) == 4
            for split in ("demo", "example", "validation", "train"):
                rows = len((clerk.path / "data" / f"{split}.jsonl").read_text().splitlines())
                said = clerk.run_ok(
                    *("uv", "run", "python", "rollout.py", "--data", f"data/{split}.jsonl"),
                    *("--episodes", str(rows), "--output", f"results/{split}.jsonl"),
                    env=key,
                )
                assert "Reward: 1" in said or "Mean reward: 1.000" in said
    asked = log.read_text().splitlines()
    assert set(asked) == {"true"}
    recording = clerk.path / "recordings" / "railway.jsonl"
    assert len(recording.read_text().splitlines()) >= 24 * 2
    for path in (recording, *(clerk.path / "results").glob("*.jsonl")):
        assert KEY not in path.read_text()
    # From here on there is neither the service nor the key.
    with mode(clerk, "replay"):
        clerk.run_ok(*CASES)
        tests = [] if FULL else [f"tests/test_{name}.py" for name in ("contract", "control_calls", "services")]
        assert clerk.own_tests(*tests) > 100
        said = clerk.run_ok(*AUDIT, env={"COLUMNS": "200"})
        assert re.search(r"pass\s+player\s.*\s24\s+1\s", said), said
        assert " passed, 0 failed" in said
        with serving(clerk) as served:
            assert " 0 failed" in clerk.run_ok(*CHECK, served)
    assert log.read_text().splitlines() == asked
