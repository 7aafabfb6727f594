"""What each request does in each state of a session: the tables below, walked through cell by cell.

The template's docs/architecture.md has the same tables, and explains them.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import LiveServer, verify_body
from nemo_gym import base_resources_server as nemo
from test_contract import typed_seed
from test_control_calls import BETTER, LOWEST, ROW, Scored, Spoken, begun

from gymkit.rows import Row
from gymkit.sessions import Ending

Serve = Callable[..., LiveServer]

TABLES = """
| the session                  | seed    | typed seed | its own again | tool    | close   | close its id | close other |
|------------------------------|---------|------------|---------------|---------|---------|--------------|-------------|
| no cookie, never seeded      | begins  | begins     |               | demo    | nothing |              | nothing     |
| open, without a call         | refused | refused    | same          | runs    | settles | ends         | settles     |
| open, with calls             | refused | refused    | same          | runs    | settles | ends         | settles     |
| open, graded by what is said | refused | refused    | same          | runs    | freezes | ends         | freezes     |
| frozen                       | refused | refused    | same          | refused | nothing | ends         | nothing     |
| frozen, and gave way         | refused | refused    | refused       | refused | nothing | nothing      | nothing     |
| closed by its cookie         | refused | refused    | refused       | refused | nothing | nothing      | nothing     |
| closed by its id             | refused | refused    | refused       | refused | nothing | nothing      | nothing     |
| verified                     | begins  | begins     | refused       | refused | nothing | nothing      | nothing     |
| unknown cookie               | begins  | begins     |               | refused | nothing |              | nothing     |
| forged cookie                | begins  | begins     |               | refused | nothing |              | nothing     |
| cookie lost, without a call  | begins  | begins     | same          | demo    | nothing | ends         | nothing     |
| cookie lost, with calls      | begins  | begins     | same          | demo    | nothing | ends         | nothing     |
| cookie lost, one of several  | begins  | begins     | same          | demo    | nothing | ends         | nothing     |

| the session                  | verify the whole row | verify a part | verify another row | verify no object |
|------------------------------|----------------------|---------------|--------------------|------------------|
| no cookie, never seeded      | masked               | masked        | masked             | refused          |
| open, without a call         | verdict              | masked        | masked             | refused          |
| open, with calls             | verdict              | masked        | masked             | refused          |
| open, graded by what is said | verdict              | masked        | masked             | refused          |
| frozen                       | verdict              | masked        | masked             | refused          |
| frozen, and gave way         | lowest               | masked        | masked             | refused          |
| closed by its cookie         | verdict              | masked        | masked             | refused          |
| closed by its id             | masked               | masked        | masked             | refused          |
| verified                     | verdict              | masked        | masked             | refused          |
| unknown cookie               | masked               | masked        | masked             | refused          |
| forged cookie                | masked               | masked        | masked             | refused          |
| cookie lost, without a call  | lowest               | masked        | masked             | refused          |
| cookie lost, with calls      | verdict              | masked        | masked             | refused          |
| cookie lost, one of several  | lowest               | masked        | masked             | refused          |
"""


def cells() -> Iterator[tuple[str, str, str]]:
    """`(state, request, outcome)` for each cell that is not empty."""
    for table in TABLES.strip().split("\n\n"):
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for state, *outcomes in lines[2:]:
            yield from ((state, request, o) for request, o in zip(lines[0][1:], outcomes, strict=True) if o)


WORTH = {"without a call": 0.25, "graded by what is said": 1.0, "frozen": 1.0}
"""What a session is worth; any other 0.45."""


class State:
    """A session in one of the states: the client that makes the request, and one that has the session's cookie."""

    def __init__(self, name: str, live: LiveServer) -> None:
        self.name = name
        self.server = live.server
        self.worth = next((worth for part, worth in WORTH.items() if part in name), 0.45)
        self.owner = live.client()
        self.client = live.client() if name.startswith(("cookie lost", "no cookie")) else self.owner
        self.id = ""
        self.row: Row = {**ROW, "row_key": secrets.token_hex(8)}
        self._make(name, live)
        self.cookies = self.owner.cookies.copy()

    def _make(self, name: str, live: LiveServer) -> None:
        store = live.server._sessions
        if name.startswith("no cookie"):
            return
        if name == "unknown cookie":
            self.owner.cookies.set(store.cookie_name, store.cookie_header("gone")[0])
            return
        self.owner.seed(self.row)
        cookie = str(self.owner.cookies.get(store.cookie_name))
        session = store.find(cookie)
        assert session is not None
        self.id = session.id
        if "without a call" not in name:
            self.owner.tool("wait", seconds=0)
        if name.startswith("frozen") or name == "closed by its cookie":
            self.owner.post("/close_session", json={})
            if name.endswith("gave way"):
                live.run(store._end_unused(session, Ending.GAVE_WAY))
        elif name == "closed by its id":
            self.owner.post("/close_session", json={"resources_session_id": self.id})
        elif name == "verified":
            self.owner.verdict(self.row)
        elif name == "forged cookie":
            self.client = live.client()
            self.client.cookies.set(store.cookie_name, cookie[:-6] + "AAAAAA")
        elif name.endswith("one of several"):
            begun(live, self.row)

    def ask(self, request: str) -> str:
        """Make the request; what it did, in the word of the tables."""
        before = len(self.server._sessions)
        cookie = self.owner.cookies.get_dict()
        part = {key: value for key, value in self.row.items() if key != "row_key"}
        bodies: dict[str, tuple[str, Any]] = {
            "seed": ("seed_session", BETTER),
            "typed seed": ("seed_session", typed_seed(secrets.token_hex(8), BETTER)),
            "its own again": ("seed_session", typed_seed(self.id, self.row)),
            "tool": ("wait", {"seconds": 0}),
            "close": ("close_session", {}),
            "close its id": ("close_session", {"resources_session_id": self.id}),
            "close other": ("close_session", {"resources_session_id": "another"}),
            "verify the whole row": ("verify", verify_body(self.row)),
            "verify a part": (
                "verify",
                verify_body(part),
            ),
            "verify another row": ("verify", verify_body({**BETTER, "row_key": "another"})),
            "verify no object": ("verify", []),
        }
        name, body = bodies[request]
        response = self.client.post(f"/{name}", json=body)
        if response.status_code in (409, 410, 422):
            return "refused"
        assert response.status_code == 200, response.text
        more = len(self.server._sessions) > before
        if name == "seed_session":
            assert more or self.client.cookies.get_dict() == cookie
            return "begins" if more else "same"
        if name == "wait":
            return "demo" if more else "runs"
        if name == "close_session":
            return "closes"
        verdict = response.json()
        if verdict["mask_sample"]:
            assert verdict["failure_kind"] == "session_lost"
            return "masked"
        if verdict["reward"] == LOWEST and verdict.get("failure_kind") == "session_lost":
            return "lowest"
        assert verdict["reward"] == self.worth
        return "verdict"

    def what_is_left(self) -> tuple[bool, bool, float]:
        """Whether a tool runs in the session, and the verdict on it: whether it is masked, and the reward."""
        self.owner.cookies = self.cookies.copy()
        runs = self.owner.post("/wait", json={"seconds": 0}).status_code == 200
        verdict = self.owner.verdict(self.row)
        return runs, verdict["mask_sample"], verdict["reward"]


@pytest.fixture(scope="module")
def lives(serve_for_all: Serve) -> dict[bool, LiveServer]:
    """A server whose grade needs what is said, and one whose grade does not."""
    return {True: serve_for_all(Spoken), False: serve_for_all(Scored)}


@pytest.mark.parametrize(("state", "request_", "outcome"), list(cells()))
def test_each_request_in_each_state(lives: dict[bool, LiveServer], state: str, request_: str, outcome: str) -> None:
    if "its own" in request_ and not hasattr(nemo, "ResourcesSeedSessionRequest"):
        return  # NeMo Gym 0.4 knows no identity that a client assigns.
    live = lives[state.startswith(("open, graded by what is said", "frozen"))]
    untouched = State(state, live).what_is_left()
    session = State(state, live)
    did = session.ask(request_)
    if did == "closes":
        assert outcome not in ("settles", "ends") or session.id not in live.server._sessions._open
    else:
        assert did == outcome
    left = session.what_is_left()
    live.close_all_sessions()
    if outcome in ("settles", "freezes"):
        assert left == (False, False, session.worth)
    elif outcome == "ends":
        assert left == (False, True, 0.0)
    elif outcome == "verdict":
        assert left == (False, False, session.worth)  # The first one is final.
    elif outcome == "lowest" and "several" not in state:
        assert left == (False, False, LOWEST)
    elif outcome != "runs":
        assert left == untouched  # It has changed nothing.
