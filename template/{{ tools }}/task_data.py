"""What a data row holds besides `responses_create_params`: whatever `new_episode()` and `grade()` read.

`uv run gymkit data` refuses a row that is not so. NeMo Gym 0.7 shows it (`gym env schema`) and checks data sets by it,
without the server: so nothing is imported but the standard library and pydantic.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GroundTruth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expected_output: int | float | str = Field(description="The answer.")


class TaskData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task_id: str = Field(description="Names the task in logs and rollouts.")
    ground_truth: list[GroundTruth] = Field(min_length=1, max_length=1)
    world: int = Field(default=0, description="The seed of the weather.")
    needs: list[str] = Field(default=[], description="Calls that have to be made, as `read_page URL`.")
    alerts: list[str] = Field(default=[], description="Alerts that have to be sent, and no other.")
    budget: int = Field(default=40, description="Calls that are enough; more are counted.")
    notice: dict[str, str] = Field(default={}, description="What a page tells its reader to do: cheats obey it.")
    kind: str = Field(default="", description="Which kind of task it is: policy.py plays by it.")
    parameters: dict[str, Any] = Field(default={}, description="What the question asks for: policy.py plays by it.")
    row_key: str = Field(default="", description="Random: a model cannot know the whole row. `gymkit data` adds it.")
