# Part of the template: changes belong there (`copier update` merges this file).
"""Where the environment's own files are, and what it is called. The config file is the one source of the name."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gymkit.errors import CommandError

ROOT = Path(__file__).resolve().parents[1]
"""The environment's root: the folder of server.py."""


class ProjectError(CommandError):
    """A file of the environment is not as it has to be. The message is one line that names the file and the remedy."""


@cache
def environment_name() -> str:
    """The environment's name: that of its entry point for NeMo Gym, `resources_servers/<name>/`."""
    found = sorted(path.parent.name for path in ROOT.glob("resources_servers/*/server.py"))
    if len(found) != 1:
        raise ProjectError(
            f"resources_servers/ must have one folder with a server.py, the entry point for NeMo Gym; it has "
            f"{', '.join(found) or 'none'}."
        )
    return found[0]


def config_path() -> Path:
    """The NeMo Gym config that holds the resources server and the agent."""
    return ROOT / "configs" / f"{environment_name()}.yaml"


@cache
def load_config() -> dict[str, Any]:
    """The parsed config: `{instance: {kind: {implementation: settings}}}`."""
    return _parsed(config_path())


@cache
def load_manifest() -> dict[str, Any]:
    """The parsed manifest, which NeMo Gym's catalog reads (0.7)."""
    return _parsed(ROOT / "environments" / environment_name() / "manifest.yaml")


def resources_server_instance() -> tuple[str, dict[str, Any]]:
    """The resources server's instance name in the config, and its settings."""
    for instance, kinds in load_config().items():
        for settings in kinds.get("resources_servers", {}).values():
            return instance, settings
    raise ProjectError(f"{_shown(config_path())} names no resources server: add one under `resources_servers`.")


def agent_instance() -> str | None:
    """The instance name of the agent in the config; None where there is none."""
    return next((instance for instance, kinds in load_config().items() if kinds.get("responses_api_agents")), None)


def datasets() -> list[dict[str, Any]]:
    """The config's datasets (`name`, `type`, `jsonl_fpath`, ...), with paths relative to `ROOT`."""
    return [
        dataset
        for kinds in load_config().values()
        for settings in kinds.get("responses_api_agents", {}).values()
        for dataset in settings.get("datasets", [])
    ]


def reward_range() -> tuple[float, float]:
    """The lowest and the highest reward, as the manifest declares them."""
    try:
        low, high = map(float, load_manifest()["reward"]["range"])
    except (KeyError, TypeError, ValueError):
        name = _shown(ROOT / "environments" / environment_name() / "manifest.yaml")
        raise ProjectError(f"{name} declares no rewards: write `reward: {{range: [0.0, 1.0]}}`.") from None
    return low, high


def _parsed(path: Path) -> dict[str, Any]:
    try:
        parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(f"{_shown(path)}: {error.strerror}. `git checkout {_shown(path)}` brings it back.") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ProjectError(f"{_shown(path)}{line}: this is no YAML ({getattr(error, 'problem', error)}).") from None
    if not isinstance(parsed, dict):
        raise ProjectError(f"{_shown(path)} is empty, or no mapping.")
    return parsed


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def one_line(error: Exception) -> str:
    """An error with the innermost place in the environment's own files."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts and "gymkit" not in path.relative_to(ROOT).parts:
            place = f" ({path.relative_to(ROOT)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({Path(error.filename).name}, line {error.lineno})"
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{place}"
