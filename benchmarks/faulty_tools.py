"""Tools as careless as a user may write them; soak.py puts them into a server, as a base before `EnvironmentServer`."""

import asyncio
import gc
import json
import os
import threading
import time
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from pydantic import Field

from gymkit.sessions import Session
from gymkit.tools import ToolRequest, ToolResponse

FLOOD = 3_000_000
"""Characters of a huge answer."""


if "SOAK_CLOCK" in os.environ:
    # The wall clock of Python code, stepped by how far the file's own time is from a day in 2001. libfaketime steps the
    # interpreter's too, whose threads then wait far too long for each other.
    clock, real_time, real_time_ns = os.environ["SOAK_CLOCK"], time.time, time.time_ns

    def step() -> int:
        return int(os.stat(clock).st_mtime) - 1_000_000_000

    time.time = lambda: real_time() + step()
    time.time_ns = lambda: real_time_ns() + step() * 1_000_000_000


class SecondsRequest(ToolRequest):
    seconds: float = Field(description="How long it takes.")


if TYPE_CHECKING:
    from gymkit.server import EnvironmentServer as Server
else:
    Server = object


class FaultyTools(Server):
    """Each fault as a coroutine and as a plain function. All of them know the session's own token, from its row."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        for tool in (self.recall, self.recall_in_thread, self.state):
            app.post(f"/{tool.__name__}")(tool)
        for tool in (self.hang, self.hang_in_thread, self.fail, self.fail_in_thread, self.flood, self.flood_in_thread):
            app.post(f"/{tool.__name__}")(tool)
        return app

    def _token(self, request: Request) -> str:
        return self.session_of(request).row.get("soak_token", "")

    async def recall(self, request: Request) -> ToolResponse:
        """Say whose session this is, what time it is by the wall clock, and after how long calls were cancelled."""
        row = self.session_of(request).row
        print(f"recall of {row.get('soak_token')}")
        answer = {
            "token": row.get("soak_token"),
            "wall": time.time(),
            "cancelled_after": row.pop("cancelled_after", []),
        }
        return ToolResponse(output=json.dumps(answer))

    def recall_in_thread(self, request: Request) -> ToolResponse:
        """The session's token, from a thread."""
        print(f"recall of {self._token(request)}")
        return ToolResponse(output=self._token(request))

    async def hang(self, body: SecondsRequest, request: Request) -> ToolResponse:
        """Wait."""
        row, started = self.session_of(request).row, time.monotonic()
        try:
            await asyncio.sleep(body.seconds)
        except asyncio.CancelledError:
            row.setdefault("cancelled_after", []).append(time.monotonic() - started)
            raise
        return ToolResponse(output=self._token(request))

    def hang_in_thread(self, body: SecondsRequest, request: Request) -> ToolResponse:
        """Wait, and nobody can end it."""
        time.sleep(body.seconds)
        return ToolResponse(output=self._token(request))

    async def fail(self, request: Request) -> ToolResponse:
        """Raise."""
        raise RuntimeError(self._token(request))

    def fail_in_thread(self, request: Request) -> ToolResponse:
        """Raise in a thread."""
        raise RuntimeError(self._token(request))

    async def flood(self, request: Request) -> ToolResponse:
        """Answer far too much."""
        token = self._token(request)
        return ToolResponse(output=f"{token}{'x' * FLOOD}{token}")

    def flood_in_thread(self, request: Request) -> ToolResponse:
        """Answer far too much, from a thread."""
        token = self._token(request)
        return ToolResponse(output=f"{token}{'x' * FLOOD}{token}")

    async def state(self, request: Request) -> ToolResponse:
        """What the process holds: sessions (open ones, and objects in memory), threads, tasks."""
        gc.collect()
        held = {
            "open sessions": len(self._sessions),
            "sessions in memory": sum(type(thing) is Session for thing in gc.get_objects()),
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks()),
        }
        return ToolResponse(output=json.dumps(held))
