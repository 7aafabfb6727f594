# Part of the template: changes belong there (`copier update` merges this file).
"""Where the server may listen, who calls it, and the settings of access that come from the environment's variables."""

import ipaddress
import math
import os
from functools import lru_cache

from gymkit.errors import CommandError


class CannotServe(CommandError):
    """The server must not, or cannot, be started; the message is one line for the person who starts it."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, for itself alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_strangers(host: str) -> None:
    """Refuse to listen for callers whose code would run on this machine without a key.

    Raises:
        CannotServe: the host is beyond this machine, there is no key, and nobody has said that none is needed.
    """
    if os.environ.get("ENV_API_KEY") or os.environ.get("ENV_ALLOW_CODE_WITHOUT_KEY") == "1":
        return
    if not is_loopback(host):
        raise CannotServe(
            f"This environment runs its callers' code, so on {host} it wants a key: set ENV_API_KEY (callers send it "
            "as a bearer token), or ENV_ALLOW_CODE_WITHOUT_KEY=1 where everybody who can reach it may run code."
        )


def trusted_proxies() -> list[str]:
    """The addresses and networks of `ENV_TRUSTED_PROXIES`, whose word on who is calling is taken.

    Raises:
        CannotServe: one of them is neither.
    """
    found = os.environ.get("ENV_TRUSTED_PROXIES", "").replace(",", " ").split()
    for each in found:
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            raise CannotServe(f"ENV_TRUSTED_PROXIES: {error}.") from None
    return found


def is_shared(host: str) -> bool:
    """Whether a server is open to callers who have nothing to do with each other: keyless, and beyond this machine."""
    return not os.environ.get("ENV_API_KEY") and (not is_loopback(host) or bool(trusted_proxies()))


@lru_cache(maxsize=4096)
def caller_at(address: str) -> str:
    """Who calls from an address. Of IPv6 it is the network of 64 bits, as large as one that a single caller is given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def number_from_environ(name: str) -> float | None:
    """A positive number from a variable; None where it is not set.

    Raises:
        CannotServe: it holds something else.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise CannotServe(f"{name}={text!r} is no positive number.")
    return number
