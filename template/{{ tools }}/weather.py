"""A weather service that is made up: places, clocks and forecasts, all made from a seed. Plain Python.

Two places of one name lie in different countries, each country has its own time and its own units, and a place is
known by an identifier: so a question about tomorrow takes three calls, each of which needs the one before.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random

PARTS = ("morning", "afternoon", "evening", "night")
DAYS = 7
"""Days that are forecast, today included."""


@dataclass(frozen=True)
class Country:
    """A country: its hours ahead of UTC, and whether it reports degrees Fahrenheit and miles."""

    name: str
    hours: int
    imperial: bool = False


COUNTRIES = {country.name: country for country in (Country("Kel", 1), Country("Orsa", 11), Country("Marn", -9, True))}

TOWNS = """
Ashford Kel, Ashford Marn, Brackwater Kel, Cold Harbour Orsa, Dunmere Marn, Eskdale Kel, Farrow Orsa, Gull Bay Marn
Hallin Kel, Ivorsund Orsa, Kettle Point Marn, Lorne Kel, Lorne Orsa, Mossgate Marn, Norwick Orsa, Pellan Kel
Quayside Marn, Rushmoor Orsa, Saltney Kel, Tarn Orsa
"""


@dataclass(frozen=True)
class Place:
    """A place, and the identifier that it has in one world."""

    name: str
    country: Country
    code: str

    @property
    def title(self) -> str:
        return f"{self.name}, {self.country.name}"


@dataclass(frozen=True)
class Report:
    """The forecast for a part of a day, in the units of the country."""

    temperature: int
    rain: float
    """Millimetres, in all countries."""
    wind: int


class Weather:
    """The weather of one world.

    Args:
        seed: Of the world. Places have the same names in all of them; identifiers, clocks and weather differ.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        random = Random(f"world {seed}")
        names = [town.rsplit(" ", 1) for town in TOWNS.strip().replace("\n", ", ").split(", ")]
        codes = random.sample(range(0x1000, 0x10000), len(names))
        made = [
            Place(name, COUNTRIES[country], f"plc-{code:x}") for (name, country), code in zip(names, codes, strict=True)
        ]
        self.places = {place.code: place for place in made}
        start = datetime(2031, 1, 1, tzinfo=UTC)
        self.now = start + timedelta(days=random.randrange(365), minutes=random.randrange(24 * 60))

    def find(self, name: str) -> list[Place]:
        """The places of a name, in any case; `name` may name the country too, as in `Ashford, Kel`."""
        wanted = " ".join(name.casefold().replace(",", " ").split())
        return [
            place
            for place in self.places.values()
            if wanted in (place.name.casefold(), f"{place.name} {place.country.name}".casefold())
        ]

    def place(self, code: str) -> Place:
        """The place with an identifier.

        Raises:
            ValueError: there is none.
        """
        found = self.places.get(code.strip())
        if found is None:
            raise ValueError(f"there is no place {code.strip()[:40]!r}: find_place gives the identifier of a place.")
        return found

    def local_time(self, place: Place) -> datetime:
        """What clocks show in a place."""
        return (self.now + timedelta(hours=place.country.hours)).replace(tzinfo=None)

    def forecast(self, place: Place, day: date) -> dict[str, Report]:
        """The forecast for a day, by part of the day.

        Raises:
            ValueError: the day is not among those that are forecast.
        """
        today = self.local_time(place).date()
        if not today <= day < today + timedelta(days=DAYS):
            last = today + timedelta(days=DAYS - 1)
            raise ValueError(f"in {place.title} there are forecasts from {today} to {last}, and none for {day}.")
        random = Random(f"weather {self.seed} {place.code} {day}")
        middle, breeze = random.uniform(-4, 27), random.uniform(5, 60)
        reports = {}
        for part, warmer in zip(PARTS, (-2, 4, 1, -5), strict=True):
            celsius, wind = middle + warmer + random.uniform(-2, 2), breeze * random.uniform(0.6, 1.4)
            rain = round(max(0.0, random.uniform(-4, 9)), 1)
            if place.country.imperial:
                celsius, wind = celsius * 9 / 5 + 32, wind / KM_PER_MILE
            reports[part] = Report(round(celsius), rain, round(wind))
        return reports


KM_PER_MILE = 1.609344


def celsius(report: Report, country: Country) -> float:
    """A temperature in degrees Celsius."""
    return (report.temperature - 32) * 5 / 9 if country.imperial else float(report.temperature)


def km_per_hour(report: Report, country: Country) -> float:
    """A speed of wind in kilometres per hour."""
    return report.wind * KM_PER_MILE if country.imperial else float(report.wind)


def as_text(place: Place, day: date, reports: dict[str, Report]) -> str:
    """A forecast as its reader sees it."""
    degrees, speed = ("°F", "mph") if place.country.imperial else ("°C", "km/h")
    lines = [
        f"{part}: {report.temperature} {degrees}, rain {report.rain:g} mm, wind {report.wind} {speed}"
        for part, report in reports.items()
    ]
    return "\n".join([f"Forecast for {place.title} on {day}", *lines])
