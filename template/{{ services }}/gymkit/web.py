# Part of the template: changes belong there (`copier update` merges this file).
"""Pages of the public web, for a model that chooses their addresses: none of them is in the server's own network.

A host's name is resolved here, all of its addresses are checked, and the connection goes to the address that was
checked: a name cannot lead elsewhere between the check and the connection. Each redirect is checked in the same way.
No proxy is used: it would resolve the name once more. A page that cannot be read is a text for the model, and masks
nothing: the policy has chosen it.
"""

import asyncio
import codecs
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import httpx

from gymkit.replay import Recording, ServiceSettings
from gymkit.services import TooLarge, bounded_body
from gymkit.tools import ToolFailed

__all__ = ["Page", "WebPages", "is_public"]

MAX_REDIRECTS = 5
PORTS = {"http": 80, "https": 443}
TEXT_TYPES = ("text/", "application/xhtml+xml", "application/xml", "application/json")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

OTHERWISE_PRIVATE = (ipaddress.ip_network("168.63.129.16"),)
"""Addresses that look public, and are not: of Azure's own services within a machine."""
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""A network of IPv6 whose last 32 bits are an address of IPv4: NAT64."""


@dataclass(frozen=True)
class Page:
    """What stands at an address."""

    text: str
    is_html: bool


class WebPages:
    """Reads pages.

    Args:
        name: Of the recording.
        settings: Those of the server.
    """

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.settings = settings
        self._recording = Recording(name, settings)
        self._networks = [ipaddress.ip_network(each) for each in settings.page_networks]
        self._places = asyncio.Semaphore(settings.service_calls)
        self._tls = ssl.create_default_context()

    async def read(self, url: str) -> Page:
        """The page at an address.

        Raises:
            ToolFailed: it cannot be read, or may not be. (`Unrecorded`: there is no recording of it.)
        """
        request = {"method": "GET", "path": url, "payload": {}}
        found = self._recording.find(request)
        if found is not None:
            return Page(**found[0])
        try:
            async with asyncio.timeout(self.settings.service_patience), self._places:
                async with asyncio.timeout(self.settings.service_seconds):
                    page = await self._fetched(url)
        except TimeoutError:
            raise ToolFailed(f"that page did not come within {self.settings.service_seconds:g} seconds.") from None
        except ToolFailed as refusal:
            self._recording.keep_refusal(request, str(refusal))
            raise
        self._recording.keep(request, asdict(page))
        return page

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _fetched(self, url: str) -> Page:
        # A client of its own for each page: no cookie and no connection of one session serves another.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=None, limits=limits) as client:
            for _ in range(MAX_REDIRECTS + 1):
                target = parsed(url)
                address = await self._checked(target)
                request = client.build_request(
                    "GET",
                    target.copy_with(host=address),
                    headers={"Host": target.netloc.decode(), "Accept": "text/html, text/*", "Accept-Encoding": "gzip"},
                    extensions={"sni_hostname": target.raw_host.decode()},
                )
                try:
                    response = await client.send(request, stream=True)
                    try:
                        if not response.has_redirect_location:
                            return await self._page(response)
                    finally:
                        await response.aclose()
                except TooLarge:
                    raise ToolFailed(f"that page has more than {self.settings.service_bytes:,} bytes.") from None
                except (httpx.HTTPError, ssl.SSLError, OSError, ValueError) as error:
                    raise ToolFailed(f"that page cannot be reached ({type(error).__name__}).") from None
                try:
                    url = str(target.join(response.headers["Location"]))
                except (httpx.InvalidURL, ValueError):
                    raise ToolFailed("that page leads to what is no address.") from None
        raise ToolFailed(f"that page leads to another one more than {MAX_REDIRECTS} times.")

    async def _page(self, response: httpx.Response) -> Page:
        if not response.is_success:
            raise ToolFailed(f"that page cannot be read (status {response.status_code}).")
        kind = response.headers.get("Content-Type", "text/html").split(";")[0].strip().lower()
        if not kind.startswith(TEXT_TYPES):
            raise ToolFailed(f"that is no page of text ({kind[:60]}).")
        body = await bounded_body(response, self.settings.service_bytes)
        charset = response.charset_encoding or "utf-8"
        try:
            codecs.lookup(charset)
            text = body.decode(charset, "replace")
        except (LookupError, ValueError, UnicodeError):
            text = body.decode("utf-8", "replace")
        return Page(text, "html" in kind)

    async def _checked(self, target: httpx.URL) -> str:
        """The address to connect to.

        Raises:
            ToolFailed: the host has none, or one that is not public.
        """
        port = target.port or PORTS[target.scheme]
        found = await resolved(target.raw_host.decode(), port)
        if not found:
            raise ToolFailed(f"there is no host {target.host[:100]!r}.")
        within = [any(address in network for network in self._networks) for address in found]
        if not all(inside or is_public(address) for inside, address in zip(within, found, strict=True)):
            raise ToolFailed("that address is not in the public web: it may not be read.")
        if port not in PORTS.values() and not all(within):
            raise ToolFailed(f"port {port} may not be read: pages of the public web have 80 or 443.")
        return str(found[0])


def parsed(url: str) -> httpx.URL:
    """An address that may be read, as far as it can be told from itself.

    Raises:
        ToolFailed: it is none.
    """
    try:
        target = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError, TypeError):
        raise ToolFailed("that is no address of a page: it begins with https:// and a host.") from None
    if target.scheme not in PORTS or not target.host:
        raise ToolFailed("that is no address of a page: it begins with https:// and a host.")
    if target.userinfo:
        raise ToolFailed("an address of a page has no user name or password in it.")
    return target


async def resolved(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, in whatever form it is written; none where it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]


def is_public(address: Address) -> bool:
    """Whether an address is of the public web, and not of a machine, a private network, or a cloud's own services."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in TRANSLATED:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.is_site_local:
            return False
        if address.sixtofour is not None or address.teredo is not None:  # Tunnels, which nobody serves pages by.
            return False
    if any(address in network for network in OTHERWISE_PRIVATE):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
