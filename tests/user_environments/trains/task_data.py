"""What a data row holds besides `responses_create_params`."""

from pydantic import BaseModel


class GroundTruth(BaseModel):
    expected_output: int


class TaskData(BaseModel):
    task_id: str
    ground_truth: list[GroundTruth]
    train: str
    start: str
    name: str
    row_key: str = ""
