"""A base class of the user's own, in a file of its own."""

from typing import Any

from gymkit.server import EnvironmentConfig, EnvironmentServer


class BankConfig(EnvironmentConfig):
    bonus: float = 0.0


class BankBase(EnvironmentServer):
    config: BankConfig

    def end_episode(self, episode: Any) -> None:
        episode.months = None
