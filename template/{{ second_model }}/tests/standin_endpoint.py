# Part of the template: changes belong there (`copier update` merges this file).
"""What the stand-ins for a second model share: an OpenAI-compatible endpoint on loopback (Chat Completions, and the
Responses API).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, ClassVar

Json = dict[str, Any]


class Endpoint(BaseHTTPRequestHandler):
    """Answers requests: a stand-in says how, in `do_POST`."""

    protocol_version = "HTTP/1.1"
    calls: ClassVar[list[Json]] = []
    """What has been asked."""
    log_path: ClassVar[str | None] = None
    """A file that gets a line for each request."""
    lock = Lock()

    def read(self) -> tuple[Json, str, str]:
        """The request's body, and the texts of its first message and its last one."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = [text_of(message) for message in body["messages" if self.is_chat else "input"]]
        return body, messages[0], messages[-1]

    @property
    def is_chat(self) -> bool:
        return self.path.endswith("/chat/completions")

    def note(self, call: Json, line: Any) -> None:
        """Keep a call, and write a line into the log."""
        with self.lock:
            self.calls.append(call)
            if self.log_path is not None:
                with open(self.log_path, "a", encoding="utf-8") as log:
                    log.write(json.dumps(line) + "\n")

    def answer(self, body: Any, status: int = 200) -> None:
        """Send an object as JSON, or a text as HTML."""
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def say(self, model: str, text: str | None, call: Json | None = None) -> None:
        """Answer as a model does that has said a text, or made a call: name and arguments."""
        self.answer((completion if self.is_chat else response)(model, text, call))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def text_of(message: Json) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def completion(model: str, text: str | None, call: Json | None) -> Json:
    message: Json = {"role": "assistant", "content": text}
    if call is not None:
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": model, "choices": [choice], "usage": usage}


def response(model: str, text: str | None, call: Json | None) -> Json:
    content = [{"type": "output_text", "text": text or "", "annotations": []}]
    item: Json = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
    if call is not None:
        item = {"type": "function_call", "id": "f", "call_id": "call_1", "status": "completed", **call}
    fields = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "status": "completed"}
    return {"id": "r", "object": "response", "created_at": 0.0, "model": model, "output": [item], **fields}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has given up is no error."""


@contextmanager
def serve(endpoint: type[Endpoint]) -> Iterator[tuple[str, list[Json]]]:
    """Serve a stand-in on a free port: its base URL, and the calls that it gets."""
    calls: list[Json] = []
    with Server(("127.0.0.1", 0), type("OwnEndpoint", (endpoint,), {"calls": calls})) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", calls
        finally:
            server.shutdown()


def run(endpoint: type[Endpoint], port: int, log_path: str | None) -> None:
    """Serve a stand-in until the process ends."""
    endpoint.log_path = log_path
    Server(("127.0.0.1", port), endpoint).serve_forever()
