# Part of the template: changes belong there (`copier update` merges this file).
"""The fork server of this process (`fork_server.py`). Without one, keepers and applications start as programs."""

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

log = logging.getLogger("gymkit")

PROGRAM = Path(__file__).with_name("fork_server.py")
ENVIRONMENT = {
    "HOME": "/",
    "LANG": "C.UTF-8",
    # What is shown of a fork's environment stands where this one is, and needs room.
    "PADDING": "x" * 2000,
}
"""Variables that its forks do not keep."""
LOAD_SECONDS = 30
"""How long the fork server may take to load what it holds."""
FORK_SECONDS = 5
"""How long it may take for a fork; after that it is given up."""
PAUSE_SECONDS = 30
"""How long after that until another one is started; twice as long with each that does not come to fork."""


class NoFork(Exception):
    """The fork server cannot make a fork now. The message says why."""


class ForkServer:
    """A program that forks the keepers of displays; it may end at any time, and another one is started then.

    Its methods can be called in any thread.
    """

    def __init__(self, packages: tuple[str, ...]) -> None:
        self._packages = packages
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._loading: threading.Thread | None = None
        self._start_at = 0.0
        self._pause = PAUSE_SECONDS

    @property
    def pid(self) -> int | None:
        """Its process id, while it can fork."""
        process = self._process
        return process.pid if process is not None and self._control is not None else None

    def start(self) -> None:
        """Start it in the background, unless it runs, or has failed just now."""
        with self._lock:
            if self._control is None and self._loading is None and time.monotonic() >= self._start_at:
                thread = threading.Thread(target=self._load, name="fork server", daemon=True)
                try:
                    thread.start()
                    self._loading = thread
                except RuntimeError:  # no thread left
                    pass

    def _load(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = None
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, str(PROGRAM), *self._packages],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=ENVIRONMENT,
                    # In this session: a stopped process whose parent has gone is continued then, and told to end.
                    process_group=0,
                )
            ours.settimeout(LOAD_SECONDS)
            said = json.loads(ours.recv(65536) or b"{}")
            if said.get("threads") != 1:
                raise NoFork(f"it has {said['threads']} threads" if said else "it has ended")
            if said["missing"]:
                log.info("Not held in memory for applications, for they cannot be imported: %s", said["missing"])
            ours.settimeout(FORK_SECONDS)
            with self._lock:
                self._process, self._control, self._loading = process, ours, None
        except (OSError, NoFork) as error:
            with self._lock:
                self._give_up(process, ours, str(error) or type(error).__name__)
                self._loading = None

    def close(self) -> None:
        """End it; what it has forked lives on."""
        with self._lock:
            if self._process is not None and self._control is not None:
                self._give_up(self._process, self._control, "it is closed")

    def _give_up(self, process: "subprocess.Popen[bytes] | None", control: socket.socket, reason: str) -> None:
        log.warning("Desktops start slowly for now: no fork server (%s).", reason)
        self._process = self._control = None
        self._start_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, 3600)
        control.close()
        if process is not None:
            process.kill()
            process.wait()

    def fork(self, orders: int, events: int) -> None:
        """Fork a keeper with these for its standard input and output. Waits for one that is loading.

        Raises:
            NoFork: it cannot be had.
        """
        self.start()
        loading = self._loading
        if loading is not None:
            loading.join(LOAD_SECONDS)
        with self._lock:
            process, control = self._process, self._control
            if process is None or control is None:
                raise NoFork("there is no fork server")
            try:
                socket.send_fds(control, [b"fork"], [orders, events])
                data = control.recv(4096)
            except OSError as error:
                reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
                self._give_up(process, control, reason)
                raise NoFork(reason) from None
            if not data:
                self._give_up(process, control, f"it has ended with {process.poll()}")
                raise NoFork("it has ended")
        if error := json.loads(data).get("error"):
            raise NoFork(f"it cannot fork: {error}")
        self._pause = PAUSE_SECONDS


@cache
def fork_server(packages: tuple[str, ...]) -> ForkServer | None:
    """The fork server of this process for some packages; None where the system is not known to fork safely."""
    return ForkServer(packages) if sys.platform.startswith("linux") else None
