"""Several servers of one environment behind NeMo Gym: a config with so many of them, and rows that name their agents.

    uv run python shard.py COUNT data/train.jsonl

Copy it into the environment's root. Writes configs/<name>_x<COUNT>.yaml, in which each resources server has an agent of
its own, and results/train_x<COUNT>.jsonl, whose rows go to the agents in turn. Collect from it without `+agent_name`.
"""

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from gymkit import project


def several(config: dict[str, Any], count: int) -> dict[str, Any]:
    """The config with so many of each instance, numbered from 1, each agent with the server of its number."""
    server, _ = project.resources_server_instance()
    result = {}
    for number in range(1, count + 1):
        for instance, kinds in deepcopy(config).items():
            for settings in kinds.get("responses_api_agents", {}).values():
                settings["resources_server"]["name"] = f"{server}_{number}"
                settings.pop("datasets", None)  # They belong to the environment, not to each of its agents.
            result[f"{instance}_{number}"] = kinds
    return result


def main() -> None:
    count, rows = int(sys.argv[1]), Path(sys.argv[2])
    config = several(project.load_config(), count)
    agents = [instance for instance, kinds in config.items() if "responses_api_agents" in kinds]
    target = project.ROOT / "configs" / f"{project.environment_name()}_x{count}.yaml"
    target.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    sharded = project.ROOT / "results" / f"{rows.stem}_x{count}.jsonl"
    with sharded.open("w", encoding="utf-8") as output:
        for number, line in enumerate(rows.read_text(encoding="utf-8").splitlines()):
            agent = {"type": "responses_api_agents", "name": agents[number % len(agents)]}
            output.write(json.dumps({**json.loads(line), "agent_ref": agent}, ensure_ascii=False) + "\n")
    print(f"{target.relative_to(project.ROOT)}, {sharded.relative_to(project.ROOT)}")


if __name__ == "__main__":
    main()
