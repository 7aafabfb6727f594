# Part of the template: changes belong there (`copier update` merges this file).
"""The settings of every environment's server. Each may stand in configs/<name>.yaml, beside `entrypoint`."""

from nemo_gym.base_resources_server import BaseResourcesServerConfig
from pydantic import Field, model_validator

from gymkit.sessions import SessionSettings
from gymkit.tools import ToolSettings


class EnvironmentConfig(SessionSettings, ToolSettings, BaseResourcesServerConfig):
    """NeMo Gym's settings of a resources server, and the limits of this one."""

    max_body_bytes: int = Field(default=64_000_000, gt=0, description="Size limit of any request.")
    max_body_parts: int = Field(
        default=2_000_000,
        gt=0,
        description="Parts that a request may have: an object or a list counts as 20, a key as 8, a text as 4, two numbers as 1.",
    )
    grade_transcripts: bool = Field(
        default=False,
        description="Grade a `/verify` that has no session (a stored rollout) by what its transcript claims.",
    )

    @model_validator(mode="after")
    def _one_process(self) -> "EnvironmentConfig":
        if (self.num_workers or 1) > 1:
            raise ValueError("num_workers must be 1: the sessions live in one process. Start several servers instead.")
        return self
