# Part of the template: changes belong there (`copier update` merges this file).
"""Rows and cases of an environment that has just been written, and what its first player earns: one process for all."""

import contextlib
import io
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from gymkit import cases, data, describe, project
from gymkit.episodes import transcript, verify_request
from gymkit.fixture import CASES, make_server
from gymkit.players import Player
from gymkit.rows import Row, data_path, read_rows
from gymkit.wrapping.interface import WrapError

MAX_TURNS = 50


def finish(answer: Path, server_class: type, splits: data.Splits, schema: Any, player: Player) -> None:
    """Write rows and cases, and into `answer` the reward of each task, which calls failed, and what was written.

    Raises:
        WrapError: no rows can be made, or the grader fails.
    """
    problems = io.StringIO()
    with contextlib.redirect_stderr(problems):
        status = data.run(Namespace(check=False, source=None), server_class, splits, None, schema)
    if status != 0:
        raise WrapError(
            f"The first task makes no row: {problems.getvalue().splitlines()[0]}. Give another with --task."
        )
    earned: dict[str, float] = {}
    failures: list[str] = []
    for split in splits:
        for row in read_rows(data_path(split)):
            earned[str(row["task_id"])] = _played(make_server(server_class), row, player, failures)
    cases.run(Namespace(rows=2), server_class, player)
    describe.run(Namespace(check=False))
    name = project.environment_name()
    written = [f"data/{split}.jsonl" for split in splits]
    written += [CASES.relative_to(project.ROOT).as_posix(), f"environments/{name}/manifest.yaml", "README.md"]
    said = {
        "earned": earned,
        "failures": sorted(set(failures))[:5],
        "written": written,
        "range": project.reward_range(),
    }
    answer.write_text(json.dumps(said), encoding="utf-8")


def _played(server: Any, row: Row, player: Player, failures: list[str]) -> float:
    """What the player earns on a row. Calls that failed by a fault of the tool's are added to `failures`."""
    with TestClient(server.setup_webserver()) as client:

        def post(path: str, body: Any) -> Any:
            answer = client.post(path, json=body)
            if f"{path[1:]} failed" in answer.text:
                failures.append(answer.json()["output"])
            return answer

        client.post("/seed_session", json=row)
        items = transcript(row, player.policy(row), post, MAX_TURNS)
        verdict = client.post("/verify", json=verify_request(row, items, "policy.py")).json()
    if verdict.get("failure_reason"):
        raise WrapError(f"The reward cannot be read: {verdict['failure_reason']}")
    return verdict["reward"]
