# Part of the template: changes belong there (`copier update` merges this file).
"""A small environment for the tests of what all environments share. Its tools do what tools should not."""

import asyncio
import time
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel

from gymkit.answers import Response
from gymkit.rows import Row
from gymkit.server import EnvironmentServer, InvalidRow
from gymkit.tools import ToolRequest


class Log:
    """What has happened in an episode."""

    def __init__(self) -> None:
        self.log: list[str] = []


class NoArguments(ToolRequest):
    pass


class Sleepy(ToolRequest):
    seconds: float


class Count(BaseModel):
    count: int


class ProbeServer(EnvironmentServer):
    """An environment that waits, blocks, raises and talks without end. A row may say what its episode does:

    `refuse`: none can be made from it; `start_seconds`: making it blocks for so long; `reward`: what it earns (1.0);
    `grade_seconds`: grading blocks for so long.
    """

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        tools = (self.wait, self.block, self.fail, self.talk, self.mangle, self.mangle_and_fail, self.leak)
        for tool in (*tools, self.nothing, self.count):
            app.post(f"/{tool.__name__}")(tool)
        return app

    def new_episode(self, row: Row) -> Log:
        if "refuse" in row:
            raise InvalidRow(row["refuse"])
        time.sleep(row.get("start_seconds", 0))
        return Log()

    def grade(self, episode: Log, row: Row, response: Response) -> Any:
        time.sleep(row.get("grade_seconds", 0))
        episode.log.append("graded")
        return row.get("reward", 1.0)

    async def wait(self, body: Sleepy, request: Request) -> str:
        """Wait on the event loop."""
        log = self.episode(request).log
        log.append("in")
        try:
            await asyncio.sleep(body.seconds)
        finally:
            log.append("out")
        return " ".join(log)

    def block(self, body: Sleepy, request: Request) -> str:
        """Block a thread."""
        log = self.episode(request).log
        log.append("in")
        time.sleep(body.seconds)
        log.append("out")
        return " ".join(log)

    async def fail(self, body: NoArguments, request: Request) -> str:
        """Raise."""
        raise RuntimeError("the disk is full")

    async def talk(self, body: NoArguments, request: Request) -> str:
        """Answer too much."""
        return "a" * 1_000_000

    async def mangle(self, body: NoArguments, request: Request) -> str:
        """Answer with half a character."""
        return "naïve \ud83d"

    async def mangle_and_fail(self, body: NoArguments, request: Request) -> str:
        """Raise with half a character."""
        raise RuntimeError("naïve \ud83d")

    async def leak(self, body: NoArguments, request: Request) -> Any:
        """Answer with what is no JSON."""
        return {"output": object()}

    async def nothing(self, request: Request) -> str:
        """Take no arguments."""
        return "done"

    async def count(self, body: NoArguments, request: Request) -> Count:
        """Answer with a model of its own."""
        return Count(count=len(self.episode(request).log))


ROW: Row = {"task_id": "probe", "responses_create_params": {"input": "Try."}}
"""A row of the probe environment."""
