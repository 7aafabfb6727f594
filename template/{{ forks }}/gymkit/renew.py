# Part of the template: changes belong there (`copier update` merges this file).
"""Makes a fork of a fork server one of its own: nothing that has to differ is as it was before the fork.

For the programs whose forks they are; nothing else of gymkit is loaded there.
"""

import ctypes
import importlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any


def everything(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Take on an environment, show it with these arguments, and draw anew whatever was drawn at random."""
    os.environ.clear()
    os.environ.update(environment)
    show(arguments, environment)
    time.tzset()
    # `random` draws anew by itself, for each fork.
    if numpys := loaded("numpy.random"):
        numpys.seed(None)
    if names := loaded("tempfile"):
        names._name_sequence = names.tempdir = None
    if process := loaded("multiprocessing.process"):
        process.current_process().authkey = os.urandom(32)
    if ssl := loaded("ssl"):
        # OpenSSL tells a fork by its process id, and two namespaces may have the same.
        ssl.RAND_add(os.urandom(48), 48)
    if uuid := loaded("uuid"):
        uuid._node = uuid._last_timestamp = None
    if platform := loaded("platform"):
        platform._uname_cache = None  # with the name of the machine
    if site := loaded("site"):
        site.USER_BASE = site.USER_SITE = None
    importlib.invalidate_caches()


def loaded(name: str) -> Any:
    """A module, or None if it is not loaded."""
    return sys.modules.get(name)


def show(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Write them to where /proc shows those that a process was started with; of a fork, it shows its fork server's."""
    with open("/proc/self/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    # Fields 48 to 51 of all, as proc(5) counts them: where arguments and environment begin and end.
    argument_start, argument_end, start, end = map(int, fields[45:49])
    for first, last, texts in (
        (argument_start, argument_end, arguments),
        (start, end, [f"{name}={value}" for name, value in environment.items()]),
    ):
        data = b"".join(os.fsencode(text) + b"\0" for text in texts)
        ctypes.memset(first, 0, last - first)
        ctypes.memmove(first, data, min(len(data), last - first))
