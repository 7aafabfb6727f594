# Part of the template: changes belong there (`copier update` merges this file).
"""The verdict on an episode. What is graded and what is masked, `gymkit.server` decides (`verify`)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class EnvironmentFailed(Exception):
    """The environment, not the policy, has spoiled the episode: no sandbox could be had, a service is down.

    Raised by `new_episode`, a tool or `grade`, it masks the sample: trainers leave it out. Raise it only for what no
    behaviour of the policy can bring about, or a policy learns to void the episodes that it loses.
    """


@dataclass(frozen=True)
class Verdict:
    """The grade of one episode.

    The kinds of failures are NeMo Gym 0.7's (`nemo_gym.failure_kinds`).
    """

    reward: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers that NeMo Gym averages beside the reward, by name."""
    masked: bool = False
    """Whether it measures nothing, because the environment has failed: trainers drop the sample."""
    failure_kind: str | None = None
    """What went wrong. By itself it masks nothing: a grader that failed gives the lowest reward, and its kind."""
    failure_reason: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.reward):
            raise ValueError(f"a reward must be a finite number, not {self.reward}")

    @classmethod
    def mask(cls, kind: str, reason: str, metrics: Mapping[str, float] | None = None) -> "Verdict":
        """The verdict on an episode that the environment, not the policy, has spoiled."""
        return cls(0.0, metrics or {}, masked=True, failure_kind=kind, failure_reason=reason[:2000])

    def as_fields(self) -> dict[str, Any]:
        """The fields that `/verify` adds to its request's body.

        NeMo Gym 0.7 reads `mask_sample` and `failure_kind`; NeMo RL (with 0.4) reads the mask in `instance_config`.
        """
        fields: dict[str, Any] = {**self.metrics, "reward": float(self.reward), "mask_sample": self.masked}
        if self.failure_kind is not None:
            fields |= {"failure_kind": self.failure_kind, "failure_reason": self.failure_reason}
        if self.masked:
            fields["instance_config"] = {"mask_sample": True}
        if self.masked and self.failure_kind == "judge_failed":  # Its way into 0.7's `<output>_failures.jsonl`.
            fields |= {"_ng_failure_class": "judge_failed", "_ng_failure_judge_error": self.failure_reason}
        return fields
