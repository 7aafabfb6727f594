# Part of the template: changes belong there (`copier update` merges this file).
"""See a reward rise in this environment, on a CPU: a tiny model, made on the spot, is warmed up and trained.

    uv run --project train python train/smoke.py                 about two minutes: does everything work?
    uv run --project train python train/smoke.py --minutes 15    long enough to see a reward rise

1. The environment's own player plays training rows. 2. A tiny model is taught these episodes, not to the end, and many
of them cut short: it learns to give up as well (--give-up). 3. GRPO trains it on training rows. 4. It is evaluated
before and after, on these rows and on those of the validation split, which neither the warm start nor GRPO has seen.
The figures are in results/smoke/, the curve in results/training.png.

The fault of giving up is planted, as a control: what GRPO learns of it on trained rows holds for all others, while the
answers of rows that it has never seen are nothing that a model of this size could learn.
"""

import argparse
import json
import math
import os
import shutil
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import programs
from adapter import tools_at
from gymkit.errors import CommandError
from gymkit.project import ROOT
from gymkit.rows import data_path, read_rows
from gymkit.terminal import console

FORMS: dict[int, dict[str, Any]] = {
    2: {"played": 64, "rows": 64, "passes": 10, "steps": 6, "prompts": 4, "samples": 1},
    15: {"played": 560, "rows": 64, "passes": 19, "steps": 100, "prompts": 8, "samples": 8},
}
"""What is done in so many minutes, on two cores of 2026."""


def arguments() -> Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, choices=sorted(FORMS), default=2, help="about how long")
    parser.add_argument("--url", default=os.environ.get("ENV_URL"), help="the environment (default: ENV_URL, or local)")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "results" / "smoke", help="a folder for all that it makes"
    )
    parser.add_argument("--picture", type=Path, default=ROOT / "results" / "training.png", help="the curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="of the processor, for the model")
    changes = parser.add_argument_group("instead of what the form says")
    changes.add_argument("--played", type=int, help="training rows that the player plays")
    changes.add_argument("--rows", type=int, help="training rows for GRPO, from the first on")
    changes.add_argument("--passes", type=float, help="how often the warm start is taught each episode")
    changes.add_argument("--warm-steps", type=int, help="updates of the warm start, instead of passes")
    changes.add_argument(
        "--give-up", type=float, default=0.3, help="how often the warm start teaches to give up, before each call"
    )
    changes.add_argument("--steps", type=int, help="updates of GRPO")
    changes.add_argument("--prompts", type=int, help="rows of a step of GRPO")
    changes.add_argument("--generations", type=int, default=16, help="episodes of each row in a step")
    changes.add_argument("--learning-rate", type=float, default=2e-4, help="of GRPO")
    changes.add_argument("--samples", type=int, help="episodes of each row, to evaluate")
    changes.add_argument("--max-turns", type=int, default=8, help="tool calls of an episode, one after the other")
    changes.add_argument("--max-tokens", type=int, default=220, help="of an episode behind its prompt")
    options = parser.parse_args()
    for name, value in FORMS[options.minutes].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def play(options: Namespace, url: str, rows: int, name: str) -> Path:
    """Have the environment's own player play so many training rows, once."""
    played = options.output / name
    if not played.exists():
        partial = played.with_suffix(".partial")
        program = ("rollout.py", "--url", url, "--data", str(data_path("train")), "--episodes", str(rows))
        programs.run_in_environment(*program, "--concurrency", "8", "--output", str(partial.resolve()))
        partial.rename(played)
    return played


def main() -> None:
    options = arguments()
    began = time.time()
    import torch  # Takes long: a wrong option is said before.

    torch.set_num_threads(options.threads)
    import evaluate
    import grpo
    import warm_start
    from curve import draw

    options.output.mkdir(parents=True, exist_ok=True)
    if (options.output / "result.json").exists():
        raise CommandError(f"{options.output} holds a finished run: name another --output, or remove it.")
    all_rows = read_rows(data_path("train"))
    trained = all_rows[: options.rows]
    held_out = read_rows(data_path("validation"))
    warm, after = options.output / "warm", options.output / "grpo"
    common = {
        "url": options.url,
        "max_tokens": options.max_tokens,
        "max_turns": options.max_turns,
        "seed": options.seed,
    }

    with programs.environment(options.url) as url:
        tools = tools_at(url)

        def measure(model: Path, name: str) -> dict[str, Any]:
            kept = options.output / f"{name}.json"
            if kept.exists():  # of a run that was interrupted
                return json.loads(kept.read_text())
            asked = Namespace(model=str(model), samples=options.samples, batch=64, **common)
            found = {
                "trained": evaluate.evaluate(asked, url, tools, trained[:: max(1, len(trained) // 64)]),
                "held out": evaluate.evaluate(asked, url, tools, held_out[:: max(1, len(held_out) // 64)]),
            }
            for rows, result in found.items():
                console.print(f"  {rows} rows: {evaluate.described(result)}")
            kept.write_text(json.dumps(found) + "\n")
            return found

        console.rule("1. the player plays")
        warm_start.talks_in(play(options, url, 1, "first.jsonl"), -math.inf)  # Refuses pictures before much is played.
        played = play(options, url, min(options.played, len(all_rows)), "played.jsonl")
        console.rule("2. warm start")
        if not (warm / "config.json").exists():
            shutil.rmtree(warm, ignore_errors=True)
            asked = Namespace(
                model=None,
                rollouts=played,
                output=warm,
                steps=options.warm_steps,
                passes=None if options.warm_steps else options.passes,
                batch=32,
                learning_rate=None,
                above=None,
                give_up=options.give_up,
            )
            warm_start.train(Namespace(**vars(asked), **common), url, tools)
        before = measure(warm, "before")
        console.rule("3. GRPO")
        if not (after / "config.json").exists():
            asked = Namespace(
                model=str(warm),
                output=after,
                steps=options.steps,
                prompts=options.prompts,
                generations=options.generations,
                learning_rate=options.learning_rate,
                save_every=10,
                trl={},
            )
            grpo.train(Namespace(**vars(asked), **common), url, tools, trained)
        console.rule("4. before and after")
        changed = measure(after, "after")

    draw([after / "curve.jsonl"], options.picture)
    for rows in before:
        rise = changed[rows]["reward"] - before[rows]["reward"]
        figures = f"{evaluate.described(before[rows])} -> {evaluate.described(changed[rows])}"
        console.print(f"{rows} rows: {figures}: [bold]{rise:+.3f}[/bold]", soft_wrap=True)
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    result = {"before": before, "after": changed, "seconds": round(time.time() - began), "options": asked}
    (options.output / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    said = f"Curve: {options.picture}; figures: {options.output / 'result.json'}"
    console.print(said, style="dim", markup=False, soft_wrap=True)


if __name__ == "__main__":
    programs.program(main)
