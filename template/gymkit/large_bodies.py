# Part of the template: changes belong there (`copier update` merges this file).
"""Large bodies of requests: read, and sent back, so that nobody else waits for long.

Reading JSON holds the interpreter, in a thread too, for as long as one call of the reader takes: 24 MB of nested lists
for seconds. So the shape of a body is looked at while it arrives, and one that has too many parts is refused unread.
The rest is read in a thread, in pieces: what takes no time by itself, long texts and long lists of numbers (pictures,
the tokens of a training run), is cut out of the body and read apart.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gymkit.bodies import MOST_NESTED, BadBody, checked, decoded, json_body

SMALL_BODY = 65_536
"""Bytes of a body that is read at once, whatever is in it."""
WEIGHT_OF_NESTED, WEIGHT_OF_KEY, WEIGHT_OF_TEXT = 20, 8, 4
"""As so many parts a list or an object counts, a key besides, and a text: they take longer to read than a number."""
NUMBERS_PER_PART = 2
"""So many numbers count as a part: where there are many, they stand in long lists."""
LONGEST_NUMBER = 200
LONG_TEXT = 256
LONGEST_UNPLAIN_TEXT = 4_000_000
"""Bytes of a text that is not just printable ASCII: it takes longer to read."""
LONG_LIST = 4_096
STEP = 200_000
"""Bytes of a list of numbers that are read in one step, and of an answer that are sent."""
MOST_IN_PIECES = 3_000_000
"""Bytes that a body may have besides its long texts and lists."""
MOST_SURROGATES = 1_000_000
"""So many escapes may a body have for characters that JSON writes in two halves."""


class TooLarge(BadBody):
    """The body is larger than can be read while others wait, or has more parts."""


class LargeAnswer(Response):
    """An answer that is sent in steps."""

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body), STEP):
            part = self.body[start : start + STEP]
            await send({"type": "http.response.body", "body": bytes(part), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Shape:
    """Nesting and number of parts of a body, found out while it arrives.

    Args:
        most_parts: So many it may have.
    """

    _TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|("[^"\\]*+(?:\\.[^"\\]*+)*+\\?\Z)', re.DOTALL)
    _NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
    _DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)

    def __init__(self, most_parts: int) -> None:
        self._most_parts = most_parts
        self._parts = 0.0
        self._depth = 0
        self.memory = 0
        """Bytes that what has arrived takes when it has been read, besides its texts."""
        # Whether the end of a text has not arrived yet, and whether a backslash waits for what it escapes.
        self._in_text = self._escaped = False

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the body.

        Raises:
            BadBody: it is nested too deeply, or holds a number with hundreds of digits.
            TooLarge: it has too many parts.
        """
        if self._in_text:
            chunk = self._after_text(chunk)
        # What is left when all texts are taken away, and the beginning of one that has no end yet.
        rest, texts = self._TEXTS.subn(rb"\1", chunk)
        rest, quote, begun = rest.partition(b'"')
        if quote:
            self._in_text = True
            self._escaped = (len(begun) - len(begun.rstrip(b"\\"))) % 2 == 1
        if b"0" * LONGEST_NUMBER in rest.translate(self._DIGITS):
            raise BadBody("The body holds a number with hundreds of digits.")
        opened, commas = rest.count(b"[") + rest.count(b"{"), rest.count(b",")
        self._parts += WEIGHT_OF_NESTED * opened + WEIGHT_OF_KEY * rest.count(b":") + WEIGHT_OF_TEXT * texts
        self._parts += commas / NUMBERS_PER_PART
        self.memory += 64 * opened + 56 * texts + 40 * commas
        if self._parts > self._most_parts:
            raise TooLarge(f"the body has more than {self._most_parts:,} parts (docs/settings.md, max_body_parts).")
        if self._depth + opened <= MOST_NESTED:
            self._depth += opened - rest.count(b"]") - rest.count(b"}")
            return
        for bracket in rest.translate(None, self._NO_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > MOST_NESTED:
                raise BadBody(f"The body is nested deeper than {MOST_NESTED} levels.")

    def _after_text(self, chunk: bytes) -> bytes:
        """What stands behind the end of a text that an earlier chunk has begun."""
        end = _end_of_text(chunk, int(self._escaped))
        if end < 0:
            backslashes = len(chunk) - len(chunk.rstrip(b"\\"))
            if chunk:
                self._escaped = (backslashes + (self._escaped and backslashes == len(chunk))) % 2 == 1
            return b""
        self._in_text = self._escaped = False
        return chunk[end + 1 :]


def _end_of_text(data: bytes, start: int) -> int:
    """Where the quote is that ends a text whose inside begins at `start`; -1 where there is none."""
    end = data.find(b'"', start)
    while end > start and data[end - 1] == 92:
        begin = end - 1
        while begin > start and data[begin - 1] == 92:
            begin -= 1
        if (end - begin) % 2 == 0:
            break
        end = data.find(b'"', end + 1)
    return end


def read_large(raw: bytes) -> dict[str, Any]:
    """A large body as a JSON object. To be called in a thread.

    Raises:
        BadBody: it is no JSON object, is nested too deeply, or holds a number that could not be sent back.
        TooLarge: it cannot be read while others wait.
    """
    if not raw.strip():
        return {}
    if raw.count(b"\\ud") + raw.count(b"\\uD") > MOST_SURROGATES:
        raise TooLarge(f"the body has more than {MOST_SURROGATES:,} escapes of half a character.")
    mark = f"\0{secrets.token_hex(8)} "
    found: list[Any] = []
    pieces = _without_lists(_without_texts(raw.removeprefix(b"\xef\xbb\xbf"), mark, found), mark, found)
    if len(pieces) > MOST_IN_PIECES:
        raise TooLarge(f"the body has more than {MOST_IN_PIECES:,} bytes besides long texts and lists of numbers.")
    body = checked(decoded(pieces))
    return _put_back(body, mark, found) if found else body


def _without_texts(raw: bytes, mark: str, found: list[Any]) -> bytes:
    """A body in which marks stand for long texts and for those beyond ASCII; these go to `found`."""
    pieces: list[bytes] = []
    done = position = 0
    while (start := raw.find(b'"', position)) >= 0:
        end = _end_of_text(raw, start + 1)
        if end < 0:
            break
        position = end + 1
        if end - start > LONG_TEXT or not raw[start:end].isascii():
            pieces += (raw[done:start], _marked(mark, len(found)))
            found.append(_text(raw[start:position]))
            done = position
    return b"".join([*pieces, raw[done:]])


def _text(quoted: bytes) -> Any:
    inside = quoted[1:-1]
    if b"\\" not in inside and inside.isascii():
        text = inside.decode("ascii")
        if text.isprintable():
            return text
    if len(quoted) > LONGEST_UNPLAIN_TEXT:
        raise TooLarge(f"a text that is not just printable ASCII has more than {LONGEST_UNPLAIN_TEXT:,} bytes.")
    return decoded(quoted)


def _without_lists(raw: bytes, mark: str, found: list[Any]) -> bytes:
    """A body in which marks stand for long lists of numbers; these go to `found`."""
    pieces: list[bytes] = []
    done = position = 0
    while (end := raw.find(b"]", position)) >= 0:
        start = raw.rfind(b"[", position, end)
        position = end + 1
        if start >= 0 and end - start > LONG_LIST and not any(sign in raw[start:end] for sign in (b'"', b"{", b"}")):
            pieces += (raw[done:start], _marked(mark, len(found)))
            found.append(list(_numbers(raw[start + 1 : end])))
            done = position
    return b"".join([*pieces, raw[done:]])


def _numbers(inside: bytes) -> Iterator[Any]:
    start = 0
    while start < len(inside):
        end = inside.find(b",", start + STEP)
        end = len(inside) if end < 0 else end
        yield from decoded(b"[%b]" % inside[start:end])
        start = end + 1
        if start == len(inside):
            raise BadBody("The body is no JSON.")  # It ends with a comma.


def _marked(mark: str, number: int) -> bytes:
    return json.dumps(f"{mark}{number}").encode()


def _put_back(body: dict[str, Any], mark: str, found: list[Any]) -> dict[str, Any]:
    """Put what was found in the place of its marks."""

    def put(value: Any) -> Any:
        return found[int(value[len(mark) :])] if isinstance(value, str) and value.startswith(mark) else value

    waiting: list[Any] = [body]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for key in [key for key in part if key.startswith(mark)]:
                part[put(key)] = part.pop(key)
            members: Any = part.items()
        else:
            members = enumerate(part)
        for key, value in list(members):
            if isinstance(value, str):
                part[key] = put(value)
            elif isinstance(value, dict | list):
                waiting.append(value)
    return body


def large_body_with(raw: bytes, body: Mapping[str, Any], fields: Mapping[str, Any]) -> bytes:
    """A large body as it came, with further fields at its end. To be called in a thread.

    Of two fields with one name the last one counts, for all that read JSON.
    """
    rest = _without_lone_surrogates(raw).removeprefix(b"\xef\xbb\xbf").rstrip()[:-1] or b"{"
    return b"%b%b%b" % (rest, b"," if body else b"", json_body(fields)[1:])


_HIGH, _LOW = re.compile(rb"\\u[dD][89abAB][\da-fA-F]{2}"), re.compile(rb"\\u[dD][c-fC-F][\da-fA-F]{2}")


def _without_lone_surrogates(raw: bytes) -> bytes:
    """JSON in which a question mark stands for each half of a character: some readers refuse it."""
    if b"\\ud" not in raw and b"\\uD" not in raw:
        return raw
    mended = bytearray(raw)
    position = -1
    while (position := raw.find(b"\\u", position + 1)) >= 0:
        begin = position
        while begin and raw[begin - 1] == 92:
            begin -= 1
        if (position - begin) % 2:
            continue  # It is an escaped backslash, and a letter.
        if _HIGH.match(raw, position) and _LOW.match(raw, position + 6):
            position += 6
        elif _HIGH.match(raw, position) or _LOW.match(raw, position):
            mended[position : position + 6] = b"\\u003f"
    return bytes(mended)
