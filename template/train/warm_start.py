# Part of the template: changes belong there (`copier update` merges this file).
"""Teach a model the episodes that somebody has played well: supervised, before GRPO (TRL).

    uv run python rollout.py --data data/train.jsonl --episodes 200 --output results/played.jsonl
    uv run --project train python train/warm_start.py --model M --rollouts results/played.jsonl --output results/warm

Without --model it makes a tiny one and its tokenizer, of these episodes alone. With --give-up it teaches a fault as
well, for GRPO to remove: smoke.py does so, to see a change that holds for rows that are not trained as well.
"""

import argparse
import math
from pathlib import Path
from random import Random
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from transformers.utils import get_json_schema
from trl import SFTConfig, SFTTrainer
from trl.chat_template_utils import get_training_chat_template

import programs
from adapter import Message, factory, prompt_of, said, tools_at
from gymkit.errors import CommandError
from gymkit.items import Item
from gymkit.pictures import has_pictures
from gymkit.project import reward_range
from gymkit.replies import BadArguments, read_arguments
from gymkit.rows import read_rows
from gymkit.terminal import console
from models import Loaded, device_settings, load, silence

CLOSING = "Done."
"""What the model is taught to say where an episode ends with a tool's answer: else it would not learn to end one."""
CUTS = 3
"""How often each episode is taught where episodes are cut short, each time another length of it."""
FEWEST_STEPS = 60
"""A model that knows nothing takes that many to find the form of an episode, however few episodes there are."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a name on the Hub, or a folder; without: a tiny one is made")
    parser.add_argument("--rollouts", type=Path, required=True, help="episodes that `rollout.py --output` has written")
    programs.add_environment(parser, "train")
    parser.add_argument("--output", type=Path, default=Path("results/warm"), help="a folder for the model")
    parser.add_argument("--steps", type=int, default=200, help="updates of the model")
    parser.add_argument("--passes", type=float, help="how often each episode is taught, instead of --steps")
    parser.add_argument("--batch", type=int, default=16, help="episodes of an update")
    parser.add_argument("--learning-rate", type=float, help="default: 1e-5, and 2e-3 for a tiny model")
    parser.add_argument("--above", type=float, help="teach episodes with a higher reward (default: the lowest)")
    parser.add_argument(
        "--give-up", type=float, default=0.0, help="teach to end an episode before each call with this probability"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def talks_in(path: Path, above: float) -> list[list[Message]]:
    """The messages of the episodes in a file whose reward is above a limit, masked ones left out.

    Raises:
        CommandError: there are none.
    """
    played = read_rows(path)
    lacking = [number for number, each in enumerate(played, 1) if "response" not in each or "reward" not in each]
    if lacking:
        raise CommandError(
            f"{path}, line {lacking[0]}: this is no episode, but a row. `rollout.py --output` writes them."
        )
    good = [each for each in played if not each.get("mask_sample") and each["reward"] > above]
    if not good:
        raise CommandError(f"{path}: no episode has a reward above {above:g}; there is nothing to teach.")
    return [messages_of(each) for each in good]


def messages_of(episode: Item) -> list[Message]:
    """An episode as messages of a chat."""
    messages = prompt_of(episode)
    for item in episode["response"]["output"]:
        kind = item["type"]
        if kind == "function_call":
            try:
                arguments = read_arguments(item["arguments"])
            except BadArguments:
                continue
            call = {"type": "function", "function": {"name": item["name"], "arguments": arguments}}
            if messages[-1]["role"] == "assistant":
                messages[-1].setdefault("tool_calls", []).append(call)
            else:
                messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "content": item["output"]})
        elif has_pictures(item):
            raise CommandError(f"Row {episode.get('task_id')}: its episode has pictures; a warm start is of texts.")
        elif kind == "message":
            messages.append({"role": item["role"], "content": said(item)})
    if messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": CLOSING})
    return messages


def cut_short(talk: list[Message], probability: float, random: Random) -> list[Message]:
    """An episode that ends early: before each message with calls, it is given up with this probability."""
    for place, message in enumerate(talk):
        if message.get("tool_calls") and random.random() < probability:
            return [*talk[:place], {"role": "assistant", "content": CLOSING}]
    return talk


def taught(rollouts: Path, above: float | None, give_up: float, seed: int) -> list[list[Message]]:
    """The episodes to teach: those in a file whose reward is above a limit (None: the lowest), or parts of them.

    Raises:
        CommandError: there are none, or `give_up` is no probability.
    """
    if not 0 <= give_up < 1:
        raise CommandError(f"--give-up is a probability, at least 0 and less than 1, not {give_up:g}.")
    talks = talks_in(rollouts, reward_range()[0] if above is None else above)
    if not give_up or not any(message.get("tool_calls") for talk in talks for message in talk):
        return talks
    random = Random(seed)
    return [cut_short(talk, give_up, random) for _ in range(CUTS) for talk in talks]


def schemas(url: str, tools: list[Item]) -> list[dict[str, Any]] | None:
    """The tools as GRPO will show them to the model."""
    if not tools:
        return None
    session = factory(url, tools)()
    return [get_json_schema(getattr(session, tool["name"])) for tool in tools]


def tokens_of(loaded: Loaded, talks: list[list[Message]], tools: list[dict[str, Any]] | None) -> Dataset:
    """The tokens of episodes, and which of them are the model's own. Made here, for a data set would give every call
    the arguments of all others."""
    template = get_training_chat_template(loaded.processor)
    rows = []
    for talk in talks:
        made = loaded.processor.apply_chat_template(
            talk, tools=tools, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
        )
        rows.append({"input_ids": made["input_ids"], "assistant_masks": made["assistant_masks"]})
    room = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    fitting = [row for row in rows if len(row["input_ids"]) <= room and 1 in row["assistant_masks"]]
    if not fitting:
        raise CommandError(f"No episode fits into the model, which takes {room} tokens.")
    if len(fitting) < len(rows):
        console.print(f"[dim]{len(rows) - len(fitting)} episodes are too long for the model, and left out[/dim]")
    return Dataset.from_list(fitting)


class Progress(TrainerCallback):
    """Shows the loss, and ends the training where it is not finite."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise CommandError(
                f"Step {state.global_step}: the loss is {loss}, not finite. Take a lower --learning-rate."
            )
        console.print(f"step {state.global_step:4d}/{state.max_steps}  loss {loss:.3f}")


def train(options: argparse.Namespace, url: str, tools: list[Item]) -> None:
    """Teach, and save the model."""
    programs.check_free(options.output)
    talks = taught(options.rollouts, options.above, options.give_up, options.seed)
    if options.model:
        loaded = load(options.model, bool(tools))
    else:
        from transformers import set_seed

        import tiny

        set_seed(options.seed)
        tokenizer = tiny.tokenizer(talks)
        loaded = Loaded(tiny.model(tokenizer), tokenizer, False)
    steps = options.steps
    if options.passes:
        steps = max(FEWEST_STEPS, round(options.passes * len(talks) / options.batch))
    rate = options.learning_rate or (1e-5 if options.model else 2e-3)
    data = tokens_of(loaded, talks, schemas(url, tools))
    console.print(f"{len(data)} episodes, {sum(map(len, data['input_ids'])) / len(data):.0f} tokens each")
    config = SFTConfig(
        output_dir=str(options.output),
        max_steps=steps,
        per_device_train_batch_size=options.batch,
        learning_rate=rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=min(20, steps // 5),
        max_length=None,
        logging_steps=max(1, steps // 10),
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
        **device_settings(),
    )
    made = SFTTrainer(
        model=loaded.model, processing_class=loaded.processor, args=config, train_dataset=data, callbacks=[Progress()]
    )
    silence(made)
    made.train()
    made.save_model(str(options.output))


def main() -> None:
    options = arguments()
    with programs.environment(options.url) as url:
        train(options, url, tools_at(url))
    console.print(f"The model: {options.output}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    programs.program(main)
