"""A domain for tests of `gymkit wrap`: a class over a real package, with the forms that signatures have."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal

import chess
from pydantic import BaseModel, Field


class Shown(Enum):
    LETTERS = "letters"
    FEN = "fen"


@dataclass
class Square:
    file: Literal["a", "b", "c", "d", "e", "f", "g", "h"]
    rank: int


class Arrow(BaseModel):
    start: Square
    end: Square


class MateInOne:
    """Find the move that mates. White or black may be to move.

    Args:
        fen: The position.
        tries: How many moves may be tried.
    """

    def __init__(self, fen: str, tries: int = 3) -> None:
        self._board = chess.Board(fen)
        self.tries = tries
        self.mated = False

    @property
    def solved(self) -> bool:
        """Whether a move has mated."""
        return self.mated

    def move(self, uci: Annotated[str, Field(min_length=4, max_length=5)]) -> str:
        """Play a move.

        Args:
            uci: From and to, and what a pawn becomes, as "e7e8q".
        """
        if self.tries == 0 or self.mated:
            return "No move is left."
        move = chess.Move.from_uci(uci)
        if move not in self._board.legal_moves:
            raise ValueError(f"{uci} is not legal.")
        self.tries -= 1
        board = self._board.copy()
        board.push(move)
        self.mated = board.is_checkmate()
        return "Mate." if self.mated else "That is no mate."

    def show(self, shown: Shown = Shown.LETTERS) -> str:
        """Show the position.

        Parameters
        ----------
        shown : Shown
            In which form.
        """
        return self._board.fen() if shown is Shown.FEN else str(self._board)

    async def pieces_at(self, squares: list[Square], arrow: Arrow | None = None) -> dict[str, str]:
        """Name the pieces on squares.

        :param squares: Which squares.
        :param arrow: Two more of them.
        """
        if arrow is not None:
            squares = [*squares, arrow.start, arrow.end]
        found = {f"{each.file}{each.rank}": chess.parse_square(f"{each.file}{each.rank}") for each in squares}
        return {name: str(self._board.piece_at(square) or "empty") for name, square in found.items()}

    def note(self, text, json=False):
        """Write something down."""
        return {"noted": text} if json else text
