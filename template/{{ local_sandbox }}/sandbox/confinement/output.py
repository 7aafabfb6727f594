# Part of the template: changes belong there (`copier update` merges this file).
"""What a confined process prints: read from its pipes, within limits."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.confinement import Limits
from sandbox.confinement.process import Confined


class Printed:
    """The beginning and the end of what a stream printed, so that no output fills the server's memory."""

    def __init__(self, keep: int) -> None:
        self.half = keep // 2
        self.count = 0
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        self.count += len(data)
        room = self.half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self.half:
            del self._tail[: -self.half]

    def text(self) -> str:
        tail = self._tail[-self.half :]
        left_out = self.count - len(self._head) - len(tail)
        mark = f"\n[... {left_out:,} bytes left out ...]\n".encode() if left_out else b""
        return bytes(self._head + mark + tail).decode(errors="replace")


class Output:
    """Both streams of a confined process, read while one cell or command runs.

    At other times nothing reads them: a process that goes on printing has to wait.
    """

    def __init__(self, process: Confined, limits: Limits) -> None:
        self.stdout = Printed(limits.kept_bytes)
        self.stderr = Printed(limits.kept_bytes)
        self.too_much = asyncio.Event()
        self._streams = {process.stdout: self.stdout, process.stderr: self.stderr}
        self._limit = limits.printed_bytes

    @contextmanager
    def reading(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for descriptor in self._streams:
            loop.add_reader(descriptor, self._read, descriptor)
        try:
            yield
        finally:
            for descriptor in self._streams:
                loop.remove_reader(descriptor)

    def _read(self, descriptor: int) -> bool:
        """Read what is there; whether there may be more at once."""
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        if not data:  # closed by all who could write
            asyncio.get_running_loop().remove_reader(descriptor)
            return False
        self._streams[descriptor].add(data)
        if self.stdout.count + self.stderr.count > self._limit:
            self.too_much.set()
        return True

    def drain(self) -> None:
        """Read what is still in the pipes. A process that prints for ever does not hold this up."""
        for descriptor in self._streams:
            for _ in range(32):
                if not self._read(descriptor):
                    break
