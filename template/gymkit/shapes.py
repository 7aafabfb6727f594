# Part of the template: changes belong there (`copier update` merges this file).
"""What `gymkit wrap` builds on: a tool's answer as text, and episodes of known shapes of environments."""

import base64
import dataclasses
import struct
import zlib
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from gymkit.tools import ToolFailed, ToolResponse


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


class PictureResponse(ToolResponse):
    """Text, and a picture as a data URL beside it, which is shown to the model."""

    image: str


class GymnasiumEpisode:
    """An episode of a Gymnasium environment.

    Args:
        env: The environment. With `render_mode="ansi"` its text is what is seen, with `"rgb_array"` its picture, else
            the observation: as text, or as a picture where it is one.
        seed: With which it is reset.
    """

    def __init__(self, env: Any, seed: int) -> None:
        self._env = env
        self.reward = 0.0
        """The sum of the rewards so far."""
        self.over = False
        self.steps = 0
        self._observation, _ = env.reset(seed=seed)

    def look(self) -> ToolResponse:
        """What is to be seen now."""
        return self._answer([])

    def step(self, action: Any) -> ToolResponse:
        """Act once; what is seen then, with the reward, and whether the episode is over.

        Raises:
            ToolFailed: the episode is over, or there is no such action.
        """
        if self.over:
            raise ToolFailed("the episode is over. No further action counts.")
        space = self._env.action_space
        if space.shape:  # It takes an array of its own type.
            array = space.sample()
            array[:] = action
            action = array
        if not space.contains(action):
            raise ToolFailed(f"the action {action} is not in {space}.")
        self._observation, reward, terminated, truncated, _ = self._env.step(action)
        self.steps += 1
        self.reward += float(reward)
        self.over = bool(terminated or truncated)
        return self._answer([f"Reward: {float(reward):g}", *(["The episode is over."] if self.over else [])])

    def close(self) -> None:
        self._env.close()

    def _answer(self, lines: list[str]) -> ToolResponse:
        rendered = self._env.render_mode in ("ansi", "rgb_array")
        seen = self._env.render() if rendered else self._observation
        if _is_picture(seen):
            url = f"data:image/png;base64,{base64.b64encode(png(seen)).decode()}"
            return PictureResponse(output="\n".join(lines or ["See the picture."]), image=url)
        return ToolResponse(output="\n".join([str(seen), *lines]))


def _is_picture(seen: Any) -> bool:
    shape = getattr(seen, "shape", ())
    return len(shape) == 3 and shape[2] == 3 and str(seen.dtype) == "uint8"
