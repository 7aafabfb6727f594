# Part of the template: changes belong there (`copier update` merges this file).
"""The confined interpreter: IPython's kernel, which waits where its output is not read.

What a cell prints goes through the process's own standard output and error, pipes that hold no more than 64 KB: a cell
that prints faster than the server reads waits. (As kernel messages, all of it would pile up in the server's memory.)
Messages carry values, figures and tracebacks only, and those are cut here.
"""

import io
import os
import sys
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell

MOST = 500_000
"""Characters of a value or a traceback; the middle of a longer one is cut."""


def cut(text: str) -> str:
    """A text that a message can hold."""
    half, left_out = MOST // 2, len(text) - MOST
    return text if left_out <= 0 else f"{text[:half]}\n[... {left_out:,} characters left out ...]\n{text[-half:]}"


class Stream(io.TextIOWrapper):
    """Standard output or error, by a descriptor of its own: a cell that closes the usual one silences no later cell."""

    def __init__(self, descriptor: int) -> None:
        binary = os.fdopen(os.dup(descriptor), "wb")
        super().__init__(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def close(self) -> None:
        self.flush()


class Shell(ZMQInteractiveShell):
    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # The reply to the cell carries it: no message of its own.
        self._last_traceback = [cut("\n".join(stb))]


class Kernel(IPythonKernel):
    shell_class = Shell

    async def do_execute(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        reply = await super().do_execute(*arguments, **named)
        if "evalue" in reply:
            reply["evalue"] = cut(reply["evalue"])
        return reply


class App(IPKernelApp):
    """Reads no command line and no file of settings: a parser takes longer than half of the rest."""

    def parse_command_line(self, *arguments: Any) -> None:
        pass

    def load_config_file(self, *arguments: Any, **named: Any) -> None:
        pass


def main(connection_file: str) -> None:
    """Be the kernel that a file tells how to connect to."""
    # Loading the debugger takes longer than all the rest of a start, and nobody here can use it.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    sys.stdout, sys.stderr = Stream(1), Stream(2)
    app = App.instance(kernel_class=Kernel, outstream_class=None, connection_file=connection_file)
    app.config["HistoryManager"]["enabled"] = False
    app.initialize([])
    del sys.modules["debugpy"]
    assert app.shell is not None
    hook: Any = app.shell.displayhook
    publish = hook.write_format_data

    def write_format_data(formats: dict[str, Any], metadata: Any = None) -> None:
        publish({"text/plain": cut(str(formats.get("text/plain", "")))}, metadata)

    hook.write_format_data = write_format_data
    app.start()


if __name__ == "__main__":
    # The folder of this program: its modules would hide the agent's own of the same name.
    sys.path.pop(0)
    main(sys.argv[1])
