"""A generated environment, served as a process by its own server.py, with settings and temporary files of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests


class Served:
    """The server's process and address."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, temporary: Path) -> None:
        self.pid = process.pid
        self.url = url
        self.temporary = temporary

    def rss_mb(self) -> float:
        """The memory that the server's process itself has."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def folders(self) -> int:
        return len(list(self.temporary.glob("sandbox-*")))

    def descendants(self) -> int:
        """How many processes descend from the server's."""
        return len(descendants(self.pid))


def descendants(pid: int) -> set[int]:
    """The processes that descend from one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found: set[int] = set()
    wanted = {pid}
    while wanted:
        wanted = {child for child, parent in parents.items() if parent in wanted}
        found |= wanted
    return found


class Agent:
    """One episode's connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    def post(self, path: str, **body: Any) -> Any:
        response = self.http.post(f"{self.url}{path}", json=body, timeout=300)
        assert response.status_code == 200, response.text
        return response.json()

    def run(self, code: str) -> str:
        return self.post("/run_python", code=code)["output"]


def copied(environment: Path, copy: Path, **settings: Any) -> None:
    """Copy an environment to a new folder, with the given settings in its config and the same .venv."""
    shutil.copytree(environment, copy, ignore=shutil.ignore_patterns(".venv", "results", "__pycache__"))
    (copy / ".venv").symlink_to((environment / ".venv").resolve())
    config = next((copy / "configs").glob("*.yaml"))
    lines = "".join(f"      {name}: {value}\n" for name, value in settings.items())
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("      verified: false\n", f"      verified: false\n{lines}"), encoding="utf-8")


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def serving(command: list[str], cwd: Path, port: int, temporary: Path, **environ: str) -> Iterator[Served]:
    """Start a server, wait until it answers on loopback, and stop it at the end."""
    log = tempfile.TemporaryFile()  # noqa: SIM115
    variables = os.environ | {"TMPDIR": str(temporary)} | environ
    process = subprocess.Popen(command, cwd=cwd, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                requests.get(f"{url}/health", timeout=5)
                break
            except requests.ConnectionError:
                if process.poll() is not None:
                    log.seek(0)
                    said = log.read().decode(errors="replace")
                    raise AssertionError(f"{command} exited with {process.returncode}:\n{said[-5000:]}") from None
                time.sleep(0.1)
        yield Served(process, url, temporary)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        log.close()


@contextmanager
def served(
    environment: Path, script: Path = Path("server.py"), environ: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[Served]:
    """Serve a copy of the environment whose config has the given settings, by server.py or by a script of one's own."""
    with tempfile.TemporaryDirectory(prefix="b-") as scratch:
        copy, temporary = Path(scratch, "copy"), Path(scratch, "t")
        temporary.mkdir()
        copied(environment, copy, **settings)
        port = free_port()
        command = [str(copy / ".venv/bin/python"), str(script)]
        with serving(command, copy, port, temporary, PORT=str(port), **(environ or {})) as server:
            yield server
