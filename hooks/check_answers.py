"""Refuse an update that changes an answer which cannot be changed. Copier runs it before anything is written.

    python check_answers.py archetype=game env_name=my_env

Copier alone would change the answers file, keep the old files beside the new, and exit with 0. It runs with Copier's
own interpreter, which has PyYAML.
"""

import sys
import textwrap
from pathlib import Path

import yaml

REASONS = {
    "archetype": "your domain, tools and tests belong to the archetype that they were written for. Generate a new "
    "environment beside this one, and move over what you want to keep.",
    "env_name": "NeMo Gym's doors, the config and your stored rollouts carry the name. Generate a new environment of "
    "that name, and move your domain, server.py, policy.py, data and tests over.",
}


def main() -> None:
    answers = yaml.safe_load(Path(".copier-answers.yml").read_text(encoding="utf-8")) or {}
    for argument in sys.argv[1:]:
        name, _, value = argument.partition("=")
        before = answers.get(name)
        if before is not None and before != value:
            text = f"{name} cannot be changed from '{before}' to '{value}': {REASONS[name]} Nothing has been changed."
            print("\n" + textwrap.fill(text, 100), file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    main()
