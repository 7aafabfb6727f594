# Part of the template: changes belong there (`copier update` merges this file).
"""How long a server wants to be left alone, by the header Retry-After: a number of seconds, or a date."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

FULL = "the environment is full"
"""With this begins the text of a 503 that says so."""
LONGEST_WAIT = 300.0
"""Seconds. Who wants to be asked again only after longer than this is not waited for."""


def seconds_to_wait(headers: Mapping[str, str], default: float) -> float:
    """Seconds until the server may be asked again.

    Args:
        headers: Of its answer; their names are found in any case.
        default: What holds without the header, and where it cannot be read.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return default
    return max(0.1, seconds) if math.isfinite(seconds) else default
