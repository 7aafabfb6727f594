"""A bare FastAPI application with the endpoints of an environment: the limit of what FastAPI can do.

    python bare.py PORT

It signs nothing, locks nothing, limits nothing and catches nothing. Its states stand in a dict by their cookie.
"""

import secrets
import sys
import time
from typing import Any

import uvicorn
from echo_models import BlockRequest, EchoRequest, Game, ToolResponse
from fastapi import Cookie, FastAPI, Response

COOKIE = "session"

app = FastAPI()
states: dict[str, Game] = {}


@app.post("/seed_session")
async def seed_session(response: Response) -> dict[str, Any]:
    session = secrets.token_hex(16)
    states[session] = Game()
    response.set_cookie(COOKIE, session)
    return {}


@app.post("/echo")
async def echo(body: EchoRequest, session: str = Cookie()) -> ToolResponse:
    states[session]  # A KeyError, so a 500, where there is none.
    return ToolResponse(output=body.text)


@app.post("/block")
def block(body: BlockRequest, session: str = Cookie()) -> ToolResponse:
    states[session]
    time.sleep(body.milliseconds / 1000)
    return ToolResponse(output=body.text)


@app.post("/verify")
async def verify(body: dict[str, Any], session: str = Cookie()) -> dict[str, Any]:
    del states[session]
    return {**body, "reward": 0.0}


@app.post("/close_session")
async def close_session(session: str = Cookie()) -> dict[str, Any]:
    states.pop(session, None)
    return {}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
