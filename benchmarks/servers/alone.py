"""Runs a NeMo Gym resources server by itself: without Ray, on 0.4 and 0.7 alike."""

import os

import yaml
from nemo_gym import server_utils


def run(server_class: type, name: str, port: int) -> None:
    """Serve on loopback until stopped."""
    settings = {"entrypoint": "app.py", "host": "127.0.0.1", "port": port, "domain": "agent"}
    config = {
        name: {"resources_servers": {name: settings}},
        "head_server": {"host": "127.0.0.1", "port": 11000},
        "dry_run": False,
    }
    os.environ |= {"NEMO_GYM_CONFIG_DICT": yaml.safe_dump(config), "NEMO_GYM_CONFIG_PATH": name}
    # Ray would start a cluster of processes beside the server and take its processor.
    server_utils.initialize_ray = lambda: None
    server_class.run_webserver()
