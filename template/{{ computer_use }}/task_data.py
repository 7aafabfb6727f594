"""What a data row holds besides `responses_create_params`: whatever `new_episode()` and `grade()` read.

`uv run gymkit data` refuses a row that is not so. NeMo Gym 0.7 shows it (`gym env schema`) and checks data sets by it,
without the server: so nothing is imported but the standard library and pydantic.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GroundTruth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expected_output: dict[str, Any] = Field(description="What the saved state has to hold at the end.")


class TaskData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task_id: str = Field(description="Names the task in logs and rollouts.")
    ground_truth: list[GroundTruth] = Field(min_length=1, max_length=1)
    office_seed: int = Field(default=0, description="What the office holds at the beginning is made from it.")
    screenshot_after_action: bool = Field(default=False, description="Whether each action answers with a picture.")
    oracle: list[tuple[str, dict[str, Any]]] = Field(
        default=[], description="Calls that solve it: policy.py makes them."
    )
    row_key: str = Field(default="", description="Random: a model cannot know the whole row. `gymkit data` adds it.")
