"""What a data row holds besides `responses_create_params`: whatever `new_episode()` and `grade()` read.

`uv run gymkit data` refuses a row that is not so. NeMo Gym 0.7 shows it (`gym env schema`) and checks data sets by it,
without the server: so nothing is imported but the standard library and pydantic.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GroundTruth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expected_output: Any = Field(description="The answer, or what the result file has to hold: any JSON value.")


class TaskData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task_id: str = Field(description="Names the task in logs and rollouts.")
    ground_truth: list[GroundTruth] = Field(min_length=1, max_length=1)
    files: dict[str, str] = Field(default={}, description="Text files of the working folder, by their paths.")
    result_file: str | None = Field(default=None, description="The file that is graded, where it is not an answer.")
    form: str | None = Field(default=None, description="Of mathematics: the form of the answer.")
    kind: str = Field(default="", description="Which kind of task it is: policy.py plays by it.")
    parameters: dict[str, Any] = Field(default={}, description="What the question asks for: policy.py plays by it.")
    row_key: str = Field(default="", description="Random: a model cannot know the whole row. `gymkit data` adds it.")
