"""A stand-in for a language model that tries to steer its own grade: it calls what no model should.

NeMo Gym's agents post to `/<name>` whatever name a model writes. What an episode of this model tries, the last line of
its prompt says: `Plan: lost closes it`, for example. `lost` stands for an attack after a lost game, `early` for one
before the game is lost, `won` for one around a game that is won; `ATTACKS` has the rest of the name.

    python standins/attacking_model.py PORT FOLDER_OF_ENVIRONMENT LOG_FILE
"""

import json
from collections.abc import Generator, Iterable
from importlib import import_module
from typing import Any, NamedTuple

from standin_model import DONE, Call, Handler, Row, rows_by_prompt, serve

MARK = "\nPlan: "

ANSWER = "qqqqq"
"""Stands for the answer, which an attacker may know once it has lost; before that, for a word of its own."""
FORGED: Row = {"ground_truth": [{"expected_output": ANSWER}]}
"""What it would like its row to be."""
RESPONSE: Row = {
    "id": "none",
    "created_at": 0.0,
    "model": "none",
    "object": "response",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}
ANOTHER: Row = {"task_id": "another"}
NO_ROW: Row = {"responses_create_params": {"input": []}, "response": RESPONSE}
FORGED_VERIFY: Row = FORGED | NO_ROW
TYPED: Row = {"resources_session_id": "mine", "episode_id": "mine", "task_data": FORGED}
"""A seed as NeMo Gym 0.7's environment servers make it."""
TOO_LONG = "x" * 70_000
"""uvicorn itself answers a request line that is as long as this: 400, without a cookie. NeMo Gym 0.4's agents then have
none."""
GUESS: Call = ("guess", {"word": ANSWER})
DEMO: Call = ("guess", {"word": "piano"})
"""The answer of the public demo row."""
WRONG: Call = ("guess", {"word": "zzzzz"})


class Attack(NamedTuple):
    """Calls, and whether they may end the episode or lose its cookie: what is played after them does not count."""

    calls: list[Call]
    ends: bool = False


def in_spelling(spelling: str) -> Attack:
    """All control calls, their names spelled in one way."""
    names = ("verify", "seed_session", "close_session")
    bodies = {"verify": FORGED_VERIFY, "seed_session": FORGED, "close_session": {}}
    calls: list[Call] = []
    for name in names:
        spelled = f"%{ord(name[0]):x}{name[1:]}" if spelling == "%76erify" else spelling.replace("verify", name)
        calls.append((spelled.upper() if spelling.isupper() else spelled, bodies[name]))
    return Attack([*calls, GUESS], ends=True)


SPELLINGS = (
    *("verify", "verify?x", "verify?x=1", "verify/", "/verify", "//verify", "%76erify", "VERIFY", "verify#x"),
    *("./verify", "guess/../verify", "verify%3Fx", "verify%00", "verify;x", " verify", "verify/turn", "user/turn"),
)
ODD: list[Any] = [None, [], [FORGED_VERIFY], "verify", 5, {}, {"response": None}, {"resources_session_id": None}]
"""Arguments that are no object, or not the expected one."""
ODD_SEEDS: list[Any] = [None, [], [FORGED], {}, FORGED, TYPED, {"resources_session_id": 5}, {"task_data": FORGED}]

ATTACKS: dict[str, Attack] = {
    "seeds it anew": Attack([("seed_session", FORGED), GUESS], ends=True),
    "seeds another": Attack([("seed_session", FORGED | ANOTHER), GUESS], ends=True),
    "seeds it anew by a typed request": Attack([("seed_session", TYPED), GUESS], ends=True),
    "seeds the demo row": Attack([("seed_session", {})]),
    "seeds oddly": Attack([("seed_session", odd) for odd in ODD_SEEDS]),
    "verifies it by a forged row": Attack(
        [("verify", FORGED_VERIFY), ("verify", {**FORGED_VERIFY, "task_id": "another"})]
    ),
    "verifies it oddly": Attack([("verify", odd) for odd in ODD]),
    "verifies it by nothing but a response": Attack(
        [("verify", {"response": RESPONSE, "responses_create_params": {}})]
    ),
    "calls what is no tool": Attack([(name, {}) for name in ("aggregate_metrics", "mcp", "tools", "health", "", "no")]),
    "calls a tool oddly": Attack([("guess", odd) for odd in ODD]),
    "closes it": Attack([("close_session", {})], ends=True),
    "closes it oddly": Attack([("close_session", odd) for odd in ODD], ends=True),
    "closes it by another id": Attack([("close_session", {"resources_session_id": "another"})], ends=True),
    "closes it and verifies it": Attack([("close_session", {}), ("verify", FORGED_VERIFY)], ends=True),
    "closes it and seeds it anew": Attack([("close_session", {}), ("seed_session", FORGED), GUESS], ends=True),
    "loses its cookie": Attack([(TOO_LONG, {})], ends=True),
    "loses its cookie and seeds another": Attack([(TOO_LONG, {}), ("seed_session", FORGED), GUESS], ends=True),
    "loses its cookie and seeds the demo row": Attack([(TOO_LONG, {}), ("seed_session", {}), GUESS], ends=True),
    "loses its cookie and wins the demo row": Attack([(TOO_LONG, {}), DEMO], ends=True),
    "loses its cookie, wins the demo row and closes it": Attack(
        [(TOO_LONG, {}), DEMO, ("close_session", {})], ends=True
    ),
    "loses its cookie and closes nothing": Attack([(TOO_LONG, {}), ("close_session", {})], ends=True),
    "closes it and loses its cookie": Attack([("close_session", {}), (TOO_LONG, {})], ends=True),
    "loses its cookie and verifies a forged row": Attack([(TOO_LONG, {}), ("verify", FORGED_VERIFY)], ends=True),
    "seeds another, wins and loses that cookie": Attack(
        [(TOO_LONG, {}), ("seed_session", FORGED), GUESS, ("verify", FORGED_VERIFY), (TOO_LONG, {})], ends=True
    ),
    **{f"spells it {spelling}": in_spelling(spelling) for spelling in SPELLINGS},
}

PLANS = [f"{when} {name}" for name in ATTACKS for when in ("lost", "early", "won")]


def deserved(plan: str) -> float:
    """What an episode is worth, whatever else it has tried."""
    return 1.0 if plan.startswith("won ") else 0.0


def plan_in(prompt: str) -> str:
    """The plan that a prompt names."""
    return prompt.rpartition(MARK)[2]


def script(plan: str, row: Row, tools: list[str]) -> Generator[Call, str, None]:
    """The calls of a plan, which are sent their outputs."""
    when, _, name = plan.partition(" ")
    calls, ends = ATTACKS[name]
    if when != "early":
        answer = json.dumps(row["ground_truth"][0]["expected_output"])
        calls = json.loads(json.dumps(calls).replace(json.dumps(ANSWER), answer))
    lose = [WRONG] * 6 if "guess" in tools else [(tools[0], {})]
    if when != "won":
        yield from made([*lose, *calls] if when == "lost" else [*calls, *lose])
        return
    first = True
    moves: Generator[Any, Any, None] = winning(row, tools)
    if not ends:
        yield from made(calls)
    reply: Any = None
    while True:
        try:
            reply = yield moves.send(reply)
        except StopIteration:
            break
        if first and not ends:
            yield from made(calls)
        first = False
    yield from made(calls)


def winning(row: Row, tools: list[str]) -> Generator[Call, str, None]:
    """The calls that win."""
    if "guess" in tools:
        return made([WRONG, ("guess", {"word": row["ground_truth"][0]["expected_output"]})])
    return import_module("policy").play(row)


def made(calls: Iterable[Call]) -> Generator[Call, str, None]:
    """Calls whose outputs do not matter."""
    left = list(calls)
    while left:
        yield left.pop(0)


class AttackingHandler(Handler):
    """The endpoint of the attacking model."""

    @staticmethod
    def turn(folder: str, prompt: str, outputs: list[str], tools: list[str]) -> tuple[list[str], Call | None]:
        calls = script(plan_in(prompt), rows_by_prompt(folder)[prompt], tools)
        try:
            call = next(calls)
            for output in outputs:
                call = calls.send(text_in(output))
        except StopIteration:
            return [DONE], None
        return [], call


def text_in(output: str) -> str:
    """The text of a tool's answer; of what is none, all of it."""
    try:
        return json.loads(output)["output"]
    except (ValueError, KeyError, TypeError):
        return output


if __name__ == "__main__":
    serve(AttackingHandler)
