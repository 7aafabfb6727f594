"""A vault: what was looked up and what was said are graded together, by a coroutine."""

from fastapi import FastAPI, Request
from pydantic import Field

from gymkit.answers import Response, final_answer
from gymkit.fixture import verifier_fixture
from gymkit.rows import Row, expected_output
from gymkit.serve import run
from gymkit.server import EnvironmentServer, InvalidRow
from gymkit.tools import ToolRequest, ToolResponse
from vault import Vault


class LookUpRequest(ToolRequest):
    name: str = Field(description="Of the number.")


class VaultServer(EnvironmentServer):
    @property
    def grades_text(self) -> bool:
        return True

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/look_up")(self.look_up)
        return app

    async def new_episode(self, row: Row) -> Vault:
        numbers = expected_output(row)
        if not isinstance(numbers, dict):
            raise InvalidRow("ground_truth[0].expected_output: an object is wanted")
        return Vault(numbers)

    async def grade(self, episode: Vault, row: Row, response: Response) -> float:
        said = " ".join(f"{name}={number}" for name, number in expected_output(row).items())
        return float(episode.looked_up == set(episode.numbers) and final_answer(response) == said)

    async def look_up(self, body: LookUpRequest, request: Request) -> ToolResponse:
        """Look a number up."""
        vault: Vault = self.episode(request)
        return ToolResponse(output=vault.look_up(body.name))


VERIFIER_FIXTURE = verifier_fixture(VaultServer)

if __name__ == "__main__":
    run(VaultServer)
