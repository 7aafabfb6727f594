"""What a data row holds besides `responses_create_params`: whatever `new_episode()` and `grade()` read.

`uv run gymkit data` refuses a row that is not so. NeMo Gym 0.7 shows it (`gym env schema`) and checks data sets by it,
without the server: so nothing is imported but the standard library and pydantic.
"""

from pydantic import BaseModel, ConfigDict, Field


class GroundTruth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expected_output: str = Field(description="The word to find.", pattern="^[A-Za-z]{5}$")


class TaskData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task_id: str = Field(description="Names the task in logs and rollouts.")
    ground_truth: list[GroundTruth] = Field(min_length=1, max_length=1)
    row_key: str = Field(default="", description="Random: a model cannot know the whole row. `gymkit data` adds it.")
