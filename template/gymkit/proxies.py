# Part of the template: changes belong there (`copier update` merges this file).
"""Proxies, which lead to other machines: this one is reached without."""

import os

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def never_for_loopback() -> None:
    """Let no client in this process, or below it, ask a proxy for this machine: the variable `no_proxy` says so to all.

    Behind `http_proxy` alone, requests, httpx and urllib would ask the proxy for 127.0.0.1 as well.
    """
    # Programs read the one or the other.
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in known.split(",") if host.strip()]
    if "*" in hosts:
        return
    for variable in ("no_proxy", "NO_PROXY"):
        os.environ[variable] = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
