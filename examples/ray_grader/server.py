"""The game with a grader, and a tool, that keep a core busy: both run as tasks on a Ray cluster.

What differs from the generated server.py: `grade()` and `hint()` await `on_cluster()`.
"""

from fastapi import FastAPI, Request
from pydantic import Field

from gymkit.answers import Response
from gymkit.cluster import on_cluster
from gymkit.fixture import verifier_fixture
from gymkit.grading import Verdict
from gymkit.rows import Row, expected_output
from gymkit.serve import run
from gymkit.server import EnvironmentConfig, EnvironmentServer, InvalidRow
from gymkit.tools import ToolRequest, ToolResponse
from strength import best_guess, strength
from wordle import WordleGame, score


class MyEnvConfig(EnvironmentConfig):
    """Settings of this environment: each with a default here, and a value in the file in configs/ if need be."""

    in_process: bool = Field(default=False, description="Grade in the server's process, to compare.")
    rounds: int = Field(default=1, description="How often the grader does its work over.")


class GuessRequest(ToolRequest):
    word: str = Field(description="An English word with five letters, as 'crane'.")


class MyEnvResourcesServer(EnvironmentServer):
    config: MyEnvConfig

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/guess")(self.guess)
        app.post("/hint")(self.hint)
        return app

    # --- how an episode begins and what it is worth ---

    def new_episode(self, row: Row) -> WordleGame:
        try:
            return WordleGame(str(expected_output(row)))
        except ValueError as error:
            raise InvalidRow(f"ground_truth[0].expected_output: {error}") from None

    async def grade(self, episode: WordleGame, row: Row, response: Response) -> Verdict:
        arguments = (str(expected_output(row)), episode.guesses, self.config.rounds)
        worth = strength(*arguments) if self.config.in_process else await on_cluster(strength, *arguments)
        return Verdict(reward=float(episode.solved), metrics={"guesses": len(episode.guesses), "strength": worth})

    # --- the tools ---

    async def guess(self, body: GuessRequest, request: Request) -> ToolResponse:
        """Guess the word. The answer marks each letter of the guess: right, elsewhere in the word, or not in it."""
        game: WordleGame = self.episode(request)
        return ToolResponse(output=game.guess(body.word))

    async def hint(self, request: Request) -> ToolResponse:
        """The guess that would leave the fewest words, after the guesses so far."""
        game: WordleGame = self.episode(request)
        marks = [score(game._secret, guess) for guess in game.guesses]
        return ToolResponse(output=await on_cluster(best_guess, game.guesses, marks))


VERIFIER_FIXTURE = verifier_fixture(MyEnvResourcesServer)

if __name__ == "__main__":
    run(MyEnvResourcesServer)
