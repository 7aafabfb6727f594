# Part of the template: changes belong there (`copier update` merges this file).
"""How many requests a caller may make per second."""

from collections import OrderedDict
from time import monotonic


class RateLimit:
    """A token bucket for each caller: `per_second` requests on average, and as many at once.

    Args:
        per_second: Requests per second.
        remember: So many callers are remembered, the latest; one that is forgotten begins with a full bucket.
    """

    def __init__(self, per_second: float, remember: int = 4096) -> None:
        self.per_second = per_second
        self._burst = max(1.0, per_second)
        self._remember = remember
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Count one request. 0 lets it pass; else the seconds after which the next one would."""
        now = monotonic()
        tokens, then = self._buckets.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self.per_second)
        passes = tokens >= 1
        self._buckets[caller] = (tokens - passes, now)
        if len(self._buckets) > self._remember:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1 - tokens) / self.per_second
