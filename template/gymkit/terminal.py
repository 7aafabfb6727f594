# Part of the template: changes belong there (`copier update` merges this file).
"""The terminal that programs print to."""

import sys
from typing import TextIO

from rich.console import Console


def show_any_text(*streams: TextIO) -> None:
    """Let a stream write escapes for the characters that its encoding lacks, instead of ending the program."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)  # A notebook's has none.
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


show_any_text(sys.stdout, sys.stderr)
console = Console(highlight=False)
