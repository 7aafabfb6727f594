# Part of the template: changes belong there (`copier update` merges this file).
"""Where the environment's own files are, and what it is called. The config file is the one source of the name."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
"""The environment's root: the folder of server.py."""


@cache
def environment_name() -> str:
    """The environment's name: that of its door, `resources_servers/<name>/`."""
    doors = sorted(path.parent.name for path in ROOT.glob("resources_servers/*/server.py"))
    if len(doors) != 1:
        raise RuntimeError(f"One folder resources_servers/<name>/ with a server.py is wanted in {ROOT}; found: {doors}")
    return doors[0]


def config_path() -> Path:
    """The NeMo Gym config that holds the resources server and the agent."""
    return ROOT / "configs" / f"{environment_name()}.yaml"


@cache
def load_config() -> dict[str, Any]:
    """The parsed config: `{instance: {kind: {implementation: settings}}}`."""
    return yaml.safe_load(config_path().read_text(encoding="utf-8"))


def resources_server_instance() -> tuple[str, dict[str, Any]]:
    """The resources server's instance name in the config, and its settings."""
    for instance, kinds in load_config().items():
        for settings in kinds.get("resources_servers", {}).values():
            return instance, settings
    raise RuntimeError(f"{config_path()} names no resources server")


def datasets() -> list[dict[str, Any]]:
    """The config's datasets (`name`, `type`, `jsonl_fpath`, ...), with paths relative to `ROOT`."""
    return [
        dataset
        for kinds in load_config().values()
        for settings in kinds.get("responses_api_agents", {}).values()
        for dataset in settings.get("datasets", [])
    ]


def server_class() -> type:
    """The resources server that server.py defines."""
    import server
    from gymkit.server import EnvironmentServer

    found = [
        value
        for value in vars(server).values()
        if isinstance(value, type) and issubclass(value, EnvironmentServer) and value is not EnvironmentServer
    ]
    if len(found) != 1:
        raise RuntimeError(f"server.py defines {len(found)} resources servers; one is wanted")
    return found[0]
