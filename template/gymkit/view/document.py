# Part of the template: changes belong there (`copier update` merges this file).
"""The page: one HTML file that asks no other host for anything, and whose own policy lets nothing in it run.

What was said stands in it as data: compressed, as base64, some episodes at a time. So ten thousand are a few megabytes,
of which a browser unpacks what is looked at, and no text of a file can end an element of the page.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

from gymkit.redaction import redacted
from gymkit.view.pictures import Picture

Json = dict[str, Any]

SCRIPTS = ("elements", "charts", "grid", "overview", "episode")
"""In the page they are one script, in this order."""

_EPISODES_A_CHUNK = 50
_CHARACTERS_A_CHUNK = 2_000_000
_HERE = Path(__file__).parent


def json_text(value: Any) -> str:
    """JSON that may stand in an element of HTML, without the keys of the environment's variables."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # No `<` in it can end the element. Half a character, which UTF-8 cannot carry, is an escape in JSON.
    return redacted(text).replace("<", "\\u003c").encode("utf-8", "backslashreplace").decode()


class Embedded:
    """The transcripts that stand in the page, and their pictures, up to a size in all."""

    def __init__(self, most_picture_bytes: int) -> None:
        self.left_out = 0
        """Pictures for which there was no room."""
        self._room = most_picture_bytes
        self._pictures: dict[str, str] = {}
        self._chunks: list[str] = []
        self._waiting: list[str] = []
        self._size = 0

    def add(self, transcript: Json) -> tuple[int, int]:
        """Put in an episode: the number of its chunk, and its place there."""
        place = len(self._chunks), len(self._waiting)
        text = json_text(transcript)
        self._waiting.append(text)
        self._size += len(text)
        if len(self._waiting) == _EPISODES_A_CHUNK or self._size > _CHARACTERS_A_CHUNK:
            self._flush()
        return place

    def keep(self, picture: Picture) -> Json:
        """Put in a picture; what stands for it in the transcript."""
        if picture.name not in self._pictures:
            if len(picture.data) > self._room:
                self.left_out += 1
                return {"picture": None}
            self._room -= len(picture.data)
            self._pictures[picture.name] = f"{picture.media_type};base64,{picture.data}"
        return {"picture": picture.name}

    def elements(self) -> Iterator[str]:
        """The elements that hold them. Base64 has no character that means anything in HTML."""
        self._flush()
        for number, chunk in enumerate(self._chunks):
            yield f'<script type="text/plain" id="chunk-{number}">{chunk}</script>\n'
        for name, data in self._pictures.items():
            yield f'<script type="text/plain" id="picture-{name}">{data}</script>\n'

    def _flush(self) -> None:
        if self._waiting:
            packed = gzip.compress(f"[{','.join(self._waiting)}]".encode(), compresslevel=6, mtime=0)
            self._chunks.append(base64.b64encode(packed).decode())
            self._waiting, self._size = [], 0


def document(view: Json, embedded: Embedded | None) -> str:
    """The page.

    Args:
        view: What has been found, and a line of the table for each episode.
        embedded: The transcripts; None where a server has them (`gymkit view --serve`).
    """
    style = _file("page/page.css") + _file("view/view.css")
    script = "".join(_file(f"view/{name}.js") for name in SCRIPTS)
    return Template(_file("view/view.html")).substitute(
        policy=policy(style, script, served=embedded is None),
        style=style,
        script=script,
        data=json_text(view),
        elements="".join(embedded.elements()) if embedded else "",
    )


def policy(style: str, script: str, *, served: bool) -> str:
    """The page's Content-Security-Policy: its own script and style, known by their hashes, and pictures."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data: 'self'" if served else "img-src data:",
            "connect-src 'self'" if served else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _file(name: str) -> str:
    return (_HERE.parent / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
