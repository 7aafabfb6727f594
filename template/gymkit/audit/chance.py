# Part of the template: changes belong there (`copier update` merges this file).
"""Whether rewards are more than chance: a test of significance for players that guess."""

from collections.abc import Sequence
from math import exp, floor, fsum, lgamma, log

from gymkit.rows import Row

UNDECLARED = 0.05
"""What a guess may earn of the range, in the mean, where the task declares no `chance`."""

SIGNIFICANT = 1e-4
"""A finding is one that chance brings about this seldom. An audit makes dozens of such tests."""


def declared(row: Row, key: str) -> float | None:
    """A number that a task declares: `passive_reward` or `chance`."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def chance_of(row: Row, low: float, high: float) -> float:
    """What a guess may earn on a row in the mean."""
    found = declared(row, "chance")
    return max(low + UNDECLARED * (high - low), passive_reward(row, low)) if found is None else found


def passive_reward(row: Row, low: float) -> float:
    """What a row may pay to who does nothing for it."""
    found = declared(row, "passive_reward")
    return low if found is None else found


def too_much(rewards: Sequence[float], chances: Sequence[float], low: float, high: float) -> float | None:
    """The probability that rewards of so much in all are chance, where it is significantly small; else None.

    Each reward has the mean that its row declares, and any distribution within the range. Of those, one that is either
    end of the range reaches far the most often; for it the sum is at most as often as high as that of a binomial
    distribution with the mean of all (Hoeffding 1956).
    """
    width = high - low
    if not rewards or width <= 0:
        return None
    total = fsum((reward - low) / width for reward in rewards)
    mean = fsum((chance - low) / width for chance in chances) / len(rewards)
    if total <= mean * len(rewards) + 1e-9:
        return None
    probability = tail(len(rewards), min(max(mean, 0.0), 1.0), floor(total + 1e-9))
    return probability if probability < SIGNIFICANT else None


def tail(count: int, chance: float, least: int) -> float:
    """The probability of at least so many successes in `count` trials."""
    if least <= 0:
        return 1.0
    if chance <= 0:
        return 0.0
    if chance >= 1:
        return 1.0
    return min(1.0, fsum(exp(_log_probability(count, chance, number)) for number in range(least, count + 1)))


def _log_probability(count: int, chance: float, number: int) -> float:
    ways = lgamma(count + 1) - lgamma(number + 1) - lgamma(count - number + 1)
    return ways + number * log(chance) + (count - number) * log(1 - chance)
