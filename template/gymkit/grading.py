# Part of the template: changes belong there (`copier update` merges this file).
"""What the reward is made from: the row's ground truth, the verdict, and the grade of a bare transcript."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """The grade of one episode.

    A verdict with a `failure_kind` is no measurement of the policy (a lost session, a broken sandbox): its reward
    counts for nothing and trainers drop the sample. The kinds are NeMo Gym 0.7's (`nemo_gym.failure_kinds`).
    """

    reward: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers that NeMo Gym averages beside the reward, by name."""
    failure_kind: str | None = None
    failure_reason: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.reward):
            raise ValueError(f"a reward must be a finite number, not {self.reward}")

    @classmethod
    def masked(cls, kind: str, reason: str) -> "Verdict":
        """The verdict on an episode that the environment, not the policy, has spoiled."""
        return cls(reward=0.0, failure_kind=kind, failure_reason=reason[:2000])

    def as_fields(self) -> dict[str, Any]:
        """The fields that `/verify` adds to its request's body.

        NeMo Gym 0.7 reads `mask_sample` and `failure_kind`; NeMo RL (with 0.4) reads the mask in `instance_config`.
        """
        fields: dict[str, Any] = {**self.metrics, "reward": float(self.reward), "mask_sample": False}
        if self.failure_kind is not None:
            fields |= {
                "mask_sample": True,
                "failure_kind": self.failure_kind,
                "failure_reason": self.failure_reason,
                "instance_config": {"mask_sample": True},
            }
        return fields


def expected_output(row: Mapping[str, Any]) -> Any:
    """The answer in a row's ground truth, or None where it has none.

    The form is `ground_truth: [{"expected_output": ...}]`; a bare object and a bare value are understood too.
    """
    truth = row.get("ground_truth")
    if isinstance(truth, list):
        truth = truth[0] if truth else None
    if isinstance(truth, Mapping) and "expected_output" in truth:
        truth = truth["expected_output"]
    return truth


def tool_outputs(response: Mapping[str, Any]) -> Iterator[str]:
    """The texts of all tool outputs in a Responses API response, in order."""
    for item in response.get("output") or []:
        if isinstance(item, Mapping) and item.get("type") == "function_call_output":
            output = item.get("output")
            if isinstance(output, str):
                yield output
            elif isinstance(output, list):
                yield from (part["text"] for part in output if isinstance(part, Mapping) and "text" in part)


def grade_transcript(row: Mapping[str, Any], response: Mapping[str, Any]) -> Verdict:
    """Grade a stored rollout, which has no session: 1.0 where a tool output holds the expected output.

    It trusts the transcript, so use it only for rollouts that you have recorded yourself.
    """
    expected = expected_output(row)
    if not isinstance(expected, str) or not expected:
        return Verdict.masked("verifier_error", "The row holds no ground truth to compare the tool outputs with.")
    return Verdict(reward=float(any(expected in output for output in tool_outputs(response))))
