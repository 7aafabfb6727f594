"""The episodes of soak.py: a plain one, and one for each fault or attack. Each returns how it ended, or raises
`Wrong`."""

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from http_agent import Agent, Answer, ConnectionBroke, verify_body

Row = dict[str, Any]

RIGHT, MASKED, LOST, WRONG = "right", "masked", "lost to a restart", "wrong"
"""How an episode ends: with the reward that it deserves; with a masked sample, as its fault demands; with a masked
sample because its server was stopped; or else, which is a failure."""


class Wrong(Exception):
    """The server did what it must not; the message says what."""


@dataclass(frozen=True)
class Plan:
    """A row, and how it went when it was played without faults.

    Calls with their outputs (None where they vary), the verdict, and that on the transcript alone.
    """

    row: Row
    moves: list[tuple[str, Row, str | None]]
    fields: Row
    transcript: list[Row]
    transcript_fields: Row


@dataclass
class Book:
    """What happened in the whole run."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refused_seeds: int = 0
    cancelled_after: list[float] = field(default_factory=list)
    wall_offsets: list[float] = field(default_factory=list)
    old_cookies: list[tuple[int, str, Row]] = field(default_factory=list)
    control_calls: int = 0
    above_merit: int = 0
    masked_by_policy: int = 0


class Episode:
    """One episode: its agent, its row with a token of its own, and the transcript."""

    def __init__(self, port: int, life: int, plan: Plan, book: Book, tool_seconds: float) -> None:
        self.agent = Agent(port, book.statuses)
        self.life = life
        self.plan = plan
        self.book = book
        self.tool_seconds = tool_seconds
        self.token = secrets.token_hex(8)
        self.row = {**plan.row, "soak_token": self.token}
        self.items: list[Row] = []

    async def seed(self) -> None:
        """Begin the session; where there is no room, come back."""
        for _ in range(600):
            answer = await self.agent.post("/seed_session", self.row)
            if answer.status != 503:
                break
            self.book.refused_seeds += 1
            check(answer.headers.get("retry-after", "").isdigit(), "503 without Retry-After")
            await asyncio.sleep(0.1)
        check(answer.status == 200, f"the seed got {answer.status}: {answer.body[:200]!r}")
        check(self.agent.cookie is not None, "the seed brought no cookie")
        if random.random() < 0.02:
            self.book.old_cookies = [*self.book.old_cookies[-50:], (self.life, str(self.agent.cookie), self.row)]

    async def tool(self, name: str, arguments: Row | None = None) -> Answer:
        """A call that must succeed."""
        answer = await self.agent.post(f"/{name}", arguments or {})
        not_stopped(answer)
        check(answer.status == 200, f"{name} got {answer.status}: {answer.body[:200]!r}")
        check(self.agent.cookie is not None, f"the answer of {name} brought no cookie")
        return answer

    async def play(self, attacks: float = 0) -> None:
        """Play as planned; every output must be the planned one. Before each move, so many control calls are tried."""
        for number, (name, arguments, expected) in enumerate(self.plan.moves):
            while random.random() < attacks:
                await self.try_something()
            answer = await self.tool(name, arguments)
            check(
                expected is None or answer.output == expected, f"{name} said {answer.output[:200]!r}, not {expected!r}"
            )
            call = {"type": "function_call", "call_id": f"c{number}", "name": name, "arguments": json.dumps(arguments)}
            output = {"type": "function_call_output", "call_id": f"c{number}", "output": answer.body.decode()}
            self.items += [call, output]

    async def recall(self) -> Row:
        """The session must be this one's own."""
        state = json.loads((await self.tool("recall")).output)
        check(state["token"] == self.token, f"a crossed session: {state['token']} answered, not {self.token}")
        self.book.wall_offsets.append(state["wall"] - time.time())
        return state

    async def until_free(self) -> None:
        """Wait for a call in a thread, which cannot be stopped: the session takes no other until it ends."""
        for _ in range(20):
            answer = await self.tool("recall")
            if "an earlier call of this session is still running" not in answer.output:
                break

    async def verdict(self, row: Row | None = None) -> Row:
        """The fields that `/verify` adds to its request."""
        body = verify_body(row or self.row, self.items)
        answer = await self.agent.post("/verify", body)
        check(answer.status == 200, f"verify got {answer.status}: {answer.body[:200]!r}")
        fields = answer.json()
        check(fields["response"] == body["response"], "verify answered with another response")
        return {key: value for key, value in fields.items() if key not in body}

    async def right(self) -> str:
        """The verdict must be the planned one."""
        await self.recall()
        return await self.deserved()

    async def deserved(self) -> str:
        """The same, whatever has become of the session's cookie."""
        fields = self.counted(await self.verdict())
        check(fields == self.plan.fields, f"the verdict was {fields}, not {self.plan.fields}")
        return RIGHT

    def counted(self, fields: Row) -> Row:
        """A verdict on what was played as planned, at most; booked where it is above merit, or masked."""
        self.book.above_merit += fields["reward"] > self.plan.fields["reward"]
        self.book.masked_by_policy += fields["mask_sample"]
        return fields

    async def control_call(self, path: str, body: Any) -> Answer:
        """A call that a model makes and should not."""
        self.book.control_calls += 1
        answer = await self.agent.post(path, body)
        not_stopped(answer)
        check(answer.status < 500 or answer.status == 503, f"{path:.50} got {answer.status}")
        return answer

    def forged_row(self) -> Row:
        """What the policy knows of its row, and would like to be the whole."""
        return {key: value for key, value in self.row.items() if key not in ("row_key", "soak_token")}

    async def try_something(self) -> None:
        """A control call that must change nothing, in one of its spellings."""
        row = self.forged_row()
        # Not all of it: another policy may have begun a session of that.
        part = {key: value for key, value in row.items() if key != "ground_truth"}
        name, body = random.choice(
            [
                ("seed_session", {}),
                ("seed_session", row),
                ("seed_session", {"resources_session_id": self.token, "episode_id": self.token, "task_data": row}),
                ("verify", {}),
                ("verify", verify_body(part, self.items)),
                ("verify", verify_body({**self.row, "ground_truth": []}, self.items)),
                ("verify", verify_body(self.row | {"soak_token": "another"}, self.items)),
                ("close_session", b"null"),
                ("close_session", b"[]"),
                ("Close_Session", {}),
                ("close_session/turn", {}),
            ]
        )
        answer = await self.control_call(f"/{name}{random.choice(['', '?x=1', '/'])}", body)
        check(self.agent.cookie is not None, f"the answer of {name} brought no cookie")
        if answer.status == 200:
            check(answer.json()["mask_sample"] is True, f"{name} with {body!r:.100} was given a verdict")

    async def lose_cookie(self) -> None:
        """As a model can with NeMo Gym 0.4's agents: uvicorn's own answer to so long a request line has none."""
        answer = await self.control_call(f"/{'x' * 70_000}", {})
        check(answer.status == 400 and self.agent.cookie is None, f"too long a request line got {answer.status}")

    async def masked(self, kind: str, row: Row | None = None) -> str:
        """The verdict must be a masked sample of this kind."""
        fields = await self.verdict(row)
        check(fields["mask_sample"] is True and fields["reward"] == 0.0, f"not masked: {fields}")
        check(fields["instance_config"]["mask_sample"] is True, f"not masked for 0.4: {fields}")
        check(fields["failure_kind"] == kind, f"masked for another reason: {fields}")
        return MASKED


def not_stopped(answer: Answer) -> None:
    """A call that still runs when its server stops is told so: then its session is lost."""
    if answer.status == 503 and answer.output == "Error: the environment is stopping.":
        raise ConnectionBroke("the server stopped while the call was running")


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


# ------------------------------------------------------------------------------------------------- without a fault


async def plain(episode: Episode) -> str:
    await episode.seed()
    await episode.play()
    return await episode.right()


async def calls_at_once(episode: Episode) -> str:
    """A model calls several tools at once: they queue."""
    await episode.seed()
    others = [Agent(episode.agent.port, episode.book.statuses) for _ in range(4)]
    for other in others:
        other.cookie = episode.agent.cookie
    try:
        answers = await asyncio.gather(
            *(other.post(f"/recall{end}") for other, end in zip(others, ["", "_in_thread"] * 2, strict=True))
        )
    finally:
        for other in others:
            other.hang_up()
    for answer in answers:
        not_stopped(answer)
        check(episode.token in answer.output, f"calls at once: a crossed session, or none: {answer.output[:200]!r}")
    await episode.play()
    return await episode.right()


# ------------------------------------------------------------------------------------------ clients that vanish


async def vanishes_in_a_call(episode: Episode) -> str:
    """Nobody waits for the tool any more: it is cancelled, and the session goes on."""
    await episode.seed()
    await episode.agent.vanish("/hang", {"seconds": 3600}, after=episode.tool_seconds / 10)
    state = await episode.recall()
    episode.book.cancelled_after += state["cancelled_after"]
    await episode.play()
    return await episode.right()


async def vanishes_in_a_thread(episode: Episode) -> str:
    await episode.seed()
    await episode.agent.vanish(
        "/hang_in_thread", {"seconds": episode.tool_seconds / 4}, after=episode.tool_seconds / 10
    )
    await episode.until_free()
    await episode.play()
    return await episode.right()


async def vanishes_in_verify(episode: Episode) -> str:
    """Whether or not it was graded then: it is graded once, and the verdict can be asked for again."""
    await episode.seed()
    await episode.play()
    await episode.recall()
    await episode.agent.vanish(
        "/verify", verify_body(episode.row, episode.items), after=random.choice([0, 0.001, 0.01])
    )
    check(await episode.verdict() == episode.plan.fields, "another verdict after a verify that nobody waited for")
    return RIGHT


async def vanishes_in_its_request(episode: Episode) -> str:
    await episode.seed()
    await episode.agent.vanish("/hang", {"seconds": 3600}, after=0, sent=random.choice([0.3, 0.9, 0.99]))
    await episode.play()
    return await episode.right()


async def never_comes_back(episode: Episode) -> str:
    """It ends neither its session nor a call; the idle limit does."""
    await episode.seed()
    await episode.agent.vanish("/hang", {"seconds": 3600}, after=episode.tool_seconds / 10)
    return RIGHT


# ------------------------------------------------------------------------------------------------ tools at fault


async def tool_hangs(episode: Episode) -> str:
    await episode.seed()
    answer = await episode.tool("hang", {"seconds": 3600})
    check("took more than" in answer.output, f"a hung tool said {answer.output[:200]!r}")
    await episode.play()
    return await episode.right()


async def tool_hangs_in_a_thread(episode: Episode) -> str:
    await episode.seed()
    answer = await episode.tool("hang_in_thread", {"seconds": episode.tool_seconds * 3})
    check("took more than" in answer.output, f"a hung tool said {answer.output[:200]!r}")
    await episode.until_free()
    await episode.play()
    return await episode.right()


async def _fails(episode: Episode, name: str) -> str:
    await episode.seed()
    answer = await episode.tool(name)
    wanted = f"Error: {name} failed: RuntimeError: {episode.token}"
    check(answer.output == wanted, f"a tool that raised said {answer.output[:200]!r}")
    await episode.play()
    return await episode.right()


async def tool_raises(episode: Episode) -> str:
    return await _fails(episode, "fail")


async def tool_raises_in_a_thread(episode: Episode) -> str:
    return await _fails(episode, "fail_in_thread")


async def _floods(episode: Episode, name: str) -> str:
    await episode.seed()
    output = (await episode.tool(name)).output
    check(len(output) < 200_000 and "characters left out" in output, f"a huge answer of {len(output)} characters")
    check(output.startswith(episode.token) and output.endswith(episode.token), "a huge answer without both its ends")
    await episode.play()
    return await episode.right()


async def tool_floods(episode: Episode) -> str:
    return await _floods(episode, "flood")


async def tool_floods_in_a_thread(episode: Episode) -> str:
    return await _floods(episode, "flood_in_thread")


# ---------------------------------------------------------------------------------------------- callers at fault


async def called_wrongly(episode: Episode) -> str:
    await episode.seed()
    for path, body, status in (
        ("/hang", {"seconds": "long"}, 422),
        ("/hang", b"{no json", 422),
        ("/no_such_tool", {}, 404),
        ("/close_session", b"null", 422),
        ("/verify", b"[" * 5000, 422),
    ):
        answer = await episode.agent.post(path, body)
        check(answer.status == status, f"{path} with {body!r:.50} got {answer.status}")
        check(answer.output.startswith("Error: "), f"{path} with {body!r:.50} got no text that a model could read")
    await episode.play()
    return await episode.right()


async def seeds_again(episode: Episode) -> str:
    """With the cookie of an open session: refused, and the episode goes on. With that of a verified one: another."""
    await episode.seed()
    await episode.play()
    answer = await episode.agent.post("/seed_session", episode.row)
    not_stopped(answer)
    check(answer.status == 409, f"a seed in the midst of an episode got {answer.status}")
    await episode.right()
    episode.items = []
    await episode.seed()
    await episode.play()
    return await episode.right()


async def verify_without_seed(episode: Episode) -> str:
    """No cookie: the verdict is that of the plan without one."""
    episode.items = episode.plan.transcript
    fields = await episode.verdict()
    check(fields == episode.plan.transcript_fields, f"without a seed the verdict was {fields}")
    return MASKED if fields["mask_sample"] else RIGHT


async def verify_twice(episode: Episode) -> str:
    await episode.seed()
    await episode.play()
    await episode.right()
    check(await episode.verdict() == episode.plan.fields, "the second verdict differs")
    return RIGHT


async def closes_twice(episode: Episode) -> str:
    await episode.seed()
    await episode.play()
    for _ in range(2):
        answer = await episode.agent.post("/close_session")
        check(answer.status == 200, f"close got {answer.status}")
    answer = await episode.agent.post("/recall", {})
    not_stopped(answer)
    check(answer.status == 410, f"a closed session's tool got {answer.status}")
    return await episode.deserved()


async def verify_of_another_row(episode: Episode) -> str:
    """It is masked, and changes nothing."""
    await episode.seed()
    await episode.play()
    await episode.masked("session_lost", {**episode.row, "ground_truth": [{"expected_output": "another"}]})
    return await episode.right()


async def forged_cookie(episode: Episode) -> str:
    await episode.seed()
    await episode.agent.post("/close_session")
    episode.agent.cookie = f"{episode.agent.cookie}x"
    return await episode.masked("session_lost")


async def old_cookie(episode: Episode) -> str:
    """A cookie from before a restart: its session is lost, and says so; then it may seed another."""
    older = [(cookie, row) for life, cookie, row in episode.book.old_cookies if life < episode.life]
    if not older:
        return await forged_cookie(episode)
    cookie, row = random.choice(older)
    episode.agent.cookie = cookie
    answer = await episode.agent.post("/recall", {})
    check(answer.status == 410, f"the cookie of an earlier server got {answer.status}: {answer.body[:200]!r}")
    episode.agent.cookie = cookie
    await episode.masked("session_lost", row)
    episode.agent.cookie = cookie
    await episode.seed()
    await episode.play()
    await episode.right()
    return MASKED


async def crowd(episode: Episode) -> str:
    """Seeds until there is no room; those who are inside play on."""
    await episode.seed()
    opened: list[Agent] = []
    try:
        refused: list[Answer] = []
        while not refused:
            batch = [Agent(episode.agent.port, episode.book.statuses) for _ in range(32)]
            opened += batch
            answers = await asyncio.gather(*(agent.post("/seed_session", episode.row) for agent in batch))
            refused = [answer for answer in answers if answer.status == 503]
            await episode.recall()
            check(all(answer.status in (200, 503) for answer in answers), "a seed got neither 200 nor 503")
        check(all(answer.headers.get("retry-after", "").isdigit() for answer in refused), "503 without Retry-After")
        episode.book.refused_seeds += len(refused)
        await episode.play()
        await asyncio.gather(*(agent.post("/close_session") for agent in opened if agent.cookie))
    finally:
        for agent in opened:
            agent.hang_up()
    return await episode.right()


# ------------------------------------------------------------------------------- a policy that steers its own grade


async def makes_control_calls(episode: Episode) -> str:
    """At any moment, and once more when the verdict has been given."""
    await episode.seed()
    await episode.play(attacks=0.6)
    await episode.try_something()
    await episode.right()
    answer = await episode.control_call("/verify", verify_body({**episode.row, "ground_truth": []}, episode.items))
    check(answer.json()["mask_sample"] is True, "a forged row was given a verdict")
    return await episode.deserved()


async def closes_early(episode: Episode) -> str:
    """The grade is that of what has been played until then, and plays no further."""
    await episode.seed()
    plan, moves = episode.plan, episode.plan.moves
    episode.plan = replace(plan, moves=moves[: random.randrange(len(moves))])
    await episode.play(attacks=0.3)
    answer = await episode.control_call("/close_session", random.choice([{}, None, {"resources_session_id": "no"}]))
    check(answer.status == 200, f"close got {answer.status}")
    for name, arguments, _ in moves:
        answer = await episode.control_call(f"/{name}", arguments)
        check(answer.status == 410, f"{name} got {answer.status} after the close")
        answer = await episode.control_call("/seed_session", episode.forged_row())
        check(answer.status in (409, 503), f"a seed got {answer.status} after the close")
    episode.plan = plan
    fields = episode.counted(await episode.verdict())
    check(not fields["mask_sample"], f"closed early, and masked: {fields}")
    check(fields["reward"] <= plan.fields["reward"], f"closed early, and the verdict was {fields}")
    check(await episode.verdict() == fields, "the second verdict differs")
    return RIGHT


async def loses_its_cookie(episode: Episode) -> str:
    """Its row tells whose verdict is asked for."""
    await episode.seed()
    await episode.play(attacks=0.3)
    await episode.recall()
    await episode.lose_cookie()
    return await episode.deserved()


async def loses_its_cookie_and_begins_anew(episode: Episode) -> str:
    """On what it knows of its row, or on the demo row, and closes that; its verdict is that of the first session."""
    await episode.seed()
    await episode.play()
    await episode.recall()
    await episode.lose_cookie()
    await episode.control_call("/seed_session", random.choice([{}, episode.forged_row()]))
    for name, arguments, _ in episode.plan.moves * 2:
        await episode.control_call(f"/{name}", arguments)
    if random.random() < 0.5:
        await episode.control_call("/close_session", {})
    return await episode.deserved()


async def begins_by_losing_its_cookie(episode: Episode) -> str:
    """What is played afterwards is another session's: the lowest reward."""
    await episode.seed()
    await episode.lose_cookie()
    for name, arguments, _ in episode.plan.moves:
        await episode.control_call(f"/{name}", arguments)
    fields = episode.counted(await episode.verdict())
    check((fields["reward"], fields["mask_sample"]) == (0.0, False), f"a lost cookie gave {fields}")
    return RIGHT


async def closes_and_loses_its_cookie(episode: Episode) -> str:
    await episode.seed()
    await episode.play()
    await episode.recall()
    await episode.control_call("/close_session", {})
    await episode.lose_cookie()
    return await episode.deserved()


Kind = Callable[[Episode], Awaitable[str]]

FAULTS: dict[Kind, float] = {
    calls_at_once: 0.04,
    vanishes_in_a_call: 0.03,
    vanishes_in_a_thread: 0.03,
    vanishes_in_verify: 0.03,
    vanishes_in_its_request: 0.03,
    never_comes_back: 0.015,
    tool_hangs: 0.02,
    tool_hangs_in_a_thread: 0.02,
    tool_raises: 0.03,
    tool_raises_in_a_thread: 0.03,
    tool_floods: 0.01,
    tool_floods_in_a_thread: 0.01,
    called_wrongly: 0.03,
    seeds_again: 0.03,
    verify_without_seed: 0.03,
    verify_twice: 0.03,
    closes_twice: 0.03,
    verify_of_another_row: 0.03,
    forged_cookie: 0.03,
    old_cookie: 0.03,
    crowd: 0.0005,
    makes_control_calls: 0.05,
    closes_early: 0.03,
    loses_its_cookie: 0.02,
    loses_its_cookie_and_begins_anew: 0.02,
    begins_by_losing_its_cookie: 0.02,
    closes_and_loses_its_cookie: 0.02,
}
"""What share of the episodes has which fault; the rest is plain."""


def schedule(count: int, rng: random.Random) -> list[Kind]:
    """So many episodes, each fault twice or more, in a mixed order."""
    kinds = [kind for kind, share in FAULTS.items() for _ in range(max(2, round(share * count)))]
    kinds += [plain] * (count - len(kinds))
    rng.shuffle(kinds)
    return kinds
