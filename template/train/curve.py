# Part of the template: changes belong there (`copier update` merges this file).
"""How a training run goes: a line of curve.jsonl for each step, progress, and a picture of it."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

import _root  # noqa: F401
from gymkit.errors import CommandError
from gymkit.terminal import console

KEPT = {
    "reward": "reward",
    "reward_std": "reward_std",
    "loss": "loss",
    "grad_norm": "grad_norm",
    "entropy": "entropy",
    "masked": "masked",
    "failed": "failed",
    "tools/call_frequency": "calls",
    "tools/failure_frequency": "failed_calls",
    "completions/mean_length": "tokens",
    "completions/clipped_ratio": "clipped",
}
"""TRL's names, and those of curve.jsonl."""
SMOOTHED = 10
"""Steps of a mean, in the picture and in what is printed."""


class Curve(TrainerCallback):
    """Writes and shows each step. A loss that is not finite ends the training, before it is saved."""

    def __init__(self, folder: Path, steps: int, quiet: bool = False) -> None:
        self.path = folder / "curve.jsonl"
        self.steps = steps
        self.quiet = quiet
        self.began = time.time()
        self.rewards: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Drop the steps after the checkpoint that the training goes on from."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = [each for each in read(self.path) if each["step"] <= state.global_step] if state.global_step else []
        self.path.write_text("".join(json.dumps(each) + "\n" for each in before))
        self.began = time.time() - (before[-1]["seconds"] if before else 0)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "reward" not in logs:
            return
        step = {new: logs[old] for old, new in KEPT.items() if old in logs}
        for name in ("loss", "grad_norm"):
            if not math.isfinite(step.get(name, 0.0)):
                raise CommandError(
                    f"Step {state.global_step}: {name} is {step[name]}, not finite. Checkpoints before it are kept; "
                    "take a lower --learning-rate."
                )
        seconds = round(time.time() - self.began, 1)
        rounded = {name: round(value, 5) for name, value in step.items() if math.isfinite(value)}
        with self.path.open("a") as file:
            file.write(json.dumps({"step": state.global_step, "seconds": seconds, **rounded}) + "\n")
        if "reward" in rounded:
            self.rewards.append(rounded["reward"])
        if not self.quiet and self.rewards:
            recent = self.rewards[-SMOOTHED:]
            left = seconds / state.global_step * (self.steps - state.global_step)
            console.print(
                f"step {state.global_step:4d}/{self.steps}  reward {self.rewards[-1]:.3f}  "
                f"mean of {len(recent)}: {sum(recent) / len(recent):.3f}  {left:.0f} s left"
            )


def read(path: Path) -> list[dict[str, Any]]:
    """The steps in a curve.jsonl; an unfinished last line is left out."""
    steps = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            steps.append(json.loads(line))
        except ValueError:
            break
    return steps


def draw(curves: Sequence[Path], picture: Path) -> None:
    """Draw the rewards of one or more runs, and their means over some steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120)
    for number, path in enumerate(curves):
        points = [(each["step"], each["reward"]) for each in read(path) if "reward" in each]
        if not points:
            continue
        steps, rewards = zip(*points, strict=True)
        means = [sum(rewards[max(0, i - SMOOTHED + 1) : i + 1]) / min(i + 1, SMOOTHED) for i in range(len(rewards))]
        color = f"C{number}"
        axes.plot(steps, rewards, color=color, alpha=0.25, linewidth=1)
        axes.plot(steps, means, color=color, linewidth=2, label=path.parent.name)
    axes.set_xlabel("step")
    axes.set_ylabel(f"reward, and its mean over {SMOOTHED} steps")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, bbox_inches="tight")
    pyplot.close(figure)
