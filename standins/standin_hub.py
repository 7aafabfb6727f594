"""A stand-in for the Hugging Face Hub: the part of its API that deploy.py uses, and Spaces that really run.

`huggingface_hub` speaks to it as to the Hub (HF_ENDPOINT). A commit is "built" by writing its files to a folder, and
started there with `python server.py`, as the Dockerfile starts it.
"""

import base64
import hashlib
import json
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests


@dataclass
class Space:
    """A Space: its files, what it is doing, and the server that runs in it."""

    name: str
    private: bool
    port: int
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    sha: str = "0" * 40
    stage: str = "NO_APP_FILE"
    running: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None


class Hub:
    """The stand-in, at `url`. Attributes provoke failures.

    Args:
        folder: Where the Spaces' files are written.
        python: The interpreter that runs the Spaces' servers.
        environ: The variables that they get.
        ports: A port for each Space, in the order of creation.
    """

    def __init__(self, folder: Path, python: Path, environ: dict[str, str], ports: list[int]) -> None:
        self.folder = folder
        self.python = python
        self.environ = environ
        self.ports = ports
        self.tokens = {"hf_writer": ("ada", True), "hf_reader": ("ada", False)}
        self.spaces: dict[str, Space] = {}
        self.requests: list[str] = []
        self.build_fails = False
        self.wants_payment = False
        self.breaks_off_at: str | None = None
        """A part of a path: the connection is closed when a request for it has been read."""
        self.meanwhile: Any = None
        """Called once, with the Space, before a commit is looked at: what somebody else does in that moment."""
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._starting: list[threading.Thread] = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        # A Space that is still being built would start its server after the end.
        for thread in self._starting:
            thread.join(60)
        for space in self.spaces.values():
            stop(space)

    def start(self, space: Space) -> None:
        """Build and run a Space's newest commit, in the background."""
        self._starting.append(threading.Thread(target=self._start, args=(space,), daemon=True))
        self._starting[-1].start()

    def _start(self, space: Space) -> None:
        commit = space.sha
        space.stage = "BUILDING" if space.process is None else "RUNNING_BUILDING"
        time.sleep(1)
        if self.build_fails:
            space.log = [f"--> step {number}\n" for number in range(60)] + ["ERROR: no matching distribution\n"]
            space.stage, space.running = "BUILD_ERROR", commit
            return
        stop(space)
        folder = self.folder / space.name / commit
        for name, content in space.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        space.stage = "APP_STARTING"
        env = self.environ | space.secrets | {"PORT": str(space.port), "SPACE_ID": space.name}
        with open(folder / "log", "wb") as log:
            # A name of its own: a newer commit may take it from the Space meanwhile.
            process = space.process = subprocess.Popen(
                [self.python, "server.py"], cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT
            )
        while process.poll() is None:
            try:
                requests.get(f"http://127.0.0.1:{space.port}/health", timeout=5)
            except requests.ConnectionError:
                time.sleep(0.1)
                continue
            space.stage, space.running = "RUNNING", commit
            return
        space.log = (folder / "log").read_text().splitlines(keepends=True)
        space.stage, space.running = "RUNTIME_ERROR", commit


def stop(space: Space) -> None:
    """End a Space's server."""
    if space.process is not None:
        space.process.terminate()
        space.process.wait(30)
        space.process = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        hub = self.hub
        path = self.path.split("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.requests.append(f"{method} {path}")
        if hub.breaks_off_at and hub.breaks_off_at in path:
            self.close_connection = True
            self.connection.close()
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in hub.tokens:
            return self._answer({"error": "Invalid username or password."}, 401)
        user, may_write = hub.tokens[token]
        if method == "POST" and path != "/api/validate-yaml" and not may_write:
            return self._answer({"error": "You don't have the required permissions."}, 403)
        parts = path.strip("/").split("/")
        if path == "/api/whoami-v2":
            return self._answer({"name": user, "type": "user"})
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(user, json.loads(body))
        space = hub.spaces.get("/".join(parts[2:4])) if parts[:2] == ["api", "spaces"] else None
        if space is None:
            return self._answer({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
        match parts[4:]:
            case [] | ["revision", _]:
                self._answer(self._info(space))
            case ["runtime"]:
                self._answer(self._runtime(space))
            case ["preupload", "main"]:
                self._preupload(space, json.loads(body))
            case ["commit", "main"]:
                self._commit(space, [json.loads(line) for line in body.splitlines()])
            case ["secrets"]:
                secret = json.loads(body)
                space.secrets[secret["key"]] = secret["value"]
                self._answer({})
            case ["logs", _]:
                events = [
                    {"data": line, "timestamp": f"2026-01-01T00:00:00.{n:03}Z"} for n, line in enumerate(space.log)
                ]
                text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
                self._send(text.encode(), 200, {"Content-Type": "text/event-stream"})
            case _:
                self._answer({"error": f"Not in the stand-in: {path}"}, 501)

    def _create(self, user: str, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or user}/{wanted['name']}"
        if self.hub.wants_payment:
            return self._answer({"error": "Docker Spaces need a PRO subscription."}, 402)
        if name in self.hub.spaces:
            return self._answer({"error": "You already created this space repo"}, 409)
        assert (wanted["type"], wanted["sdk"]) == ("space", "docker")
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self.hub.spaces[name] = Space(name, private, self.hub.ports[len(self.hub.spaces)])
        self._answer({"url": f"{self.hub.url}/spaces/{name}", "name": name, "id": name})

    def _info(self, space: Space) -> dict[str, Any]:
        return {
            "id": space.name,
            "sha": space.sha,
            "private": space.private,
            "sdk": "docker",
            "host": f"http://127.0.0.1:{space.port}",
            "siblings": [{"rfilename": name} for name in sorted(space.files)],
            "runtime": self._runtime(space),
        }

    def _runtime(self, space: Space) -> dict[str, Any]:
        return {"stage": space.stage, "hardware": {"current": None, "requested": "cpu-basic"}, "sha": space.running}

    def _preupload(self, space: Space, wanted: dict[str, Any]) -> None:
        def known(name: str) -> str | None:
            content = space.files.get(name)
            return None if content is None else hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()

        files = [
            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": known(file["path"])}
            for file in wanted["files"]
        ]
        self._answer({"files": files})

    def _commit(self, space: Space, lines: list[dict[str, Any]]) -> None:
        if self.hub.meanwhile is not None:
            meanwhile, self.hub.meanwhile = self.hub.meanwhile, None
            meanwhile(space)
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, space.sha):
            return self._answer({"error": "A commit has happened since. Please refresh and try again."}, 412)
        for line in lines[1:]:
            path = line["value"]["path"]
            if line["key"] == "file":
                space.files[path] = base64.b64decode(line["value"]["content"])
            else:
                assert line["key"] == "deletedFile", line["key"]
                del space.files[path]
        space.sha = uuid.uuid4().hex + "0" * 8
        self.hub.start(space)
        url = f"{self.hub.url}/spaces/{space.name}/commit/{space.sha}"
        self._answer({"success": True, "commitOid": space.sha, "commitUrl": url, "hookOutput": ""})

    def _answer(self, body: dict[str, Any], status: int = 200, **headers: str) -> None:
        self._send(json.dumps(body).encode(), status, {"Content-Type": "application/json", **headers})

    def _send(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: `Hub.requests` has it all."""
