"""A stand-in for a service outside that somebody has: a railway, with an OpenAPI of four operations.

python tests/standin_railway.py PORT LOG_FILE
"""

import json
import sys
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

KEY = "railway-key-7f3a"
TOWNS = ("Oak", "Elm", "Ash", "Yew")


def known(x_api_key: Annotated[str, Header()] = "") -> None:
    with open(sys.argv[2], "a") as log:
        log.write(json.dumps(x_api_key == KEY) + "\n")
    if x_api_key != KEY:
        raise HTTPException(401, "wrong key")


app = FastAPI(dependencies=[Depends(known)])


class Booking(BaseModel):
    train: str
    name: str


def number_of(train: str) -> int:
    if not (train.startswith("T") and train[1:].isdigit() and int(train[1:]) < 24):
        raise HTTPException(404, "no such train")
    return int(train[1:])


@app.get("/stations")
def stations() -> dict[str, Any]:
    return {"stations": TOWNS}


@app.get("/stations/{station}/departures")
def departures(station: str) -> dict[str, Any]:
    if station not in TOWNS:
        raise HTTPException(404, "no such station")
    numbers = [number for number in range(24) if TOWNS[number % 4] == station]
    return {
        "departures": [
            {
                "train": f"T{number}",
                "to": TOWNS[(number + 1 + number // 4 % 3) % 4],
                "time": f"{6 + number % 12}:{number % 60:02d}",
            }
            for number in numbers
        ]
    }


@app.post("/bookings")
def book(booking: Booking) -> dict[str, Any]:
    number = number_of(booking.train)
    return {"code": f"B{number}-{booking.name}", "seat": 1000 + 37 * number}


@app.get("/bookings/{code}")
def booking(code: str) -> dict[str, Any]:
    return {"code": code, "seat": 1000 + 37 * number_of("T" + code[1:].split("-")[0])}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
