"""A clerk who books trains at a railway's service."""

from fastapi import FastAPI, Request
from pydantic import Field, PrivateAttr

from gymkit.answers import Response, final_answer, number, stated
from gymkit.fixture import verifier_fixture
from gymkit.grading import Verdict
from gymkit.rows import Row, expected_output
from gymkit.serve import run
from gymkit.server import EnvironmentConfig, EnvironmentServer
from gymkit.services import ServiceSettings
from gymkit.tools import ToolRequest
from trains import Railway, Trip


class ClerkConfig(ServiceSettings, EnvironmentConfig):
    railway_url: str = "http://127.0.0.1:18431"


class NoArguments(ToolRequest):
    pass


class StationRequest(ToolRequest):
    station: str = Field(description="Its name.")


class BookRequest(ToolRequest):
    train: str = Field(description="Its number, as 'T12'.")
    name: str = Field(description="Of the passenger.")


class SeatRequest(ToolRequest):
    code: str = Field(description="Of the booking.")


class ClerkServer(EnvironmentServer):
    config: ClerkConfig

    _railway: Railway = PrivateAttr()

    @property
    def grades_text(self) -> bool:
        return True

    def setup_webserver(self) -> FastAPI:
        self._railway = Railway(self.config, self.config.railway_url)
        app = super().setup_webserver()
        for tool in (self.stations, self.departures, self.book, self.seat):
            app.post(f"/{tool.__name__}")(tool)
        return app

    async def on_stop(self) -> None:
        await self._railway.service.close()

    def new_episode(self, row: Row) -> Trip:
        return Trip()

    def grade(self, episode: Trip, row: Row, response: Response) -> Verdict:
        answers = stated(final_answer(response))
        right = bool(answers) and all(number(answer) == expected_output(row) for answer in answers)
        return Verdict(float(right and episode.booked == [row["train"]]), {"booked": len(episode.booked)})

    async def stations(self, body: NoArguments, request: Request) -> str:
        """List the stations."""
        return await self._railway.stations()

    async def departures(self, body: StationRequest, request: Request) -> str:
        """List the trains that leave a station."""
        return await self._railway.departures(body.station)

    async def book(self, body: BookRequest, request: Request) -> str:
        """Book a seat on a train. It cannot be given back."""
        booking = await self._railway.book(body.train, body.name)
        trip: Trip = self.episode(request)
        trip.booked.append(body.train)
        return f"Booked: {booking['code']}"

    async def seat(self, body: SeatRequest, request: Request) -> str:
        """Look up the seat of a booking."""
        return f"Seat {await self._railway.seat(body.code)}"


VERIFIER_FIXTURE = verifier_fixture(ClerkServer)

if __name__ == "__main__":
    run(ClerkServer)
