"""What a data row holds besides `responses_create_params`: whatever `new_episode()` and `grade()` read.

`uv run gymkit data` refuses a row that is not so. NeMo Gym 0.7 shows it (`gym env schema`) and checks data sets by it,
without the server: so nothing is imported but the standard library and pydantic.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    changes: dict[str, dict[str, dict[str, Any]]] = Field(description="What has changed in the shop's tables.")
    told: list[list[str]] = Field(description="What the customer has been told, each with several words for it.")


class GroundTruth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expected_output: Wanted = Field(description="What has been done and said at the end.")


class User(BaseModel):
    model_config = ConfigDict(extra="forbid")

    opening: str = Field(description="His first words, which stand in the prompt.")
    facts: dict[str, str] = Field(description="What he knows, by topic: said when he is asked for it.")
    wishes: list[str] = Field(min_length=1, description="What he wants, one after the other.")
    insists: int = Field(default=1, ge=0, le=5, description="So often he insists on a wish that is denied.")
    patience: int = Field(default=3, ge=1, le=10, description="So often he puts up with what leads nowhere.")
    seed: int = Field(default=0, description="Chooses his words.")


class TaskData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task_id: str = Field(description="Names the task in logs and rollouts.")
    ground_truth: list[GroundTruth] = Field(min_length=1, max_length=1)
    kind: str = Field(default="", description="The kind of wish (tasks.py).")
    shop: dict[str, list[dict[str, Any]]] = Field(description="The rows of the shop's tables.")
    user: User
    oracle: list[str | tuple[str, dict[str, Any]]] = Field(
        default=[], description="What solves it, said or called: policy.py plays it."
    )
    row_key: str = Field(default="", description="Random: a model cannot know the whole row. `gymkit data` adds it.")
