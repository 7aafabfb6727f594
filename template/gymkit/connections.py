# Part of the template: changes belong there (`copier update` merges this file).
"""The connections of a server: how many there may be, and how long one may take to say what it wants.

uvicorn has limits for neither: who opens connections and says nothing, or sends headers without end, would keep others
out for ever.
"""

import asyncio
import functools
import resource
from time import monotonic
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gymkit.access import caller_at, is_shared, trusted_proxies
from gymkit.shares import Shares

REQUEST_SECONDS = 30
"""So long a request may take to arrive, its headers first, and a second more for each 100 kB of it."""
BYTES_PER_SECOND = 100_000
MOST_HEADER_BYTES = 65_536
KEPT_FILES = 256
"""So many of the files that the process may open are not for connections."""
LOOK_SECONDS = 1.0


class Connections:
    """What the connections of one server have in common.

    Args:
        host: Where the server listens.
        most: So many connections there may be at once; without, as many as the process may open files.
    """

    def __init__(self, host: str, most: int | None = None) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.places = Shares(most or max(16, files - KEPT_FILES if files > 0 else 65_536))
        self._shared = is_shared(host)
        # Behind a proxy all connections are its own.
        self._proxies = trusted_proxies()
        self._arriving: set[LimitedProtocol] = set()
        self._looking: asyncio.TimerHandle | None = None

    def holder(self, address: str) -> str | None:
        """Whose share a connection from an address is part of."""
        return caller_at(address) if self._shared and not self._proxies else None

    def watch(self, protocol: "LimitedProtocol") -> None:
        """Close a connection from which a request does not arrive in time."""
        self._arriving.add(protocol)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def leave(self, protocol: "LimitedProtocol") -> None:
        """No longer watch a connection: its request has arrived, or it has gone."""
        self._arriving.discard(protocol)

    def _look(self) -> None:
        now = monotonic()
        for protocol in list(self._arriving):
            protocol.look(now)
        self._looking = None
        if self._arriving:
            self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol of one connection, with the limits of this module."""

    all_connections: Connections

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._holder = self.all_connections.holder(self.client[0] if self.client else "")
        self._in_headers, self._complete, self._arrived, self._stopwatch = True, False, 0, monotonic()
        self._unread_since: float | None = None
        self._admitted = self.all_connections.places.has_room(1, self._holder)
        if not self._admitted:
            transport.abort()
            return
        self.all_connections.places.take(1, self._holder)
        self.all_connections.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._admitted:
            self._admitted = False
            self.all_connections.places.give_back(1, self._holder)
            self.all_connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._complete:
            self._await_request()  # The next one, of which this may be no more than an empty line.
        self._arrived += len(data)
        super().data_received(data)
        if self._in_headers and self._arrived > MOST_HEADER_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._await_request()
        super().on_message_begin()

    def _await_request(self) -> None:
        self._in_headers, self._complete, self._arrived, self._stopwatch = True, False, 0, monotonic()
        self.all_connections.watch(self)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._complete = True
        self.all_connections.leave(self)
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._unread_since = monotonic()
        self.all_connections.watch(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """Close the connection where its time is up. Time in which the server does not read does not count."""
        if self._unread_since is not None:
            if now - self._unread_since > REQUEST_SECONDS:
                self.transport.abort()
        elif self._complete:
            self.all_connections.leave(self)  # Its request has arrived, and its answer is read.
        elif self.flow.read_paused:
            self._stopwatch += LOOK_SECONDS
        elif now - self._stopwatch > REQUEST_SECONDS + self._arrived / BYTES_PER_SECOND:
            self.transport.abort()


def limited(protocol: Any, connections: Connections) -> Any:
    """uvicorn's protocol class, or one made from it, with the limits. Any other is left as it is.

    NeMo Gym 0.7 has a class of its own, wrapped in a `partial`; 0.4 leaves the choice to uvicorn.
    """
    if isinstance(protocol, functools.partial):
        return functools.partial(limited(protocol.func, connections), *protocol.args, **protocol.keywords)
    if not (isinstance(protocol, type) and issubclass(protocol, HttpToolsProtocol)):
        return protocol
    if issubclass(protocol, LimitedProtocol):
        return protocol
    return type("Limited" + protocol.__name__, (LimitedProtocol, protocol), {"all_connections": connections})


def limit_uvicorn() -> None:
    """Let each server that NeMo Gym starts in this process have the limits: it leaves no other way to set them."""
    load = uvicorn.Config.load

    def load_limited(self: uvicorn.Config) -> None:
        load(self)
        server = getattr(getattr(self.app, "state", None), "gymkit", None)
        if server is not None:
            self.http_protocol_class = limited(self.http_protocol_class, server.connections)

    uvicorn.Config.load = load_limited
