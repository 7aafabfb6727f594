"""A domain for tests of `gymkit wrap`: a toy environment of Gymnasium."""

from typing import Any, ClassVar

import gymnasium
from gymnasium import spaces


class CorridorEnv(gymnasium.Env[int, int]):
    """Walk to the end of a corridor."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}

    def __init__(self, length: int = 4, render_mode: str | None = None) -> None:
        self.length = length
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(2)
        self.observation_space = spaces.Discrete(length)
        self._place = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._place = 0
        return self._place, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self._place = min(max(self._place + (1 if action else -1), 0), self.length - 1)
        there = self._place == self.length - 1
        return self._place, float(there), there, False, {}

    def render(self) -> str:
        return "." * self._place + "@" + "." * (self.length - 1 - self._place)
