"""A resources server as the template's seed document writes one, on NeMo Gym's own middleware.

    python seed_way.py PORT

All tools are coroutines, a blocking one included; a session's state is made when it is first asked for, and kept.
"""

import sys
import time
from typing import Any

from alone import run
from echo_models import BlockRequest, EchoRequest, Game, ToolResponse
from fastapi import FastAPI, Request
from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.server_utils import SESSION_ID_KEY
from pydantic import Field


class SeedWayConfig(BaseResourcesServerConfig):
    pass


class SeedWayVerifyRequest(BaseVerifyRequest):
    ground_truth: list = Field(default_factory=list)


class SeedWayResourcesServer(SimpleResourcesServer):
    config: SeedWayConfig
    sessions: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/echo")(self.echo)
        app.post("/block")(self.block)
        return app

    async def seed_session(self, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        return BaseSeedSessionResponse()

    def _session(self, request: Request) -> dict[str, Any]:
        session_id = request.session[SESSION_ID_KEY]
        if session_id not in self.sessions:
            self.sessions[session_id] = {"game": Game(), "step": 0}
        return self.sessions[session_id]

    async def echo(self, body: EchoRequest, request: Request) -> ToolResponse:
        self._session(request)["step"] += 1
        return ToolResponse(output=body.text)

    async def block(self, body: BlockRequest, request: Request) -> ToolResponse:
        self._session(request)["step"] += 1
        time.sleep(body.milliseconds / 1000)
        return ToolResponse(output=body.text)

    async def verify(self, body: SeedWayVerifyRequest) -> BaseVerifyResponse:
        expected = ""
        if body.ground_truth and isinstance(body.ground_truth, list):
            expected = body.ground_truth[0].get("expected_output", "")
        reward = 0.0
        for item in body.response.output:
            if (
                hasattr(item, "type")
                and item.type == "function_call_output"
                and expected
                and expected in getattr(item, "output", "")
            ):
                reward = 1.0
                break
        return BaseVerifyResponse(**body.model_dump(), reward=reward)


if __name__ == "__main__":
    run(SeedWayResourcesServer, "seed_way", int(sys.argv[1]))
