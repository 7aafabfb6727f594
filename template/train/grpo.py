# Part of the template: changes belong there (`copier update` merges this file).
"""Train a model in this environment by GRPO (TRL).

    uv run --project train python train/grpo.py --model Qwen/Qwen3-0.6B --output results/grpo
    uv run --project train python train/grpo.py --model M --url URL      in an environment that runs elsewhere

Writes curve.jsonl (a line per step), training.png, and checkpoints; the same command goes on from the last of them.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

import programs
from adapter import examples, factory, reward_function, tools_at
from curve import Curve, draw
from gymkit.errors import CommandError
from gymkit.items import Item
from gymkit.rows import Row
from gymkit.terminal import console
from models import Loaded, device_settings, load, silence

NO_PROBABILITIES = "probability tensor contains"
"""What PyTorch says where it draws from a model whose logits are not finite."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a name on the Hub, or a folder")
    programs.add_environment(parser, "train")
    parser.add_argument("--output", type=Path, default=Path("results/grpo"), help="a folder for model and curve")
    parser.add_argument("--steps", type=int, default=200, help="updates of the model")
    parser.add_argument("--prompts", type=int, default=8, help="rows of a step")
    parser.add_argument("--generations", type=int, default=8, help="episodes of each row: what is compared")
    parser.add_argument("--learning-rate", type=float, default=1e-6)
    parser.add_argument("--save-every", type=int, default=20, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trl", type=json.loads, default={}, metavar="JSON", help="more settings of TRL's GRPOConfig")
    return parser.parse_args()


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of `GRPOConfig` that options make."""
    batch = options.prompts * options.generations
    return {
        "output_dir": str(options.output),
        "max_steps": options.steps,
        "per_device_train_batch_size": batch,
        "num_generations": options.generations,
        "max_completion_length": options.max_tokens,
        "max_tool_calling_iterations": options.max_turns,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "temperature": 1.0,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # It would show the last finite loss instead.
        "save_steps": options.save_every,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": options.seed,
        **device_settings(),
    } | options.trl


def trainer(
    loaded: Loaded,
    url: str,
    tools: list[Item],
    rows: list[Row],
    config: dict[str, Any],
    reward: Any = None,
    **more: Any,
) -> GRPOTrainer:
    """TRL's trainer for rows of this environment."""
    make = factory(url, tools, loaded.pictures) if tools else None
    data = Dataset.from_list(examples(rows))
    try:
        made = GRPOTrainer(
            model=loaded.model,
            processing_class=loaded.processor,
            args=GRPOConfig(**config),
            reward_funcs=reward or reward_function(url, tools),
            train_dataset=data,
            eval_dataset=data,
            environment_factory=make,
            **more,
        )
    except (TypeError, ValueError) as error:
        raise CommandError(f"TRL refuses these settings: {' '.join(str(error).split())[:300]}") from None
    silence(made)
    check_length(made, rows)
    return made


def check_length(made: GRPOTrainer, rows: list[Row]) -> None:
    """Raise an error where a prompt leaves the model no room for an answer."""
    room = getattr(made.model.config.get_text_config(), "max_position_embeddings", None)
    if room is None or not isinstance(made.processing_class, PreTrainedTokenizerBase):
        return
    shown = made.tools or None
    longest = max(
        len(made.processing_class.apply_chat_template(each["prompt"], tools=shown, return_dict=False))
        for each in examples(rows)
    )
    if longest >= room:
        raise CommandError(f"The longest prompt has {longest} tokens, and the model takes {room}.")


def train(options: argparse.Namespace, url: str, tools: list[Item], rows: list[Row], quiet: bool = False) -> None:
    """Train, from the last checkpoint on where there is one, and save the model."""
    last = programs.last_checkpoint(options.output)
    done = programs.steps_of(last) >= options.steps
    if last is None or done:
        programs.check_free(options.output)
    if last is not None:
        console.print(f"Going on from {last}", style="dim", markup=False, soft_wrap=True)
    loaded = load(str(last) if done else options.model, bool(tools))
    curve = Curve(options.output, options.steps, quiet)
    made = trainer(loaded, url, tools, rows, settings(options), callbacks=[curve])
    if not done:  # TRL would make one step more.
        try:
            made.train(resume_from_checkpoint=str(last) if last else None)
        except RuntimeError as error:
            if NO_PROBABILITIES not in str(error):
                raise
            raise CommandError(
                f"After step {made.state.global_step}, the model's probabilities are not finite. Earlier checkpoints "
                "are kept; take a lower --learning-rate."
            ) from None
    made.save_model(str(options.output))
    draw([options.output / "curve.jsonl"], options.output / "training.png")


def main() -> None:
    options = arguments()
    rows = programs.selected(options)
    if options.prompts < 1 or options.generations < 2 or not math.isfinite(options.learning_rate):
        raise CommandError("--prompts is at least 1, --generations at least 2 (episodes of a row are compared).")
    with programs.environment(options.url) as url:
        train(options, url, tools_at(url), rows)
    said = f"The model: {options.output}\nThe curve: {options.output / 'training.png'}"
    console.print(said, markup=False, soft_wrap=True)


if __name__ == "__main__":
    programs.program(main)
