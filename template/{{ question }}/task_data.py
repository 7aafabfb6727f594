"""What a data row holds besides `responses_create_params`: whatever `new_episode()` and `grade()` read.

`uv run gymkit data` refuses a row that is not so. NeMo Gym 0.7 shows it (`gym env schema`) and checks data sets by it,
without the server: so nothing is imported but the standard library and pydantic.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Row(BaseModel):
    """What the rows of all kinds have in common."""

    model_config = ConfigDict(extra="allow")  # Data sets bring fields of their own.

    task_id: str = Field(description="Names the task in logs and rollouts.")
    row_key: str = Field(default="", description="Random: a model cannot know the whole row. `gymkit data` adds it.")


class Letter(BaseModel):
    expected_output: str = Field(description="The letter of the right option.", pattern="^[A-Z]$")


class Choice(Row):
    kind: Literal["choice"]
    ground_truth: list[Letter] = Field(min_length=1, max_length=1)
    options: list[str] = Field(description="Their texts as shown.", min_length=2, max_length=26)
    chance: float | None = Field(default=None, description="What a guess earns in the mean.", ge=0, le=1)


class Value(BaseModel):
    expected_output: str = Field(description="The answer, as LaTeX or plain text.")


class Mathematics(Row):
    kind: Literal["math"]
    ground_truth: list[Value] = Field(min_length=1, max_length=1)
    form: str = Field(default="any", description="The form of the answer that is asked for.")


class Constraints(BaseModel):
    expected_output: list[Any] = Field(description="The constraints (constraints.py).")


class Constrained(Row):
    kind: Literal["constraints"]
    ground_truth: list[Constraints] = Field(min_length=1, max_length=1)


class Answers(BaseModel):
    expected_output: list[str] = Field(description="The answers that count as right, the best first.", min_length=1)


class ShortText(Row):
    kind: Literal["words"]
    ground_truth: list[Answers] = Field(min_length=1, max_length=1)


TaskData = Annotated[Choice | Mathematics | Constrained | ShortText, Field(discriminator="kind")]
