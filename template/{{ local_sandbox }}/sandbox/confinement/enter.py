# Part of the template: changes belong there (`copier update` merges this file).
"""Becomes a confined process, after it has given up the identity of the server and set the limits.

    python -I -S enter.py ORDER

ORDER is JSON: `command`, `environment` (all of it), `folder` (where it starts), `limits` (by the names of the module
`resource`), `user` (a user id to change to, or null) and `shares_user` (whether the server runs as the same user).
"""

import contextlib
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn


def tasks_of_user() -> int:
    """How many threads this user runs: the kernel holds them all against a limit on processes."""
    count, user = 0, os.getuid()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == user:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def become(order: dict[str, Any]) -> None:
    """Give up the identity of the server, and set the limits."""
    limits = order["limits"]
    if order["shares_user"]:
        limits["RLIMIT_NPROC"] += tasks_of_user()
    if order["user"] is not None:
        os.setgroups([])
        os.setresgid(order["user"], order["user"], order["user"])
        os.setresuid(order["user"], order["user"], order["user"])
    # A group of its own, which an interrupt reaches as a whole.
    os.setsid()
    os.chdir(order["folder"])
    os.umask(0o077)
    for name, value in limits.items():
        kind = getattr(resource, name)
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        # macOS knows all of them, and refuses some.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


def run(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Become another program."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would what it becomes.
    try:
        os.execve(command[0], command, environment)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def main() -> None:
    order = json.loads(sys.argv[1])
    become(order)
    run(order["command"], order["environment"])


if __name__ == "__main__":
    main()
