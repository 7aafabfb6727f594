# Part of the template: changes belong there (`copier update` merges this file).
"""Pictures in what was said: PNG and JPEG as data URLs, recognised by their first bytes. All else stays text."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

_DATA_URL = re.compile(r"data:image/(?:png|jpeg|jpg);base64,([A-Za-z0-9+/]+={0,2})")
_BEGINS_WITH = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Picture(NamedTuple):
    """A picture in a text."""

    name: str
    """Made from what it holds: the same picture has the same name."""
    media_type: str
    data: str
    """As base64."""


def split(text: str) -> Iterator[str | Picture]:
    """The texts and the pictures that a text is made of."""
    done = 0
    # Most texts have no picture, and some are very long.
    for found in _DATA_URL.finditer(text) if "data:image/" in text else ():
        picture = _picture(found[1])
        if picture is not None:
            if text[done : found.start()].strip():
                yield text[done : found.start()]
            yield picture
            done = found.end()
    if text[done:].strip() or not done:
        yield text[done:]


def _picture(data: str) -> Picture | None:
    try:
        begin = base64.b64decode(data[:16], validate=True)
    except binascii.Error:
        return None
    for magic, media_type in _BEGINS_WITH.items():
        if begin.startswith(magic):
            return Picture(hashlib.sha256(data.encode()).hexdigest()[:24], media_type, data)
    return None
