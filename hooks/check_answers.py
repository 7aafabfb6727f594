"""Refuse an update that changes an answer which cannot be changed.

    python check_answers.py [--after-update] archetype=game env_name=my_env

Copier runs it twice (see copier.yml): before anything is written, with the answers of the command line, and after the
update, with those given at a prompt too. Copier alone would change the answers file, keep the old files beside the new,
and exit with 0. It runs with Copier's own interpreter, which has PyYAML.
"""

import subprocess
import sys
from pathlib import Path

import yaml
from stopping import stop

REASONS = {
    "archetype": "your domain, tools and tests belong to the archetype that they were written for. Generate a new "
    "environment beside this one, and move over what you want to keep.",
    "env_name": "NeMo Gym's entry point, the config and your stored rollouts carry the name. Generate a new "
    "environment of that name, and move your domain, server.py, policy.py, data and tests over.",
}


def answers_before(after_update: bool) -> dict[str, str]:
    """The answers that the environment was last generated with."""
    if not after_update:
        return yaml.safe_load(Path(".copier-answers.yml").read_text(encoding="utf-8")) or {}
    committed = ["git", "show", "HEAD:./.copier-answers.yml"]
    return yaml.safe_load(subprocess.run(committed, capture_output=True, check=True).stdout) or {}


def main() -> None:
    after_update = "--after-update" in sys.argv
    before = answers_before(after_update)
    for argument in sys.argv[1:]:
        name, _, value = argument.partition("=")
        if value and name in before and before[name] != value:
            back = (
                "Take this update back:\n  git reset --hard && git clean -fd"
                if after_update
                else "Nothing was changed."
            )
            stop(f"{name} cannot be changed from '{before[name]}' to '{value}': {REASONS[name]}", back)


if __name__ == "__main__":
    main()
