"""The accounts: rows without ground truth, each with a field of its own."""

from typing import Any


def tasks() -> dict[str, list[dict[str, Any]]]:
    def account(best: int) -> dict[str, Any]:
        return {"prompt": f"Account {best}: for how many months do you save?", "best_month": best}

    return {
        "demo": [account(6)],
        "example": [account(best) for best in range(7, 12)],
        "validation": [account(best) for best in range(12, 16)],
        "train": [account(best) for best in range(16, 40)],
    }
