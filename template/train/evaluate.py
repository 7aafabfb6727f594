# Part of the template: changes belong there (`copier update` merges this file).
"""The mean reward of a model on rows, played as GRPO plays them.

uv run --project train python train/evaluate.py --model results/grpo --data data/validation.jsonl --samples 8
"""

import argparse
import json
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import programs
from adapter import reward_function, tools_at
from grpo import trainer
from gymkit.errors import CommandError
from gymkit.items import Item
from gymkit.rows import Row
from gymkit.terminal import console
from models import device_settings, load


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a name on the Hub, or a folder")
    programs.add_environment(parser, "validation")
    parser.add_argument("--samples", type=int, default=4, help="episodes of each row")
    parser.add_argument("--batch", type=int, default=32, help="episodes at once")
    parser.add_argument("--output", type=Path, help="write the figures there, as JSON")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def evaluate(options: argparse.Namespace, url: str, tools: list[Item], rows: list[Row]) -> dict[str, Any]:
    """The mean reward, and its standard error over rows. Masked episodes count for nothing."""
    if options.samples < 1:
        raise CommandError("--samples must be at least 1.")
    loaded = load(options.model, bool(tools))
    found: dict[str, list[float]] = {}
    masked = 0
    graded = reward_function(url, tools)

    def reward(completions: list[Any], row: list[str], **more: Any) -> list[float | None]:
        nonlocal masked
        rewards = graded(completions=completions, row=row, **more)
        for each, value in zip(row, rewards, strict=True):
            if value is None:
                masked += 1
            else:
                found.setdefault(each, []).append(value)
        return rewards

    with tempfile.TemporaryDirectory() as scratch:
        config = {
            "output_dir": scratch,
            "max_steps": 1,
            "per_device_train_batch_size": 2,
            "num_generations": 2,
            "num_generations_eval": options.samples,
            "per_device_eval_batch_size": max(1, options.batch // options.samples) * options.samples,
            "max_completion_length": options.max_tokens,
            "max_tool_calling_iterations": options.max_turns,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": options.seed,
            **device_settings(),
        }
        trainer(loaded, url, tools, rows, config, reward).evaluate()
    if not found:
        raise CommandError(f"All {masked} episodes were masked: there is no reward.")
    return figures(found.values(), masked)


def figures(rewards: Iterable[list[float]], masked: int) -> dict[str, Any]:
    """The mean of rows' means, and its standard error.

    Args:
        rewards: Of each row.
        masked: How many episodes more there were.
    """
    listed = list(rewards)
    means = [sum(each) / len(each) for each in listed]
    mean = sum(means) / len(means)
    variance = sum((each - mean) ** 2 for each in means) / max(1, len(means) - 1)
    episodes = sum(map(len, listed))
    error = math.sqrt(variance / len(means))
    return {"reward": mean, "error": error, "rows": len(means), "episodes": episodes, "masked": masked}


def described(result: dict[str, Any]) -> str:
    masked = f", {result['masked']} masked" if result["masked"] else ""
    counts = f"{result['rows']} rows, {result['episodes']} episodes{masked}"
    return f"{result['reward']:.3f} ± {result['error']:.3f} ({counts})"


def main() -> None:
    options = arguments()
    rows = programs.selected(options)
    with programs.environment(options.url) as url:
        result = evaluate(options, url, tools_at(url), rows)
    console.print(f"Mean reward: {described(result)}")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps({"model": str(options.model), **result}) + "\n")


if __name__ == "__main__":
    programs.program(main)
