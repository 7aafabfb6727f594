# Part of the template: changes belong there (`copier update` merges this file).
"""The fork server of this process (`fork_server.py`). Without one, keepers and applications start as programs."""

import sys
from functools import cache
from pathlib import Path

from gymkit.forks import ENVIRONMENT, ForkServer

PROGRAM = Path(__file__).with_name("fork_server.py")


def server_of(packages: tuple[str, ...], **variables: str) -> ForkServer:
    """A fork server of desktops that holds some packages."""
    environment = ENVIRONMENT | {"LANG": "C.UTF-8"} | variables
    return ForkServer([sys.executable, str(PROGRAM), *packages], environment, "desktops")


@cache
def fork_server(packages: tuple[str, ...]) -> ForkServer | None:
    """The fork server of this process for some packages; None where the system is not known to fork safely."""
    return server_of(packages) if sys.platform.startswith("linux") else None
