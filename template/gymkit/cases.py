# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit cases`: write tests/verifier_cases.jsonl, by which NeMo Gym 0.7 tries the grader, from rows and the player.

The server is played in this process, over its own routes: by policy.py, and by a policy that does nothing. A case holds
the whole row, and what was said and called; the calls are made again when the case is tried.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from fastapi.testclient import TestClient

from gymkit import project
from gymkit.episodes import transcript, verify_request, with_tools
from gymkit.fixture import CASES, CaseRequest, make_server, play_case
from gymkit.items import Item
from gymkit.players import Player, Policy, Silent
from gymkit.project import ROOT
from gymkit.rows import Row, data_path, read_rows

MAX_TURNS = 200

Case = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=2, help="make cases from so many example rows (default: 2)")


def run(options: argparse.Namespace, server_class: type, player: Player) -> int:
    """Write the cases; the exit status."""
    rows = read_rows(data_path("example"))[: options.rows]
    cases = list(cases_of(server_class, player, rows))
    CASES.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases), encoding="utf-8")
    print(f"{CASES.relative_to(ROOT)}: {len(cases)} cases")
    low, high = project.reward_range()
    for kind, reward in (("full_reward", high), ("zero_reward", low)):
        if all(case["kind"] != kind for case in cases):
            print(
                f"No policy here earns {reward:g}, so there is no case of the kind {kind}, which `gym env test` and "
                "`gym env publish` want. Narrow the range in the manifest to what can be earned.",
                file=sys.stderr,
            )
    return 0


def cases_of(server_class: type, player: Player, rows: list[Row]) -> Iterator[Case]:
    """The cases of some rows: the player, silence, the player twice, and what the server has to refuse."""
    low, high = project.reward_range()
    kinds = {high: "full_reward", low: "zero_reward"}
    for row in rows:
        name = str(row.get("task_id", "a row"))
        for who, policy in (("the player", player.policy(row)), ("a policy that does nothing", Silent())):
            request = played(make_server(server_class), row, policy)
            reward = play_case(make_server(server_class), CaseRequest.model_validate(request))
            case = {"name": f"{name}: {who}", "request": request, "expected_reward": reward}
            if reward in kinds:
                yield {**case, "kind": kinds[reward]}
            if who == "the player":
                yield {**case, "name": f"{name}: {who}, twice", "kind": "determinism"}
    yield from refused(server_class, rows[0])


def refused(server_class: type, row: Row) -> Iterator[Case]:
    """Requests that the server has to refuse: one without a response, and, where it needs one, without ground truth."""
    bare = {key: value for key, value in row.items() if key != "ground_truth"}
    yield {"name": "no response", "kind": "malformed", "request": bare, "expected_error": "response"}
    if "ground_truth" in row:
        request = _without_time(verify_request(bare, [], "nobody"))
        try:
            play_case(make_server(server_class), CaseRequest.model_validate(request))
        except ValueError as error:
            case = {"name": "no ground truth", "kind": "malformed", "request": request}
            yield {**case, "expected_error": str(error)}


def played(server: Any, row: Row, policy: Policy) -> Item:
    """The `/verify` request of a row after a policy has played it: what was said and called, without the answers."""
    with TestClient(server.setup_webserver()) as client:
        client.post("/seed_session", json=row)
        items = transcript(row, policy, lambda path, body: client.post(path, json=body), MAX_TURNS)
        client.post("/close_session")
    said = [item for item in items if item["type"] != "function_call_output" and item.get("role") != "user"]
    return _without_time(verify_request(with_tools(row, []), said, "policy.py"))


def _without_time(request: Item) -> Item:
    """The same request whenever it is made."""
    request["response"]["created_at"] = 0.0
    return request
