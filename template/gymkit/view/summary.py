# Part of the template: changes belong there (`copier update` merges this file).
"""A run in numbers, and two runs compared: as JSON, from which the page and the terminal show it.

Rewards are those of graded episodes. A masked or failed one is counted by its kind, and measures nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from gymkit.view.rollouts import FAILED, GRADED, IDENTITIES, MASKED, Episode, Run
from gymkit.view.statistics import distribution, moments, paired_test, pass_at_k, quantile

Json = dict[str, Any]


def summary(run: Run, passes_at: float) -> Json:
    """The numbers of a run.

    Args:
        run: With at least one episode.
        passes_at: The least reward with which an attempt has passed, for pass@k.
    """
    graded = [episode for episode in run.episodes if episode.state == GRADED]
    rewards = [episode.reward for episode in graded if episode.reward is not None]
    tasks = run.by_task()
    seconds = _known(episode.seconds for episode in run.episodes)
    return {
        "file": run.name,
        "episodes": len(run.episodes),
        "graded": len(graded),
        "masked": _kinds(run, MASKED),
        "failed": _kinds(run, FAILED),
        "tasks": len(tasks),
        "repeats": max(len(episodes) for episodes in tasks.values()),
        "reward": moments(rewards) if rewards else None,
        "distribution": distribution(rewards) if rewards else [],
        "passes_at": passes_at,
        "pass_at_k": _passes(tasks.values(), passes_at),
        "metrics": _metrics(graded),
        "turns": moments([episode.turns for episode in run.episodes]),
        "characters": moments([episode.characters for episode in run.episodes]),
        "tokens": moments(tokens) if (tokens := _known(episode.tokens for episode in run.episodes)) else None,
        "seconds": _times(seconds) if seconds else None,
        "tools": _tools(run.episodes),
        "by_task": [_task(name, episodes, passes_at) for name, episodes in tasks.items()],
    }


def comparison(baseline: Run, candidate: Run) -> Json | None:
    """Which tasks went up, and which down; None where the two have no task in common."""
    identity = next((name for name in IDENTITIES if baseline.has(name) and candidate.has(name)), IDENTITIES[-1])
    means = [
        {name: _mean(episodes) for name, episodes in run.by_task(identity).items()} for run in (baseline, candidate)
    ]
    names = {episode.identity[identity]: episode.task for episode in baseline.episodes}
    tasks = []
    for key, before in means[0].items():
        after = means[1].get(key)
        if before is not None and after is not None:
            tasks.append({"task": names[key], "before": before, "after": after})
    if not tasks:
        return None
    differences = [task["after"] - task["before"] for task in tasks]
    return {
        "baseline": baseline.name,
        "candidate": candidate.name,
        "matched_by": identity,
        "tasks": tasks,
        "up": sum(difference > 0 for difference in differences),
        "down": sum(difference < 0 for difference in differences),
        "same": sum(difference == 0 for difference in differences),
        "only_baseline": len(means[0]) - len(tasks),
        "only_candidate": len(means[1]) - len(tasks),
        "before": fmean(task["before"] for task in tasks),
        "after": fmean(task["after"] for task in tasks),
        "test": paired_test(differences)._asdict(),
    }


def _kinds(run: Run, state: str) -> Json:
    return dict(Counter(str(episode.kind) for episode in run.episodes if episode.state == state).most_common())


def _passes(tasks: Iterable[Sequence[Episode]], passes_at: float) -> list[Json]:
    """pass@k for each k that some task has been tried often enough for: the mean over these tasks."""
    tried = [rewards for episodes in tasks if (rewards := _rewards(episodes))]
    counts = Counter((len(rewards), sum(reward >= passes_at for reward in rewards)) for rewards in tried)
    found = []
    for k in _ks(max((n for n, _ in counts), default=0)):
        enough = {(n, c): count for (n, c), count in counts.items() if n >= k}
        value = sum(pass_at_k(n, c, k) * count for (n, c), count in enough.items()) / sum(enough.values())
        found.append({"k": k, "value": value, "tasks": sum(enough.values())})
    return found


def _ks(most: int) -> list[int]:
    """1, 2, 4, 8 and so on, and the last; all of them where they are few."""
    if most <= 10:
        return list(range(1, most + 1))
    return sorted({*(2**power for power in range(most.bit_length())), most})


def _metrics(graded: Sequence[Episode]) -> Json:
    """Those of all numeric fields, but for the reward, which stands above."""
    values: dict[str, list[float]] = {}
    for episode in graded:
        for name, value in episode.numbers.items():
            if name != "reward":
                values.setdefault(name, []).append(value)
    return {name: moments(numbers) for name, numbers in values.items()}


def _tools(episodes: Sequence[Episode]) -> list[Json]:
    calls: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for episode in episodes:
        calls.update(episode.calls)
        errors.update(episode.errors)
        used.update(episode.calls.keys())
    return [
        {"tool": tool, "calls": count, "errors": errors[tool], "episodes": used[tool]}
        for tool, count in calls.most_common()
    ]


def _times(seconds: list[float]) -> Json:
    return {"mean": fmean(seconds), **{f"p{share}": quantile(seconds, share / 100) for share in (50, 90, 99)}}


def _task(name: str, episodes: Sequence[Episode], passes_at: float) -> Json:
    rewards = _rewards(episodes)
    return {
        "task": name,
        "episodes": len(episodes),
        "graded": len(rewards),
        "mean": fmean(rewards) if rewards else None,
        "passed": sum(reward >= passes_at for reward in rewards),
    }


def _rewards(episodes: Iterable[Episode]) -> list[float]:
    return [one.reward for one in episodes if one.state == GRADED and one.reward is not None]


def _mean(episodes: Iterable[Episode]) -> float | None:
    rewards = _rewards(episodes)
    return fmean(rewards) if rewards else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
