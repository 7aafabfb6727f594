# Part of the template: changes belong there (`copier update` merges this file).
"""What `gymkit wrap` builds on: a tool's answer as text, and episodes of known shapes of environments."""

import base64
import dataclasses
import struct
import zlib
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from gymkit.tools import ToolFailed


def as_text(answer: Any) -> str:
    """What a method has returned, as text for the model: texts as they are, objects and lists as JSON."""
    if isinstance(answer, str):
        return answer
    if answer is None:
        return "Done."
    if isinstance(answer, dict | list | tuple | set | BaseModel) or dataclasses.is_dataclass(answer):
        return to_json(answer, fallback=str).decode()
    return str(answer)


def png(pixels: Any) -> bytes:
    """A picture as PNG.

    Args:
        pixels: An array of bytes, of the shape (height, width, 3).
    """

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, red, green and blue
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class GymnasiumEpisode:
    """An episode of a Gymnasium environment.

    Args:
        env: The environment. With `render_mode="ansi"` its text is what is seen, with `"rgb_array"` its picture, else
            the observation.
        seed: With which it is reset.
    """

    def __init__(self, env: Any, seed: int) -> None:
        self._env = env
        self.reward = 0.0
        """The sum of the rewards so far."""
        self.over = False
        self.steps = 0
        self._observation, _ = env.reset(seed=seed)

    def look(self) -> str:
        """What is to be seen now: text, or a picture as a data URL."""
        mode = self._env.render_mode
        seen = self._env.render() if mode in ("ansi", "rgb_array") else self._observation
        if mode == "rgb_array":
            return f"data:image/png;base64,{base64.b64encode(png(seen)).decode()}"
        return str(seen)

    def step(self, action: Any) -> str:
        """Act once; what is seen then, with the reward and whether the episode is over."""
        if self.over:
            raise ToolFailed("the episode is over. No further action counts.")
        # What the space is made of: an int, or an array of its own type.
        space = self._env.action_space
        if space.shape:
            array = space.sample()
            array[:] = action
            action = array
        if not space.contains(action):
            raise ToolFailed(f"the action {action} is not in {space}.")
        self._observation, reward, terminated, truncated, _ = self._env.step(action)
        self.steps += 1
        self.reward += float(reward)
        self.over = bool(terminated or truncated)
        end = "\nThe episode is over." if self.over else ""
        return f"{self.look()}\nReward: {float(reward):g}{end}"

    def close(self) -> None:
        self._env.close()
