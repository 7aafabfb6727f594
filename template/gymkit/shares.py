# Part of the template: changes belong there (`copier update` merges this file).
"""Shares of what there is only so much of: places for sessions, memory for rows and bodies, connections."""

from collections import Counter


class Shares:
    """So much of something, and who holds how much of it.

    A named holder gets more only while no more is held by it than is left for others: alone it comes to a half, one of
    two to a third, and whoever comes next always finds something left. Those without a name share all there is.

    Args:
        total: How much there is.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._held: Counter[str] = Counter()

    def has_room(self, amount: int, holder: str | None) -> bool:
        """Whether so much is left for this holder."""
        left = self.total - self.taken
        return amount <= left and (holder is None or self._held[holder] + amount <= left)

    def held_by(self, holder: str | None) -> int:
        """How much a holder has."""
        return self._held[holder] if holder is not None else 0

    def take(self, amount: int, holder: str | None) -> None:
        """Give so much to a holder."""
        self.taken += amount
        if holder is not None:
            self._held[holder] += amount

    def give_back(self, amount: int, holder: str | None) -> None:
        """Take so much back from a holder."""
        self.taken -= amount
        if holder is not None:
            self._held[holder] -= amount
            if not self._held[holder]:
                del self._held[holder]
