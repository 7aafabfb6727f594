# Part of the template: changes belong there (`copier update` merges this file).
"""The terminal that programs print to."""

import re
import signal
import sys
from typing import TextIO

from rich.console import Console
from rich.markup import escape

from gymkit.redaction import redacted


def show_any_text(*streams: TextIO) -> None:
    """Let a stream write escapes for the characters that its encoding lacks, instead of ending the program."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)  # A notebook's has none.
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def interrupt_once() -> None:
    """Let Ctrl+C raise `KeyboardInterrupt` once: `uv run` may hand on a second signal, while the first is reported."""

    def interrupt(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # A background job may ignore it.
        signal.signal(signal.SIGINT, interrupt)


show_any_text(sys.stdout, sys.stderr)
console = Console(highlight=False)

# Control characters but for tab and newline, and those that turn the direction of what follows.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text in which characters that a terminal would obey stand as escapes: `\\x1b` for the character ESC."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def shown(text: str) -> str:
    """What a model, a tool or another program has said, to be printed: without control sequences, keys or markup."""
    return escape(printable(redacted(text)))
