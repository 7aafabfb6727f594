# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit describe`: carry the environment's description to where it has to stand as well.

You write `description` and `domain` in configs/<name>.yaml, and the version in pyproject.toml. NeMo Gym's catalog reads
them in environments/<name>/manifest.yaml, and Hugging Face shows the description of README.md's head.
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

from gymkit.project import ROOT, ProjectError, environment_name, resources_server_instance

SHOWN_BY_HUGGING_FACE = 60
"""Characters of a Space's short description."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file says something else")


def run(options: argparse.Namespace) -> int:
    """Write what differs, or say so; the exit status."""
    stale = 0
    for path, lines in wanted().items():
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            name = path.relative_to(ROOT)
            raise ProjectError(f"{name}: {error.strerror}. `git checkout {name}` brings it back.") from None
        changed = text
        for key, value in lines.items():
            changed = with_line(changed, key, value, path)
        if changed == text:
            continue
        stale += 1
        name = path.relative_to(ROOT)
        if options.check:
            print(f"{name} does not say what the config says: run `uv run gymkit describe`", file=sys.stderr)
        else:
            path.write_text(changed, encoding="utf-8")
            print(f"{name}: changed")
    return 1 if options.check and stale else 0


def wanted() -> dict[Path, dict[str, str]]:
    """The lines that must stand in each file, by key."""
    _, settings = resources_server_instance()
    description = " ".join(str(settings.get("description", "")).split())
    if not description:
        raise ProjectError(f"configs/{environment_name()}.yaml has no `description`: write one sentence.")
    short = description
    if len(short) > SHOWN_BY_HUGGING_FACE:
        short = short[: SHOWN_BY_HUGGING_FACE - 3].rstrip() + "..."
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    manifest = ROOT / "environments" / environment_name() / "manifest.yaml"
    return {
        manifest: {"description": _quoted(description), "domain": str(settings["domain"]), "version": str(version)},
        ROOT / "README.md": {"short_description": _quoted(short)},
    }


def with_line(text: str, key: str, value: str, path: Path) -> str:
    """A text with the value of a key at the beginning of a line replaced."""
    changed, count = re.subn(rf"^{key}:.*$", lambda _: f"{key}: {value}", text, count=1, flags=re.MULTILINE)
    if not count:
        raise ProjectError(f"{path.relative_to(ROOT)} has no line `{key}:`: write it.")
    return changed


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
