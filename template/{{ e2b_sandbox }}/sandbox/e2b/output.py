# Part of the template: changes belong there (`copier update` merges this file).
"""What a cell or a command prints at E2B: its beginning and its end, within a limit."""

from gymkit.tools import CUT_MARK


class PrintedTooMuch(Exception):
    """More was printed than is taken from E2B."""


class Printed:
    """The beginning and the end of what a stream printed.

    Args:
        kept: Number of characters that are kept.
    """

    def __init__(self, kept: int) -> None:
        self._half = kept // 2
        self._head = self._tail = ""
        self._left_out = 0

    def add(self, text: str) -> None:
        room = self._half - len(self._head)
        self._head += text[:room]
        tail = self._tail + text[room:] if room > 0 else self._tail + text
        self._left_out += max(0, len(tail) - self._half)
        self._tail = tail[-self._half :]

    def text(self) -> str:
        mark = CUT_MARK.format(left_out=self._left_out) if self._left_out else ""
        return self._head + mark + self._tail


class Output:
    """Both streams of a cell or a command.

    Args:
        kept: Number of characters of each stream that are kept.
        most: Number of characters of both together that are taken. (E2B's client keeps whatever it is sent.)
    """

    def __init__(self, kept: int, most: int) -> None:
        self.stdout = Printed(kept)
        self.stderr = Printed(kept)
        self._left = most

    def add_stdout(self, text: str) -> None:
        """Raises `PrintedTooMuch`."""
        self._add(self.stdout, text)

    def add_stderr(self, text: str) -> None:
        """Raises `PrintedTooMuch`."""
        self._add(self.stderr, text)

    def _add(self, stream: Printed, text: str) -> None:
        stream.add(text)
        self._left -= len(text)
        if self._left < 0:
            raise PrintedTooMuch
