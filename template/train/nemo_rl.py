# Part of the template: changes belong there (`copier update` merges this file).
"""Prepare rows and config for NeMo RL, which is installed and run elsewhere (docs/training.md).

    uv run python train/nemo_rl.py --nemo-rl /opt/nemo-rl

Writes results/nemo_rl/: rows with `agent_ref`, which NeMo RL reads, and `task_source`, by which NeMo Gym 0.7 routes,
and config.yaml: train/nemo_rl.yaml with the paths of this machine.
"""

import argparse
import json
import sys
from pathlib import Path

import _root  # noqa: F401
from gymkit.errors import CommandError
from gymkit.project import ROOT, agent_instance, environment_name
from gymkit.rows import Row, data_path, read_rows

SPLITS = ("train", "validation")


def prepared(row: Row, agent: str) -> Row:
    """A row that names the agent that plays it, in the form of NeMo Gym 0.4 and in that of 0.7.

    Raises:
        CommandError: it has no prompt.
    """
    if not row["responses_create_params"].get("input"):
        raise CommandError(
            f"Row {row.get('task_id')}: `responses_create_params.input` is empty, and NeMo RL wants a prompt."
        )
    return row | {"agent_ref": {"type": "responses_api_agents", "name": agent}, "task_source": agent}


def write(folder: Path, nemo_rl: Path) -> list[str]:
    """Write rows and config; a line for each file.

    Raises:
        CommandError: the environment has no agent, or rows are missing.
    """
    agent = agent_instance()
    if agent is None:
        raise CommandError(f"configs/{environment_name()}.yaml names no agent, and NeMo RL plays rows by one.")
    rows = {split: [prepared(row, agent) for row in read_rows(data_path(split))] for split in SPLITS}
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for split, made in rows.items():
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
        lines.append(f"{path}: {len(made)} rows")
    text = (Path(__file__).parent / "nemo_rl.yaml").read_text(encoding="utf-8")
    config = folder / "config.yaml"
    text = text.replace("NEMO_RL/", f"{nemo_rl.absolute()}/").replace("ENV/", f"{ROOT}/")
    config.write_text(text, encoding="utf-8")
    return [*lines, f"{config}: for `uv run examples/nemo_gym/run_grpo_nemo_gym.py --config {config.absolute()}`"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nemo-rl", type=Path, default=Path("/opt/nemo-rl"), help="its folder (default: the image's)")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "nemo_rl")
    options = parser.parse_args()
    try:
        print("\n".join(write(options.output, options.nemo_rl)))
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    if not (options.nemo_rl / "examples" / "configs").is_dir():
        print(f"NeMo RL is not in {options.nemo_rl} here: say where with --nemo-rl.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
