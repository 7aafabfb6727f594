"""The tools' arguments and answer, and the state of an episode, of the servers that are not generated."""

from pydantic import BaseModel


class EchoRequest(BaseModel):
    text: str


class BlockRequest(BaseModel):
    text: str
    milliseconds: int


class ToolResponse(BaseModel):
    output: str


class Game:
    """As much as an episode of the generated game holds."""

    def __init__(self) -> None:
        self.secret = "piano"
        self.guesses: list[str] = []
