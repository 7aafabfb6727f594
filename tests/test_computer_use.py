"""The computer-use archetype as its user meets it, on both lines of NeMo Gym, with its own agent. (Its desktop and its
office are tested by its own tests.)"""

import base64
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import Environments
from generated import FULL, LINES, PLAYS, Environment
from gym_servers import (
    MODEL_TYPES,
    check_rollouts,
    collect_rollouts,
    deserved_reward,
    gym_eval_run,
    started_by_ng_run,
)
from PIL import Image, ImageChops, ImageStat
from standin_model import text_of

ALL_RUNS = [(f"computer_use {line}", model) for line in LINES for model in MODEL_TYPES]
# All four pass, too, but take minutes.
RUNS = ALL_RUNS if FULL else ALL_RUNS[-1:]

pytestmark = pytest.mark.needs("a display")

on_the_newest_line = pytest.mark.parametrize(
    "environment", [f"computer_use {line}" for line in (LINES if FULL else LINES[-1:])], indirect=True
)


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


@on_the_newest_line
def test_it_wins_by_clicks_and_keys_and_leaves_a_page_to_watch(environment: Environment) -> None:
    output = environment.run_ok("uv", "run", "python", "rollout.py", "--record", "results/episode.html")
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


@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize(("environment", "model_type"), RUNS, indirect=["environment"])
def test_the_model_sees_the_screen_after_each_action(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str], model_type: str, tmp_path: Path
) -> None:
    output = environment.path / "results" / f"example_{model_type}.jsonl"
    log = tmp_path / "servers.log"
    with started_by_ng_run(environment, log, policy[0], model_type, *venv_of_servers) as head:
        collect_rollouts(environment, "my_env_agent", "data/example.jsonl", output, head)
    # The application's state decides: where the stand-in only claims success, it gets nothing.
    check_rollouts(environment, output, "example")

    # What the screen really shows after each action: the same rows, played without a model or NeMo Gym.
    rows = [json.loads(line) for line in (environment.path / "data" / "example.jsonl").read_text().splitlines()]
    reference = tmp_path / "reference.jsonl"
    environment.run_ok(environment.python, "rollout.py", "--episodes", str(len(rows)), "--output", reference)
    screens = {
        episode["task_id"]: [decoded(url) for url in pictures_in(episode["response"]["output"])]
        for episode in map(json.loads, reference.read_text(encoding="utf-8").splitlines())
    }
    tasks = {row["responses_create_params"]["input"][0]["content"]: row["task_id"] for row in rows}
    seen: dict[str, list[str]] = {task_id: [] for task_id in tasks.values()}
    for body in (json.loads(line)["body"] for line in policy[1].read_text().splitlines()):
        messages = body.get("messages") or body["input"]
        task_id = tasks[text_of(messages[0]["content"])]
        shown = pictures_in(messages)
        # Each request shows what the one before showed, and the screen after the last action as its last message.
        assert shown[: len(seen[task_id])] == seen[task_id]
        if len(shown) > len(seen[task_id]):
            assert pictures_in(messages[-1:]) == shown[-1:]
        seen[task_id] = shown
        # None of it comes as text.
        outputs = [m for m in messages if m.get("role") == "tool" or m.get("type") == "function_call_output"]
        assert "base64" not in json.dumps(outputs)
    rewards = {result["task_id"]: deserved_reward(result) for result in map(json.loads, output.open())}
    played = [row for row in rows if rewards[row["task_id"]] == 1.0]
    for row in played:
        shown_screens = [decoded(url) for url in seen[row["task_id"]]]
        # All but the size of the screen, which has no picture, and terminate, after which the model is not asked again.
        assert len(shown_screens) == len(screens[row["task_id"]]) == len(row["oracle"]) - 1
        for one, other in zip(shown_screens, screens[row["task_id"]], strict=True):
            assert difference(one, other) < 1
        assert difference(shown_screens[0], shown_screens[-1]) > 0.5, "the comparison could not tell screens apart"
    assert played


@pytest.mark.full
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("environment", [f"computer_use {line}" for line in LINES if line == "0.7"], indirect=True)
def test_more_rows_than_desktops_are_all_played(
    environment: Environment, policy: tuple[str, Path], venv_of_servers: list[str]
) -> None:
    """51 rows, seeded at once, and 32 desktops at most: the others wait."""
    output = environment.path / "results" / "all.jsonl"
    gym_eval_run(environment, output, policy[0], "openai_model", *venv_of_servers, timeout=1800)
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    rows = [json.loads(line) for line in (environment.path / "data" / "validation.jsonl").read_text().splitlines()]
    assert sorted(result["task_id"] for result in results) == sorted(row["task_id"] for row in rows)
    assert len(results) == 51
    # 32 desktops at once on a small machine may cost an episode its reward, but none its session.
    assert not [result for result in results if result.get("failure_kind") == "session_lost"]
    assert sum(result["reward"] for result in results) > 10


@pytest.mark.full
@pytest.mark.parametrize("environment", [f"computer_use {line}" for line in LINES if line == "0.7"], indirect=True)
def test_the_catalog_takes_it(environment: Environment) -> None:
    for command, says in (("validate", "✓"), ("test", "8 cases passed"), ("publish", "Publication checks passed")):
        assert says in environment.run_ok("gym", "env", command, "my_env", env=environment.activated())


# CI runs what is this archetype's own, on one line; the rest is alike in all of them. All of it passes on both.
@pytest.mark.parametrize(
    "environment", [f"computer_use {line}" for line in (LINES if FULL else LINES[:1])], indirect=True
)
def test_its_own_tests_pass(environment: Environment) -> None:
    if FULL:
        assert environment.own_tests() > 180
    else:
        assert environment.own_tests("tests/test_desktop.py", "tests/test_display.py", "tests/test_office.py") > 70


@pytest.mark.needs("E2B's desktop")
@pytest.mark.parametrize("line", LINES if FULL else LINES[-1:])
def test_the_same_works_through_e2bs_own_client(environments: Environments, line: str) -> None:
    environment = environments("computer_use", line, "use_e2b=true")
    assert not (environment.path / "desktop" / "display").exists()
    if FULL:
        assert environment.own_tests() > 150
    else:
        assert environment.own_tests("tests/test_e2b_desktop.py", PLAYS) > 15
