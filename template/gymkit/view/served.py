# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit view --serve`: the page on this machine's own address; episodes and pictures as they are looked at."""

import base64
import binascii
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from gymkit.errors import CommandError
from gymkit.view.document import json_text
from gymkit.view.files import read_at
from gymkit.view.pictures import Picture
from gymkit.view.rollouts import Episode
from gymkit.view.transcripts import transcript

HOST = "127.0.0.1"

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """Serves a page, and what the episodes in it said.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    play_again: Callable[[int], dict[str, Any]]
    """Plays an episode's row again: `number` and `line` of the new one. Raises CommandError."""

    def __init__(self, port: int, page: str, episodes: list[Episode]) -> None:
        super().__init__((HOST, port), _Handler)
        self.page = page.encode()
        self.playing = Lock()
        self.episodes = episodes

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if self._is_strange():
            return self._refuse()
        match self.path.strip("/").split("/"):
            case [""]:
                return self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
            case ["episodes", number] if (episode := self._episode(number)) is not None:
                said, _ = _said(episode.path, episode.offset)
                return self._send(HTTPStatus.OK, "application/json", json_text(said).encode())
            case ["pictures", number, name] if (episode := self._episode(number)) is not None:
                _, pictures = _said(episode.path, episode.offset)
                try:
                    picture = pictures[name]
                    data = base64.b64decode(picture.data, validate=True)
                except (KeyError, binascii.Error):
                    return self._send(HTTPStatus.NOT_FOUND, "text/plain", b"There is no such picture.")
                return self._send(HTTPStatus.OK, picture.media_type, data)
        return self._send(HTTPStatus.NOT_FOUND, "text/plain", b"There is nothing here.")

    def do_POST(self) -> None:
        """Play a row again. A form of another site cannot send this header, and its script has to ask first."""
        if self._is_strange() or self.headers.get("X-Play-Again") != "yes":
            return self._refuse()
        match self.path.strip("/").split("/"):
            case ["again", number] if self._episode(number) is not None:
                with self.server.playing:
                    try:
                        played = self.server.play_again(int(number))
                    except CommandError as error:
                        return self._send(HTTPStatus.BAD_GATEWAY, "text/plain; charset=utf-8", str(error).encode())
                return self._send(HTTPStatus.OK, "application/json", json_text(played).encode())
        return self._send(HTTPStatus.NOT_FOUND, "text/plain", b"There is nothing here.")

    def _is_strange(self) -> bool:
        """Whether it came by another name: a page of another site may have its own name point here."""
        port = self.server.server_port
        return self.headers.get("Host") not in [f"{host}:{port}" for host in (HOST, "localhost")]

    def _refuse(self) -> None:
        self._send(HTTPStatus.FORBIDDEN, "text/plain", b"This server answers its own page alone.")

    def _episode(self, number: str) -> Episode | None:
        known = number.isascii() and number.isdigit() and len(number) < 10 and int(number) < len(self.server.episodes)
        return self.server.episodes[int(number)] if known else None

    def _send(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": media_type, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal shows the summary."""


@lru_cache(maxsize=4)
def _said(path: Path, offset: int) -> tuple[dict[str, Any], dict[str, Picture]]:
    """An episode's transcript, and its pictures by their names."""
    pictures: dict[str, Picture] = {}

    def keep(picture: Picture) -> dict[str, Any]:
        pictures[picture.name] = picture
        return {"picture": picture.name}

    return transcript(read_at(path, offset), keep), pictures
