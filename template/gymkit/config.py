# Part of the template: changes belong there (`copier update` merges this file).
"""The settings of every environment's server. Each may stand in configs/<name>.yaml, beside `entrypoint`."""

from nemo_gym.base_resources_server import BaseResourcesServerConfig
from pydantic import Field, model_validator


class EnvironmentConfig(BaseResourcesServerConfig):
    """NeMo Gym's settings of a resources server, and the limits of this one."""

    max_sessions: int = Field(default=10_000, gt=0, description="Open sessions beyond which a seed gets 503.")
    idle_seconds: float = Field(default=3600, gt=0, description="A session unused for so long is ended.")
    tool_seconds: float = Field(
        default=60, gt=0, description="Time limit of a tool call, of `new_episode()`, and of `grade()`."
    )
    threads: int = Field(
        default=64,
        gt=0,
        description="Plain functions running at once: so many tools, and as many of `grade()` and such.",
    )
    max_arguments_bytes: int = Field(default=1_000_000, gt=0, description="Size limit of a tool's arguments.")
    max_body_bytes: int = Field(default=256_000_000, gt=0, description="Size limit of any request.")
    max_output_characters: int = Field(default=100_000, gt=0, description="A longer tool output has its middle cut.")
    grade_transcripts: bool = Field(
        default=False,
        description="Grade a `/verify` that has no session (a stored rollout) by what its transcript claims.",
    )

    @model_validator(mode="after")
    def _one_process(self) -> "EnvironmentConfig":
        if (self.num_workers or 1) > 1:
            raise ValueError("num_workers must be 1: the sessions live in one process. Start several servers instead.")
        return self
