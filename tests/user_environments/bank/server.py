"""A savings account: the tool answers with a model of its own, and the grade is a number from -1 to 10."""

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from base import BankBase
from gymkit.answers import Response
from gymkit.fixture import verifier_fixture
from gymkit.grading import Verdict
from gymkit.rows import Row
from gymkit.serve import run
from gymkit.server import InvalidRow
from gymkit.tools import ToolRequest
from savings import Account


class SaveRequest(ToolRequest):
    months: int = Field(ge=0, le=600, description="For how many months.")


class Interest(BaseModel):
    interest: float
    currency: str = "crowns"


class SavingsServer(BankBase):
    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/save")(self.save)
        return app

    def new_episode(self, row: Row) -> Account:
        if not isinstance(row.get("best_month"), int):
            raise InvalidRow("best_month: a whole number is wanted")
        return Account(row["best_month"])

    def grade(self, episode: Account, row: Row, response: Response) -> Verdict:
        return Verdict(episode.points + self.config.bonus, metrics={"months": episode.months or 0})

    def save(self, body: SaveRequest, request: Request) -> Interest:
        """Save for some months."""
        account: Account = self.episode(request)
        return Interest(interest=account.choose(body.months))


VERIFIER_FIXTURE = verifier_fixture(SavingsServer)

if __name__ == "__main__":
    run(SavingsServer)
