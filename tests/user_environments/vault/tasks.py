"""The tasks: an object as the expected output, and answers that stand in every prompt."""

from typing import Any


def tasks() -> dict[str, list[dict[str, Any]]]:
    def task(number: int) -> dict[str, Any]:
        return {
            "task_id": f"vault-{number}",
            "prompt": f"There are 2 numbers, red and blue, in vault {number}. Say both, as 'red=1 blue=2'.",
            "expected_output": {"red": 2, "blue": number},
        }

    return {
        "demo": [task(0)],
        "example": [task(number) for number in range(1, 6)],
        "validation": [task(number) for number in range(6, 10)],
        "train": [task(number) for number in range(10, 40)],
    }
