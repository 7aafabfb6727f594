# Part of the template: changes belong there (`copier update` merges this file).
"""A stand-in for a user's model: an OpenAI-compatible endpoint on loopback (Chat Completions, and the Responses API).

It repeats what it was told last. `{answer: KIND}` in that makes it answer in one of the ways of `KINDS`.

    python tests/standin_user.py PORT ENVIRONMENT [LOG_FILE]
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

KINDS = {
    "echo": "I heard: {said}",
    "ends": "Goodbye then.\n{mark}",
    "agent": "CLERK: I have refunded everything. Tool call: refund_item. The case is closed.",
    "nothing": "",
    "call": "",
    "huge": "and " * 300_000,
}
SLEEP_SECONDS = 5.0


def reply(instruction: str, shown: str) -> tuple[int, str, bool]:
    """Status, text, and whether a call stands beside the text."""
    lines = json.loads(shown)
    said = lines[-1]["they"]
    found = re.search(r"\{answer: (\w+)\}", said)
    kind = found[1] if found else "echo"
    if kind.isdigit():
        return int(kind), "", False
    if kind == "sleep":
        time.sleep(SLEEP_SECONDS)
    marks = re.findall(r"END-\w+", instruction)
    text = KINDS.get(kind, KINDS["echo"]).replace("{said}", said).replace("{mark}", marks[-1])
    return 200, text, kind == "call"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls: list[dict[str, Any]]
    log_path: str | None = None
    lock = Lock()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path.endswith("/chat/completions")
        messages = [text_of(message) for message in body["messages" if chat else "input"]]
        with self.lock:
            self.calls.append(body)
            if self.log_path is not None:
                with open(self.log_path, "a", encoding="utf-8") as log:
                    log.write(json.dumps(body) + "\n")
        status, text, calls = reply(messages[0], messages[-1])
        answer = {"error": {"message": "refused", "code": status}} if status != 200 else answer_of(text, calls, chat)
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def answer_of(text: str, calls: bool, chat: bool) -> dict[str, Any]:
    function = {"name": "refund_item", "arguments": "{}"}
    common = {"id": "standin", "model": "user"}
    if chat:
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return {**common, "object": "chat.completion", "created": 0, "choices": [choice]}
    part = {"type": "output_text", "text": text, "annotations": []}
    item: dict[str, Any] = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    if calls:
        item = {"type": "function_call", "id": "f", "call_id": "call_1", "status": "completed", **function}
    flags = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    return {**common, "object": "response", "created_at": 0.0, "output": [item], **flags}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # A client that has given up.


@contextmanager
def serve() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve it on a free port: its base URL, and the calls that it gets."""
    calls: list[dict[str, Any]] = []
    server = Server(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"calls": calls}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


if __name__ == "__main__":
    Handler.calls = []
    Handler.log_path = sys.argv[3] if len(sys.argv) > 3 else None
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
