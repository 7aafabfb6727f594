# Part of the template: changes belong there (`copier update` merges this file).
"""`VERIFIER_FIXTURE`, by which `gym env test` and `gym env publish` (NeMo Gym 0.7) try the grader.

A case's request is a `/verify` body. Its tool calls are played for real, over the server's own routes, before the
verdict is asked for: a transcript that claims an output which the environment never gave earns nothing.
"""

import json
from typing import Any

from nemo_gym.base_resources_server import BaseVerifyRequest
from nemo_gym.server_utils import BaseServerConfig, ServerClient
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict

from gymkit import project
from gymkit.turns import USER_TURN, has_user, said_in

CASES = project.ROOT / "tests" / "verifier_cases.jsonl"
"""Written by `gymkit cases`."""


class CaseRequest(BaseVerifyRequest):
    """A `/verify` body with all the fields of its row."""

    model_config = ConfigDict(extra="allow")


def make_server(server_class: Any, *, configured: bool = True, **settings: Any) -> Any:
    """A server in this process, without a socket.

    Args:
        server_class: A subclass of `EnvironmentServer`.
        configured: Whether it has the settings of the environment's config; else those that it must have.
        settings: Of the server; they go before those of the config.
    """
    instance, config = project.resources_server_instance()
    if not configured:
        config = {"entrypoint": "server.py", "domain": config["domain"]}
    config_class = server_class.model_fields["config"].annotation
    config = config_class.model_validate(
        config | {"host": "127.0.0.1", "port": 0, "name": instance, "num_workers": None} | settings
    )
    client = ServerClient(
        head_server_config=BaseServerConfig(host="127.0.0.1", port=0), global_config_dict=OmegaConf.create({})
    )
    return server_class(config=config, server_client=client)


def play_case(server: Any, request: BaseModel) -> float:
    """Seed from the case's row, make its tool calls, ask for the verdict.

    Args:
        server: As `make_server` gives it.
        request: A `CaseRequest`.

    Raises:
        ValueError: the server refused the row or the request; the message is the server's.
    """
    from fastapi.testclient import TestClient  # It wants httpx, which a server alone does not.

    body = request.model_dump(mode="json")
    app = server.setup_webserver()
    with TestClient(app) as client:
        _accepted(client.post("/seed_session", json=body))
        for item in body["response"]["output"]:
            if item.get("type") == "function_call":
                client.post(f"/{item['name']}", json=json.loads(item["arguments"]))
            elif item.get("type") == "message" and has_user(body):
                client.post(USER_TURN, json={"text": said_in([item])})
        verdict = _accepted(client.post("/verify", json=body))
    if verdict["mask_sample"]:
        raise ValueError(verdict["failure_reason"])
    return verdict["reward"]


def _accepted(answer: Any) -> dict[str, Any]:
    if answer.status_code != 200:
        raise ValueError(answer.json()["output"])
    return answer.json()


def verifier_fixture(server_class: type) -> Any:
    """The fixture of tests/verifier_cases.jsonl; None on NeMo Gym 0.4, which knows none."""
    try:
        from nemo_gym.verifier_fixture import VerifierFixture
    except ImportError:
        return None
    return VerifierFixture(
        server_factory=lambda: make_server(server_class),
        request_model=CaseRequest,
        cases_path=CASES,
        invoke=play_case,
        reseed=lambda server, request: None,  # An episode is made from its row: there is no other seed.
    )
