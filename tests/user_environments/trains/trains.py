"""A railway's service outside, with four operations, and what is booked there in an episode."""

from typing import Any

from gymkit.services import Key, Probe, Service, ServiceSettings

KEY = Key("RAILWAY_API_KEY", "X-Api-Key")


class Railway:
    def __init__(self, settings: ServiceSettings, url: str) -> None:
        self.service = Service("railway", url, settings, KEY, probe=Probe("GET", "/stations"))

    async def stations(self) -> str:
        found = await self.service.get("/stations", shape={"stations": list})
        return ", ".join(found["stations"])

    async def departures(self, station: str) -> str:
        path = "/stations/{station}/departures"
        found = await self.service.get(path, in_path={"station": station}, shape={"departures": list})
        return "\n".join(f"{each['train']} to {each['to']} at {each['time']}" for each in found["departures"])

    async def book(self, train: str, name: str) -> dict[str, Any]:
        return await self.service.post("/bookings", {"train": train, "name": name}, shape={"code": str, "seat": int})

    async def seat(self, code: str) -> int:
        return (await self.service.get("/bookings/{code}", in_path={"code": code}, shape={"seat": int}))["seat"]


class Trip:
    """An episode: what has been booked in it, as the service has answered."""

    def __init__(self) -> None:
        self.booked: list[str] = []
