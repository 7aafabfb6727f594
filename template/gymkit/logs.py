# Part of the template: changes belong there (`copier update` merges this file).
"""Standard output and error of a server: what cannot be written there is dropped, and costs no request; and no key of
the environment's variables is written there.
"""

import io
import sys
from typing import Any

from gymkit.redaction import redacted_bytes, secrets_of_environ


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
