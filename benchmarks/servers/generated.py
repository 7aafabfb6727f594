"""A generated environment with two more tools, written as its user would write them in server.py.

PORT=... python generated.py      (in the environment's folder, as server.py is)
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

from fastapi import FastAPI, Request
from pydantic import Field

from gymkit.cli import load_server_class
from gymkit.serve import run
from gymkit.tools import ToolRequest, ToolResponse


class EchoRequest(ToolRequest):
    text: str = Field(description="Any text.")


class BlockRequest(ToolRequest):
    text: str = Field(description="Any text.")
    milliseconds: int = Field(description="How long the tool blocks.")


class BenchmarkServer(load_server_class()):
    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/echo")(self.echo)
        app.post("/block")(self.block)
        return app

    async def echo(self, body: EchoRequest, request: Request) -> ToolResponse:
        """Answer at once."""
        self.episode(request)
        return ToolResponse(output=body.text)

    def block(self, body: BlockRequest, request: Request) -> ToolResponse:
        """Answer after a while."""
        self.episode(request)
        time.sleep(body.milliseconds / 1000)
        return ToolResponse(output=body.text)


if __name__ == "__main__":
    run(BenchmarkServer)
