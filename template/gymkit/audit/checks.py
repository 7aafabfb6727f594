# Part of the template: changes belong there (`copier update` merges this file).
"""The checks of an audit. Each plays a row, and says what it has seen: rewards, and what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from gymkit.audit.chance import chance_of, declared, passive_reward, too_much
from gymkit.audit.cheats import Cheat, Knowledge, as_text, other_answers, random_arguments, same
from gymkit.audit.episode import Agent, Connections, NoEpisode
from gymkit.audit.leaks import Leaks, marked
from gymkit.audit.rows import Case
from gymkit.client import RolloutError
from gymkit.episodes import play_on, with_tools
from gymkit.items import Item
from gymkit.players import Player
from gymkit.project import one_line
from gymkit.rows import expected_output

MAX_TURNS = 500
EXACT = 1e-9
REPEATS = 20
"""So often a guess that has paid is made again on its row."""
ANSWERS = 40
"""So many answers of other rows a cheat knows."""
FIRST_OUTPUTS = 2


@dataclass
class Seen:
    """What one run of a check has seen, by the name of the line in the report that it belongs to."""

    rewards: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    not_tried: set[str] = field(default_factory=set)
    items: list[Item] = field(default_factory=list)
    """The transcript, of a check that plays one episode."""
    episodes: int = 1


class World:
    """What all checks have in common.

    Args:
        server: Connections to the server.
        tools: Its tools.
        player: The environment's.
        low: The lowest reward of the manifest.
        high: The highest.
        rows: All rows that are audited.
        leaks: Made of the same rows.
    """

    def __init__(
        self,
        server: Connections,
        tools: list[Item],
        player: Player,
        low: float,
        high: float,
        rows: Sequence[Case],
        leaks: Leaks,
    ) -> None:
        self.server = server
        self.tools = tools
        self.player = player
        self.low = low
        self.high = high
        self.leaks = leaks
        outputs = (expected_output(case.row) for case in rows)
        self.answers = list(dict.fromkeys(as_text(output) for output in outputs if output is not None))

    def knowledge(self, case: Case, seed: str) -> Knowledge:
        """What a cheat knows of a row."""
        row = with_tools(case.row, self.tools)
        right = as_text(expected_output(row))
        start = case.order * 7 % max(1, len(self.answers))
        others = [*self.answers[start:], *self.answers[:start]][:ANSWERS]
        answers = [answer for answer in others if not same(answer, right)]
        return Knowledge(row, case.order, self.tools, answers, Random(f"{seed} {case.place}"))

    def problem(self, verdict: Item) -> str | None:
        """What is wrong with a verdict, whatever was played."""
        if verdict.get("mask_sample"):
            return f"the sample is masked ({verdict.get('failure_kind')}: {verdict.get('failure_reason')})"
        reward = verdict.get("reward")
        if not isinstance(reward, int | float) or isinstance(reward, bool):
            return f"the reward is {reward!r}, which is no number"
        if not self.low <= reward <= self.high:
            return f"the reward {reward:g} is outside of the manifest's range, {self.low:g} to {self.high:g}"
        if verdict.get("failure_kind"):
            return f"the grader failed ({verdict['failure_kind']}: {verdict.get('failure_reason')})"
        return None


class Check:
    """A part of an audit that is run on each row.

    `name` is what `--only` takes; `lines` are its lines in the report, by name, with what they say.
    """

    name: str
    lines: Mapping[str, str]

    def run(self, world: World, case: Case) -> Seen:
        raise NotImplementedError

    def verdict_on_all(self, world: World, cases: list[Case], rewards: list[float]) -> tuple[Case, str] | None:
        """What is wrong with all rows together, and the row to name."""
        return None


class Plays(Check):
    """The environment's player, with a second session of the same row open beside it."""

    def __init__(self) -> None:
        self.name = "player"
        self.lines = {
            "player": "policy.py earns the reward that it says",
            "verdict-twice": "the same verdict when it is asked for again",
            "apart": "a session of the same row beside it earns nothing by that",
        }

    def run(self, world: World, case: Case) -> Seen:
        seen = Seen(episodes=2)
        row = with_tools(case.row, world.tools)
        try:
            expected = float(world.player.expected_reward(row))
            policy = world.player.policy(row)
        except Exception as error:
            seen.wrong["player"] = f"policy.py raises {one_line(error)}"
            return seen
        agent, beside = Agent(world.server, row), Agent(world.server, row)
        try:
            play_on(agent.client, row, policy, MAX_TURNS, agent.items)
        except RolloutError:
            raise
        except Exception as error:
            seen.wrong["player"] = f"policy.py raises {one_line(error)}"
        seen.items = agent.items
        left = beside.verdict()
        first, second = agent.verdict(), agent.verdict()
        self._compare(world, seen, expected, first, second)
        seen.rewards["apart"] = left.get("reward", 0.0)
        most = passive_reward(row, world.low)
        if (problem := world.problem(left)) or left["reward"] > most + EXACT:
            seen.wrong["apart"] = problem or f"it earns {left['reward']:g}, not {most:g}, though nobody plays it"
        return seen

    @staticmethod
    def _compare(world: World, seen: Seen, expected: float, first: Item, second: Item) -> None:
        seen.rewards["player"] = first.get("reward", 0.0)
        problem = world.problem(first)
        if problem is None and abs(first["reward"] - expected) > EXACT:
            problem = f"the player earns {first['reward']:g}, not {expected:g}"
        if problem is not None:
            seen.wrong.setdefault("player", problem)
        if first != second:
            changed = [key for key in first if first[key] != second.get(key)]
            seen.wrong["verdict-twice"] = f"the second verdict differs in {', '.join(changed) or 'its keys'}"


class Reads(Check):
    """What can be read of the expected output without playing, and in the first outputs."""

    def __init__(self) -> None:
        self.name = "leaks"
        self.lines = {"leaks": "no expected output in prompt, schemas, pages and first outputs"}

    def run(self, world: World, case: Case) -> Seen:
        seen = Seen(episodes=0)
        found = world.leaks.of(case.row)
        if found:
            seen.wrong["leaks"] = found
            return seen
        if expected_output(case.row) is None or not world.tools:
            return seen  # Nothing is answered that could hold it.
        for same_shape in (False, True):
            made = marked(case.row, Random(f"marker {case.place} {same_shape}"), same_shape=same_shape)
            if made is None:
                continue
            try:
                self._first_outputs(world, case._replace(row=made[0]), made[1], seen)
                return seen
            except NoEpisode:
                continue
        seen.not_tried.add("leaks")
        return seen

    @staticmethod
    def _first_outputs(world: World, case: Case, markers: list[str], seen: Seen) -> None:
        known = world.knowledge(case, "leaks")
        agent = Agent(world.server, known.row)
        seen.episodes = 1
        calls = [move for play in (other_answers, random_arguments) for move in [next(play(known), None)]]
        outputs = [agent.call(*move) for move in calls[:FIRST_OUTPUTS] if isinstance(move, tuple)]
        agent.verdict()
        said = "\n".join(outputs).casefold()
        if any(marker.casefold() in said for marker in markers):
            seen.wrong["leaks"] = "the expected output stands in the output of a first call"


class Cheats(Check):
    """A player that should earn nothing."""

    def __init__(self, cheat: Cheat) -> None:
        self.cheat = cheat
        self.name = cheat.name
        self.lines = {cheat.name: cheat.says}

    def run(self, world: World, case: Case) -> Seen:
        seen = Seen()
        reward, problem = self._episode(world, case, seen, self.name)
        if reward is not None:
            seen.rewards[self.name] = reward
        if problem is None and reward is not None:
            problem = self._too_much(world, case, reward, seen)
        if problem is not None:
            seen.wrong[self.name] = problem
        return seen

    def _episode(self, world: World, case: Case, seen: Seen, seed: str) -> tuple[float | None, str | None]:
        """Play it; the reward, and what is wrong whatever the reward."""
        known = world.knowledge(case, seed)
        agent = Agent(world.server, known.row)
        problem: str | None = None
        try:
            agent.play(self.cheat.play(known))
        except RolloutError:
            raise
        except Exception as error:
            problem = f"it raises {one_line(error)}"
        seen.items = agent.items
        verdict = agent.verdict()
        problem = problem or agent.gained or world.problem(verdict)
        reward = verdict.get("reward")
        return (float(reward) if isinstance(reward, int | float) else None), problem

    def _by_chance(self, case: Case) -> bool:
        """Whether the row's mean counts, not its reward."""
        return self.cheat.kind == "guess" or (self.cheat.kind == "cheat" and declared(case.row, "chance") is not None)

    def _too_much(self, world: World, case: Case, reward: float, seen: Seen) -> str | None:
        most = passive_reward(case.row, world.low)
        if reward <= most + EXACT:
            return None
        if not self._by_chance(case):
            return f"it earns {reward:g}, and {most:g} is the most that it should"
        chance = chance_of(case.row, world.low, world.high)
        if self.cheat.kind != "guess" or reward <= chance + EXACT:
            return None
        seen.episodes += REPEATS
        played = [self._episode(world, case, Seen(), f"{self.name} {number}") for number in range(REPEATS)]
        rewards = [again for again, _ in played if again is not None]
        probability = too_much(rewards, [chance] * len(rewards), world.low, world.high)
        if probability is None:
            return None
        mean = sum(rewards) / len(rewards)
        return f"{REPEATS} episodes more earn {mean:.3g} in the mean, and chance is {chance:g} (p = {probability:.1g})"

    def verdict_on_all(self, world: World, cases: list[Case], rewards: list[float]) -> tuple[Case, str] | None:
        counted = [(case, reward) for case, reward in zip(cases, rewards, strict=True) if self._by_chance(case)]
        chances = [chance_of(case.row, world.low, world.high) for case, _ in counted]
        probability = too_much([reward for _, reward in counted], chances, world.low, world.high)
        if probability is None:
            return None
        first = next(case for (case, reward), chance in zip(counted, chances, strict=True) if reward > chance)
        mean, chance = sum(reward for _, reward in counted) / len(counted), sum(chances) / len(chances)
        what = f"it earns {mean:.3g} in the mean of {len(counted)} rows, and chance is {chance:.3g}"
        undeclared = (
            "" if declared(first.row, "chance") is not None else "; where guesses may pay more, declare `chance`"
        )
        return first, f"{what} (p = {probability:.1g}){undeclared}"


def checks_of(cheats: Sequence[Cheat]) -> list[Check]:
    """All checks, in the order of the report."""
    return [Plays(), Reads(), *map(Cheats, cheats)]
