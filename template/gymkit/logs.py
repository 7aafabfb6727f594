# Part of the template: changes belong there (`copier update` merges this file).
"""The server's log: one line per event, with time, level, session, tool and duration, as text or as JSON.

And its standard output and error: what cannot be written there is dropped, and costs no request; and no key of the
environment's variables is written there.
"""

import hashlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from gymkit.access import CannotServe
from gymkit.redaction import redacted_bytes, secrets_of_environ
from gymkit.terminal import printable

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

MOST_CHARACTERS = 2000
"""A longer message is cut: a model may have written it."""
MOST_OF_A_TRACEBACK = 20_000
"""Of a longer one, the end is kept."""

_session: ContextVar[str | None] = ContextVar("session", default=None)


def log_as(session_id: str | None) -> None:
    """Name the session that the current request belongs to: its log lines bear it, those of the user's code too."""
    _session.set(session_id)


@contextmanager
def logged_as(session_id: str) -> Iterator[None]:
    """Name the session for a while."""
    token = _session.set(session_id)
    try:
        yield
    finally:
        _session.reset(token)


def short_id(session_id: str) -> str:
    """What a log says of a session: the first 8 digits of the SHA-256 of its identity, with which one could end it."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:8]


def about_tool(tool: str, seconds: float) -> dict[str, Any]:
    """The fields of a line about a tool's call, as `extra` of the logging functions."""
    return {"tool": tool, "seconds": round(seconds, 6)}


# ------------------------------------------------------------------------------------------------------------ lines


class _Lines(logging.Formatter):
    """Makes a record one line. A traceback follows, indented: whatever begins with a time is an event."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        parts = [fields.pop("time"), f"{fields.pop('level'):7}"]
        message, traceback = fields.pop("message"), fields.pop("traceback", "")
        parts += [f"{name}={value}" for name, value in fields.items()]
        line = " ".join([*parts, printable(message).replace("\n", "\\n")])
        return "\n    ".join([line, *printable(traceback).splitlines()])


class _JSONLines(logging.Formatter):
    """Makes a record a line of JSON, its traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    time = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, Any] = {"time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    fields["level"] = record.levelname.lower()
    session_id = _session.get()
    if session_id is not None:
        fields["session"] = short_id(session_id)
    fields |= {name: getattr(record, name) for name in ("tool", "seconds") if hasattr(record, name)}
    fields["message"] = record.getMessage()[:MOST_CHARACTERS]
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)[-MOST_OF_A_TRACEBACK:]
    return fields


def set_up_logging() -> None:
    """Log to standard error: gymkit's lines from `ENV_LOG_LEVEL` on, others from warnings on, as `ENV_LOG_FORMAT` says.

    Raises:
        CannotServe: one of the variables holds something else than it may.
    """
    level = _one_of("ENV_LOG_LEVEL", LEVELS, "info")
    handler: logging.Handler
    if _one_of("ENV_LOG_FORMAT", FORMATS, "text") == "json":
        # A stream of its own: NeMo Gym puts the server's name before each line of `sys.stderr`.
        handler = logging.StreamHandler(_lossy(sys.stderr))
        handler.setFormatter(_JSONLines())
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, _number(level)), force=True)
    logging.getLogger("gymkit").setLevel(_number(level))


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _one_of(name: str, values: tuple[str, ...], default: str) -> str:
    value = os.environ.get(name, "").strip().lower() or default
    if value not in values:
        raise CannotServe(f"{name}={value!r} is none of: {', '.join(values)}.")
    return value


# ---------------------------------------------------------------------------------------------------------- streams


class _LossyFile(io.FileIO):
    secrets: list[bytes]

    def write(self, data: Any, /) -> int:
        try:
            written = super().write(redacted_bytes(bytes(data), self.secrets))
        except OSError:
            written = None
        # None is a pipe that is full and does not block.
        return memoryview(data).nbytes if written is None else written


def drop_what_cannot_be_written() -> None:
    """Let the process go on where the disk of its log is full, or the reader of its log has gone.

    Otherwise a `print()` in a tool would fail the tool, and one of NeMo Gym's own keeps the server from starting.
    """
    sys.stdout = _lossy(sys.stdout)
    sys.stderr = _lossy(sys.stderr)


def _lossy(stream: Any) -> Any:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):  # There is none (pythonw), or it is no file (a notebook's).
        return stream
    raw = _LossyFile(descriptor, "w", closefd=False)
    raw.secrets = secrets_of_environ()
    file = io.BufferedWriter(raw)
    return io.TextIOWrapper(file, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)
