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

    def wait(self, caller: str, patience: float = 0.0) -> float:
        """Count one request. 0 lets it pass; else the seconds after which the next one would.

        Args:
            caller: Who makes it.
            patience: A request that waits so many seconds at most is counted, and may pass when it has waited.
        """
        now = monotonic()
        tokens, then = self._buckets.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self.per_second)
        seconds = max(0.0, (1 - tokens) / self.per_second)
        self._buckets[caller] = (tokens - (seconds <= patience), now)
        if len(self._buckets) > self._remember:
            self._buckets.popitem(last=False)
        return seconds
