# Part of the template: changes belong there (`copier update` merges this file).
"""The confined interpreter: IPython's kernel, which waits where its output is not read.

What a cell prints goes through the process's own standard output and error, pipes that hold no more than 64 KB: a cell
that prints faster than the server reads waits. (As kernel messages, all of it would pile up in the server's memory.)
Messages carry values, figures and tracebacks only, and those are cut here.
"""

import io
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import observe
from traitlets.config import Config

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


class Profile(ProfileDir):
    """A folder for IPython's files that is made when there is one to write: an empty one takes time in each sandbox."""

    @observe("location")
    def _location_changed(self, change: Any) -> None:
        self.startup_dir = os.path.join(change["new"], self.startup_dir_name)

    def _mkdir(self, path: str, mode: int | None = None) -> bool:
        return False


class Shell(ZMQInteractiveShell):
    """IPython's shell, which can be made before a fork."""

    def init_ipython_dir(self, ipython_dir: Any) -> None:
        pass

    def init_profile_dir(self, profile_dir: Any) -> None:
        pass

    def move_in(self, profile_dir: ProfileDir) -> None:
        """Take on the working folder and the environment that this process has now."""
        self.profile_dir = profile_dir
        self.starting_dir = os.getcwd()
        history: Any = self.history_manager
        history.dir_hist[:] = [Path.cwd()]
        self.init_pushd_popd_magic()
        self.init_environment()

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # The reply to the cell carries it: no message of its own.
        self._last_traceback = [cut("\n".join(stb))]


class Kernel(IPythonKernel):
    shell_class = Shell

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        shell: Any = self.shell
        shell.extension_manager.load_extension("storemagic")

    def move_in(self, **named: Any) -> "Kernel":
        """Take on what an application gives to a kernel that it makes: its sockets, threads and so on."""
        for name, value in named.items():
            if name != "user_ns":
                setattr(self, name, value)
        self.ident = str(uuid.uuid4())
        self._stdout, self._stderr = sys.stdout, sys.stderr
        shell: Any = self.shell
        shell.move_in(self.profile_dir)
        shell.displayhook.topic = self._topic("execute_result")
        for publisher in (shell.displayhook, shell.display_pub):
            publisher.session, publisher.pub_socket = self.session, self.iopub_socket
        return self

    async def do_execute(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        reply = await super().do_execute(*arguments, **named)
        if "evalue" in reply:
            reply["evalue"] = cut(reply["evalue"])
        return reply


class Prepared(Kernel):
    """The kernel that was prepared, in place of a new one."""

    @classmethod
    def instance(cls, *arguments: Any, **named: Any) -> Any:
        return Kernel.instance().move_in(**named)


class App(IPKernelApp):
    """Reads no command line and no file of settings: a parser takes longer than half of the rest."""

    def parse_command_line(self, *arguments: Any) -> None:
        pass

    def load_config_file(self, *arguments: Any, **named: Any) -> None:
        pass

    def init_profile_dir(self) -> None:
        self.profile_dir = Profile(location=os.path.join(os.environ["IPYTHONDIR"], "profile_default"))

    def init_config_files(self) -> None:
        pass


def prepare() -> None:
    """Make what takes long and is the same in all interpreters, for forks of this process to have it."""
    # Loading the debugger takes longer than all the rest of a start, and nobody here can use it.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    import ipykernel.debugger  # noqa: F401

    del sys.modules["debugpy"]
    config = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})
    shell: Any = Kernel.instance(config=config).shell
    publish = shell.displayhook.write_format_data

    def write_format_data(formats: dict[str, Any], metadata: Any = None) -> None:
        publish({"text/plain": cut(str(formats.get("text/plain", "")))}, metadata)

    shell.displayhook.write_format_data = write_format_data
    # What a first cell makes: a way to run it, and to show a value.
    shell.run_cell("None", store_history=False, silent=True)
    shell.last_execution_result = None
    shell.display_formatter.format(0)


def main(connection_file: str) -> None:
    """Be the kernel that a file tells how to connect to, once all is prepared."""
    sys.stdout, sys.stderr = Stream(1), Stream(2)
    app = App.instance(
        kernel_class=Prepared,
        outstream_class=None,
        connection_file=connection_file,
        connection_dir=os.path.dirname(connection_file),
        default_extensions=[],
    )
    app.initialize([])
    app.start()


if __name__ == "__main__":
    # The folder of this program: its modules would hide the agent's own of the same name.
    sys.path.pop(0)
    prepare()
    main(sys.argv[1])
