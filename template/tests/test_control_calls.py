# Part of the template: changes belong there (`copier update` merges this file).
"""A policy cannot steer its own grade: `/seed_session`, `/verify` and `/close_session` called by a model.

NeMo Gym's agents post to `/<name>` whatever name a model writes, with the session's cookie, so a model controls path,
query and body. What it does not know is the whole row, which the agent's own `/verify` carries.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import Request
from harness import Client, LiveServer, says, verify_body
from nemo_gym import base_resources_server as nemo
from probe import ROW as PROBE_ROW
from probe import Log, NoArguments, ProbeServer
from test_contract import typed_seed

from gymkit import project
from gymkit.answers import Response, final_answer
from gymkit.rows import Row, demo_row
from gymkit.server import EnvironmentFailed

Serve = Callable[..., LiveServer]

LOWEST = project.reward_range()[0]
ROW = {**PROBE_ROW, "row_key": "3f9c0d", "ground_truth": [{"expected_output": "charm"}], "reward": 0.25}
BETTER = {**ROW, "reward": 1.0}
"""What a policy would like its row to be."""


class Scored(ProbeServer):
    """Each call of `count` is worth a tenth, but what has been lost stays lost."""

    def grade(self, episode: Log, row: Row, response: Response) -> float:
        return round(row["reward"] + 0.1 * len(episode.log), 3)


class Spoken(ProbeServer):
    """The grade needs what is said, and what has been done."""

    @property
    def grades_text(self) -> bool:
        return True

    def grade(self, episode: Log, row: Row, response: Response) -> float:
        return float(final_answer(response) == "charm") + 0.5 * len(episode.log)


@pytest.fixture(scope="module")
def served_scored(serve_for_all: Serve) -> LiveServer:
    return serve_for_all(Scored)


@pytest.fixture
def scored(served_scored: LiveServer) -> Iterator[LiveServer]:
    """`Scored`, served, without sessions of other tests."""
    yield served_scored
    served_scored.close_all_sessions()


@pytest.fixture
def spoken(serve: Serve) -> LiveServer:
    return serve(Spoken)


def begun(live: LiveServer, row: Row = ROW) -> Client:
    """A client with a session of a row in which one call has been made, worth two tenths."""
    client = live.client()
    client.seed(row)
    assert client.tool("wait", seconds=0) == "in out"
    return client


WORTH = 0.45
"""What the episode of `begun()` is worth."""

# ------------------------------------------------------------------------------------ what a model may try, and how

SPELLINGS = ["/{}", "/{}?x=1", "/{}/", "//{}", "/%{:x}{}", "/{}#x", "/./{}", "/{}%3Fx", "/{}%00", "/{}/turn", "/{};x"]


def spelled(spelling: str, name: str) -> str:
    return spelling.format(ord(name[0]), name[1:]) if ":x" in spelling else spelling.format(name)


BODIES: list[Any] = [
    {},
    None,
    [],
    "verify",
    {"ground_truth": [{"expected_output": "charm"}]},
    BETTER,
    {"responses_create_params": {"input": []}},
    {"resources_session_id": "mine", "task_data": BETTER},
    typed_seed("mine", BETTER),
    verify_body(BETTER),
    {**verify_body(ROW), "row_key": "000000"},
    {key: value for key, value in verify_body(ROW).items() if key != "row_key"},
    {"resources_session_id": "another"},
    {**verify_body(ROW), "ground_truth": json.loads("[" * 900 + "]" * 900)},
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["seed_session", "verify", "close_session", "SEED_SESSION", "Verify"])
def test_no_control_call_in_any_spelling_changes_what_an_episode_is_worth(
    scored: LiveServer, name: str, spelling: str
) -> None:
    client = begun(scored)
    cookie = client.cookies.get_dict()
    for body in BODIES:
        client.post(spelled(spelling, name), json=body)
    assert client.cookies.get_dict() == cookie
    verdict = client.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)
    assert client.verdict(ROW) == verdict


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b'"x"', b" " * 10_000_000, b"[" * 100_000])
@pytest.mark.parametrize("name", ["seed_session", "verify", "close_session"])
def test_a_body_that_is_no_object_has_a_defined_answer(scored: LiveServer, name: str, body: bytes) -> None:
    client = begun(scored)
    response = client.post(f"/{name}", data=body)
    if body.strip():
        assert response.status_code == 422
    else:
        assert response.status_code == {"seed_session": 409, "verify": 200, "close_session": 200}[name]
    assert isinstance(response.json(), dict)
    assert client.verdict(ROW)["reward"] == WORTH


# ------------------------------------------------------------------------------------------------------------ seeding


def test_a_seed_with_the_cookie_of_an_open_session_is_refused_and_changes_nothing(scored: LiveServer) -> None:
    client = begun(scored)
    response = client.post("/seed_session", json=BETTER)
    assert response.status_code == 409
    assert "cannot be begun anew" in response.json()["output"]
    assert client.tool("wait", seconds=0) == "in out in out"
    assert len(scored.server._sessions) == 1
    assert client.verdict(ROW)["reward"] == 0.65


def test_a_seed_with_the_cookie_of_a_session_that_ended_without_a_verdict_is_refused(scored: LiveServer) -> None:
    client = begun(scored)
    client.post("/close_session", json={})
    assert client.post("/seed_session", json=BETTER).status_code == 409
    assert client.verdict(ROW)["reward"] == WORTH
    # Once it has its verdict, a client that keeps its cookies may go on to the next episode.
    client.seed(BETTER)
    assert client.verdict(BETTER)["reward"] == 1.0


def test_two_agents_that_share_a_cookie_do_not_share_an_episode(scored: LiveServer) -> None:
    client = begun(scored)
    other = scored.client()
    other.cookies.update(client.cookies)
    assert other.post("/seed_session", json=BETTER).status_code == 409
    other.cookies.clear()
    other.seed(BETTER)
    assert other.verdict(BETTER)["reward"] == 1.0
    assert client.verdict(ROW)["reward"] == WORTH


def test_a_typed_seed_is_refused_in_the_same_way(scored: LiveServer) -> None:
    """And again without the cookie, as NeMo Gym 0.7 repeats it, gives the same session. 0.4 knows no such request."""
    if not hasattr(nemo, "ResourcesSeedSessionRequest"):
        return
    client = scored.client()
    seed = typed_seed("typed-1", ROW)
    assert client.post("/seed_session", json=seed).status_code == 200
    client.tool("wait", seconds=0)
    for session_id in ("typed-1", "typed-2"):
        assert client.post("/seed_session", json=typed_seed(session_id, BETTER)).status_code == 409
    again = scored.client()
    assert again.post("/seed_session", json=seed).status_code == 200
    assert again.cookies.get_dict() == client.cookies.get_dict()
    assert client.verdict(ROW)["reward"] == WORTH


# ------------------------------------------------------------------------------------------------------------ verdicts


def test_a_verify_without_the_whole_row_is_masked_and_stores_nothing(scored: LiveServer) -> None:
    client = begun(scored)
    for body in (verify_body(BETTER), {}, {"response": {}}, {"row_key": "3f9c0d"}):
        response = client.post("/verify", json=body)
        assert response.status_code == 200
        assert response.json()["mask_sample"] is True
        assert response.json()["failure_kind"] == "session_lost"
    assert client.tool("wait", seconds=0) == "in out in out"
    assert client.verdict({**ROW, "further": "keys"})["reward"] == 0.65


def test_the_first_verdict_is_final(scored: LiveServer) -> None:
    client = begun(scored)
    first = client.verdict(ROW)
    assert client.post("/wait", json={"seconds": 0}).status_code == 410
    assert client.verdict(ROW) == first
    for body in (verify_body(BETTER), {}):
        assert client.post("/verify", json=body).json()["mask_sample"] is True
    assert client.verdict(ROW) == first


def test_whole_numbers_may_be_sent_in_another_form(scored: LiveServer) -> None:
    """As a browser does it: 1.0 comes back as 1."""
    row = {**ROW, "reward": 1.0, "deep": [{"number": 2.0}]}
    client = scored.client()
    client.seed(row)
    other_form = json.loads(json.dumps(row).replace("1.0", "1").replace("2.0", "2"))
    assert client.verdict(other_form)["reward"] == 1.0
    assert client.verdict(other_form)["reward"] == 1.0


def test_a_row_of_nothing_but_its_prompt_cannot_be_verified(scored: LiveServer) -> None:
    row = {"responses_create_params": ROW["responses_create_params"]}
    client = scored.client()
    client.seed(row)
    client.tool("wait", seconds=0)
    assert client.verdict(row)["mask_sample"] is True
    assert client.tool("wait", seconds=0) == "in out in out"


def test_the_demo_row_is_public_and_needs_not_be_sent(probe: LiveServer) -> None:
    client = probe.client()
    client.seed()
    assert client.verdict({"responses_create_params": {"input": []}})["mask_sample"] is False
    client = probe.client()
    client.seed()
    assert client.verdict(ROW)["mask_sample"] is True
    assert client.verdict(demo_row())["mask_sample"] is False


# ------------------------------------------------------------------------------------------------------------- closing


def test_a_close_settles_the_grade_first(scored: LiveServer) -> None:
    client = begun(scored)
    for _ in range(2):
        assert client.post("/close_session", json={}).status_code == 200
    assert client.post("/wait", json={"seconds": 0}).status_code == 410
    verdict = client.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)
    assert client.verdict(ROW) == verdict
    assert len(scored.server._sessions) == 0


def test_a_close_freezes_an_episode_whose_grade_needs_the_response(spoken: LiveServer) -> None:
    client = begun(spoken)
    client.post("/close_session", json={})
    assert client.post("/wait", json={"seconds": 0}).status_code == 410
    assert client.post("/seed_session", json=BETTER).status_code == 409
    assert client.verdict(ROW, [says("charm")])["reward"] == 2.0
    assert client.verdict(ROW, [says("harm")])["reward"] == 2.0
    assert len(spoken.server._sessions) == 0


def test_nemo_gyms_clean_up_names_the_session_and_grades_nothing(scored: LiveServer) -> None:
    """`/close_session` with its own `resources_session_id`, which a model does not know."""
    if not hasattr(nemo, "ResourcesSeedSessionRequest"):
        return
    client = scored.client()
    client.post("/seed_session", json=typed_seed("clean-up", ROW))
    client.tool("wait", seconds=0)
    client.post("/close_session", json={"resources_session_id": "someone-elses"})
    verdict = client.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)
    client.post("/close_session", json={"resources_session_id": "clean-up"})
    assert client.verdict(ROW) == verdict
    client = scored.client()
    client.post("/seed_session", json=typed_seed("unverified", ROW))
    client.post("/close_session", json={"resources_session_id": "unverified"})
    assert client.verdict(ROW)["mask_sample"] is True


def test_a_flood_of_closes_makes_no_verdict_be_forgotten(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gymkit.sessions.SessionStore.REMEMBER", 4)
    live = serve(Scored, max_sessions=4)
    clients = [begun(live, {**ROW, "row_key": str(number)}) for number in range(4)]
    for number, client in enumerate(clients):
        client.post("/close_session", json={})
        for other in range(10):
            live.client().post("/close_session", json={"resources_session_id": f"{number}-{other}"})
    for number, client in enumerate(clients):
        assert client.verdict({**ROW, "row_key": str(number)})["reward"] == WORTH


# ------------------------------------------------------------------------------------------------------------ no cookie


def test_without_a_cookie_the_row_tells_whose_verdict_it_is(scored: LiveServer) -> None:
    """NeMo Gym 0.4's agents lose the cookie at an answer that brings none: uvicorn's own to too long a request line."""
    begun(scored)
    lost = scored.client()
    verdict = lost.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)
    assert len(scored.server._sessions) == 0
    assert lost.verdict(ROW)["mask_sample"] is True  # It has been given.


def test_a_cookie_of_another_session_voids_nothing(scored: LiveServer) -> None:
    """A model that has made its agent lose the cookie seeds a session of its own liking."""
    begun(scored)
    other = scored.client()
    other.seed(BETTER)
    verdict = other.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)


@pytest.mark.parametrize("left_out", ["", "row_key"])
def test_a_session_of_a_part_of_the_row_is_not_the_rows(scored: LiveServer, left_out: str) -> None:
    """A model that has lost, and learned a part of its row by that, loses its cookie and begins anew on that part."""
    row = {key: value for key, value in ROW.items() if key != left_out}
    begun(scored, row)
    other = scored.client()
    other.seed({"reward": ROW["reward"], "ground_truth": ROW["ground_truth"]})
    for _ in range(4):
        other.tool("wait", seconds=0)
    verdict = other.verdict(row)
    assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)
    if not left_out:
        assert other.verdict(row)["mask_sample"] is True  # It has been given, and this session is another.


def test_the_demo_row_played_without_the_cookie_is_worth_nothing(probe: LiveServer) -> None:
    """In the probe environment the demo row earns 1.0."""
    for close in (False, True):
        row = {**ROW, "row_key": str(close)}
        begun(probe, row)
        other = probe.client()
        other.tool("wait", seconds=0)
        if close:
            other.post("/close_session", json={})
        verdict = other.verdict(row)
        assert (verdict["reward"], verdict["mask_sample"]) == (ROW["reward"], False)
        assert other.verdict(demo_row())["reward"] == 1.0


def test_closed_and_then_without_a_cookie_is_the_settled_verdict(scored: LiveServer) -> None:
    begun(scored).post("/close_session", json={})
    verdict = scored.client().verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)


def test_of_several_sessions_of_a_row_none_gains_without_its_cookie(scored: LiveServer) -> None:
    clients = [begun(scored) for _ in range(16)]
    verdict = scored.client().verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (LOWEST, False)
    assert [client.verdict(ROW)["reward"] for client in clients] == [WORTH] * 16


def test_a_cookie_lost_before_the_first_call_voids_nothing(scored: LiveServer) -> None:
    """A model may begin by losing it, and then play on in a session of its own liking."""
    scored.client().seed(ROW)
    other = scored.client()
    other.seed(BETTER)
    other.tool("wait", seconds=0)
    verdict = other.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"], verdict["failure_kind"]) == (LOWEST, False, "session_lost")
    assert scored.client().verdict(ROW)["mask_sample"] is True  # It has been given.


def test_what_an_environment_does_to_its_row_loses_no_verdict(serve: Serve) -> None:
    class Changing(Scored):
        def new_episode(self, row: Row) -> Log:
            row["ground_truth"].append(row.pop("row_key"))
            row["added"] = True
            return Log()

    client = serve(Changing).client()
    client.seed(ROW)
    assert client.tool("wait", seconds=0) == "in out"
    assert client.verdict({key: value for key, value in ROW.items() if key != "row_key"})["mask_sample"] is True
    for _ in range(2):
        verdict = client.verdict(ROW)
        assert (verdict["reward"], verdict["mask_sample"]) == (WORTH, False)


# -------------------------------------------------------------------------- masking is for what the environment did


class Failing(ProbeServer):
    """It fails where its row says: as the environment, or by an error that a policy may have brought about."""

    def new_episode(self, row: Row) -> Log:
        if row["fails"] == "new_episode":
            raise EnvironmentFailed("no sandbox can be had")
        return Log()

    async def fail(self, body: NoArguments, request: Request) -> str:
        """Fail."""
        raise EnvironmentFailed("the provider is gone")

    def grade(self, episode: Log, row: Row, response: Response) -> float:
        if row["fails"] == "grade":
            raise EnvironmentFailed("the judge cannot be reached")
        if row["fails"] == "grader":
            raise ZeroDivisionError
        return 1.0


@pytest.mark.parametrize("where", ["new_episode", "grade", "grader", ""])
def test_only_what_the_environment_did_masks(serve: Serve, where: str) -> None:
    client = serve(Failing).client()
    row = {**ROW, "fails": where}
    client.seed(row)
    answer = client.tool("nothing")
    assert ("no sandbox can be had" in answer) == (where == "new_episode")
    verdict = client.verdict(row)
    assert verdict["mask_sample"] == (where in ("new_episode", "grade"))
    if verdict["mask_sample"]:
        assert verdict["failure_kind"] == "provider_unavailable"
    elif where == "grader":
        assert (verdict["reward"], verdict["failure_kind"]) == (LOWEST, "verifier_error")
        assert "ZeroDivisionError" in verdict["failure_reason"]
    else:
        assert verdict["reward"] == 1.0
        assert "failure_kind" not in verdict


def test_a_call_that_never_ends_voids_nothing(serve: Serve) -> None:
    client = serve(Scored, tool_seconds=0.2).client()
    client.seed(ROW)
    client.tool("block", seconds=1.5)
    verdict = client.verdict(ROW)
    assert (verdict["reward"], verdict["mask_sample"]) == (LOWEST, False)
