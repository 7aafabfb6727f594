# Part of the template: changes belong there (`copier update` merges this file).
"""The statistics of rewards: moments as NeMo Gym computes them, pass@k, a distribution, and a paired test."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median, stdev
from typing import Any, NamedTuple, TypeGuard

_BINS = 20
_MOST_STEPS = 2_000_000
"""The paired test is exact as long as it takes no more additions than that: a second or two."""


def moments(values: Sequence[float]) -> dict[str, float]:
    """Mean, median, standard deviation (of a sample: n - 1; 0 for one value), minimum and maximum, as `gym eval
    aggregate` names and computes them.
    """
    return {
        "mean": fmean(values),
        "median": median(values),
        "std": stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """With linear interpolation, as NumPy's default."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k attempts passes, estimated without bias from n attempts of which c have passed
    (Chen et al. 2021, Evaluating Large Language Models Trained on Code).
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} cannot be estimated from {n} attempts")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


class Bar(NamedTuple):
    """A bar of a distribution: so many values from `low` to `high`, the latter not included but in the last."""

    low: float
    high: float
    count: int


def distribution(values: Sequence[float]) -> list[Bar]:
    """A bar for each value where there are few, else bins of the same width."""
    counts = Counter(values)
    if len(counts) <= _BINS // 2:
        return [Bar(value, value, count) for value, count in sorted(counts.items())]
    low, high = min(values), max(values)
    width = (high - low) / _BINS
    bins = Counter(min(int((value - low) / width), _BINS - 1) for value in values)
    return [Bar(low + number * width, low + (number + 1) * width, bins[number]) for number in range(_BINS)]


class PairedTest(NamedTuple):
    """Whether two runs differ on the tasks that both have."""

    mean: float
    """Of the differences."""
    low: float
    high: float
    """The mean's 95% confidence interval, by its standard error."""
    p: float
    """Two-sided."""
    exact: bool


def paired_test(differences: Sequence[float]) -> PairedTest:
    """Fisher's randomisation test of paired differences (The Design of Experiments, 1935, section 21).

    If both runs were alike, each difference could as well have the other sign: `p` is the share of all ways to choose
    signs that give a sum as far from 0 as the one that was seen. It assumes nothing of how rewards are distributed,
    and for rewards of 0 and 1 it is McNemar's exact test. Written here, because SciPy's counts exactly only up to 13
    tasks or so, and draws random numbers beyond.
    """
    n = len(differences)
    mean = fmean(differences)
    error = stdev(differences) / math.sqrt(n) if n > 1 else 0.0
    moved = [difference for difference in differences if difference]
    p = _exact([abs(difference) for difference in moved], abs(math.fsum(moved)))
    exact = p is not None
    if p is None:  # By the central limit theorem: there are very many tasks, or many different rewards.
        spread = math.sqrt(math.fsum(difference**2 for difference in moved))
        p = math.erfc(abs(math.fsum(moved)) / spread / math.sqrt(2))
    return PairedTest(mean, mean - 1.96 * error, mean + 1.96 * error, min(p, 1.0), exact)


def _exact(sizes: list[float], seen: float) -> float | None:
    """The share of the signed sums that are at least as far from 0; None where there are too many different ones."""
    sums: dict[float, float] = {0.0: 1.0}
    steps = 0
    for size in sizes:
        steps += len(sums)
        if steps > _MOST_STEPS:
            return None
        following: dict[float, float] = {}
        for total, share in sums.items():
            for signed in (total + size, total - size):
                rounded = round(signed, 9)
                following[rounded] = following.get(rounded, 0.0) + share / 2
        sums = following
    return math.fsum(share for total, share in sums.items() if abs(total) >= seen - 1e-9)


def finite(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number that can be averaged."""
    # An integer beyond any float is none.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
