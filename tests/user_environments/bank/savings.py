"""A savings account: one decision, from -1 (a loss) to 10 (perfect foresight)."""


class Account:
    """An account whose return depends on how many months are chosen."""

    def __init__(self, best: int) -> None:
        self.best = best
        self.months: int | None = None

    def choose(self, months: int) -> float:
        """Choose once; the interest."""
        if self.months is None:
            self.months = months
        return self.months / 100

    @property
    def points(self) -> float:
        """-1 for a loss (no choice, or far off), 7 for a good choice, 10 for the best one."""
        if self.months is None or abs(self.months - self.best) > 12:
            return -1.0
        return 10.0 if self.months == self.best else 7.0
