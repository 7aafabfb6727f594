# Part of the template: changes belong there (`copier update` merges this file).
"""`python server.py`: the resources server alone, without Ray, head server or any variable to set.

NeMo Gym hands a server its configuration in two variables. Where they are absent (nobody launched us), they are made
from configs/<name>.yaml; where they are present (`ng_run`, `gym env start`, `gym eval run`), nothing is changed.
"""

import os
import socket
import sys
from typing import Any

import yaml

from gymkit import project
from gymkit.access import is_loopback
from gymkit.connections import limit_uvicorn
from gymkit.errors import CommandError
from gymkit.logs import drop_what_cannot_be_written, set_up_logging
from gymkit.proxies import never_for_loopback

DEFAULT_PORT = 11000


def run(server_class: Any) -> None:
    """Serve until stopped. Where the port cannot be had or the server may not start: one clear line, exit status 1."""
    drop_what_cannot_be_written()
    try:
        set_up_logging()
        if "NEMO_GYM_CONFIG_DICT" not in os.environ:
            _stand_alone()
        # uvicorn of itself, on NeMo Gym 0.4, takes the word of any proxy on this machine; ours is ENV_TRUSTED_PROXIES.
        os.environ["FORWARDED_ALLOW_IPS"] = ""
        limit_uvicorn()
        never_for_loopback()
        server_class.run_webserver()
    except CommandError as reason:
        sys.exit(str(reason))


def _stand_alone() -> None:
    host = os.environ.get("ENV_HOST", "127.0.0.1")
    port = _port()
    _refuse_taken_port(host, port)
    if is_loopback(host) and _in_container():
        print(f"ENV_HOST={host} inside a container: nothing outside of it will reach this server.", file=sys.stderr)
    instance, settings = project.resources_server_instance()
    kinds = project.load_config()[instance]["resources_servers"]
    implementation = next(iter(kinds))
    config = {
        instance: {"resources_servers": {implementation: settings | {"host": host, "port": port}}},
        # Asked for by NeMo Gym; nothing is ever sent there.
        "head_server": {"host": "127.0.0.1", "port": DEFAULT_PORT},
        "dry_run": False,
    }
    os.environ["NEMO_GYM_CONFIG_DICT"] = yaml.safe_dump(config)
    os.environ["NEMO_GYM_CONFIG_PATH"] = instance

    import nemo_gym.server_utils

    if not hasattr(nemo_gym.server_utils.SimpleServer, "ray_enabled"):
        # 0.4 starts Ray for every server; from 0.5 on, `ray_enabled` says whether to.
        nemo_gym.server_utils.initialize_ray = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    print(f"{project.environment_name()}: http://{host}:{port} (Ctrl+C stops it)", flush=True)


def _port() -> int:
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit(f"PORT={text!r} is no port: set it to a number from 1 to 65535.")
    return int(text)


def _in_container() -> bool:
    """Whether this is a Space, or a container of Docker or Podman."""
    return "SPACE_ID" in os.environ or any(os.path.exists(mark) for mark in ("/.dockerenv", "/run/.containerenv"))


def _refuse_taken_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            # 11000 is also the port of NeMo Gym's head server.
            sys.exit(
                f"Cannot listen on {host}:{port} ({error.strerror}). Stop what uses it, or choose another port: "
                f"PORT={port + 1} uv run python server.py"
            )
