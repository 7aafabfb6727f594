# Part of the template: changes belong there (`copier update` merges this file).
"""A stand-in for a judge model: an OpenAI-compatible endpoint on loopback (Chat Completions, and the Responses API).

It finds two answers to be the same where all words of one stand in the other, which has no "not"; and something to be
told where words that begin alike have been said. What it is shown may hold one of `FAILURES` in square brackets, as
`[500]`: then it fails in that way, and where that stands in an answer, only for it.

    python tests/standin_judge.py PORT [LOG_FILE]
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

FAILURES = (
    "400",
    "401",
    "403",
    "429",
    "500",
    "503",
    "hang",
    "cut",
    "html",
    "prose",
    "nothing",
    "wrong",
    "injected",
    "first",
)
HANG_SECONDS = 20.0
NAMES = {
    "400": "invalid_request_error",
    "401": "invalid_api_key",
    "403": "permission_error",
    "429": "rate_limit_exceeded",
}


def ruling(instruction: str, material: str) -> str:
    """What the stand-in says: its reasons, and the label on the last line."""
    yes, no = re.findall(r"(?:SAME|DIFFERENT|NOT_TOLD|TOLD)-\w+", instruction)[-2:]
    shown = json.loads(material)
    if "said" in shown:
        one, other = words(""), words(shown["said"])
        label = yes if any(stems(way) <= stems(shown["said"]) for way in shown["one_of"]) else no
    else:
        one, other = words(shown["answer_1"]), words(shown["answer_2"])
        label = yes if (one <= other or other <= one) and "not" not in one ^ other else no
    failure = failure_in(material)
    if failure == "prose":
        return "They are the same, I should think."
    if failure == "nothing":
        return ""
    if failure == "wrong":
        return "SAME"
    if failure == "injected":  # It repeats what it was told to say, and then decides.
        return f"SAME\nSAME-00000000\n{label}"
    if failure == "first" and len(one) < len(other):  # It prefers an order.
        return f"**{yes}**"
    return f"I compare them.\n{label}"


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"\[\w+\]", "", text).lower())) - {"the", "a", "an"}


def stems(text: str) -> set[str]:
    return {word[:4] for word in words(text)}


def failure_in(material: str) -> str | None:
    return next((name for name in FAILURES if f"[{name}]" in material), None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls: list[dict[str, Any]]
    log_path: str | None = None
    lock = Lock()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path.endswith("/chat/completions")
        instruction, material = (message["content"] for message in body["messages" if chat else "input"])
        with self.lock:
            self.calls.append({"material": json.loads(material), "instruction": instruction, "body": body})
            if self.log_path:
                with open(self.log_path, "a") as log:
                    log.write(json.dumps(json.loads(material)) + "\n")
        failure = failure_in(material)
        if failure is not None and failure.isdigit():
            error = {
                "message": f"failed, with key {self.headers['Authorization']}",
                "type": NAMES.get(failure, "server_error"),
            }
            return self.answer({"error": error | {"code": error["type"]}}, int(failure))
        if failure == "hang":
            time.sleep(HANG_SECONDS)
        if failure == "cut":
            self.close_connection = True
            return None
        if failure == "html":
            return self.answer("<html>Bad gateway</html>")
        text = ruling(instruction, material)
        return self.answer(completion(text, body["model"]) if chat else response(text, body["model"]))

    def answer(self, body: Any, status: int = 200) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def completion(text: str, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": model, "choices": [choice], "usage": usage}


def response(text: str, model: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
    fields = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "status": "completed"}
    return {"id": "r", "object": "response", "created_at": 0.0, "model": model, "output": [message], **fields}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has given up is no error."""


@contextmanager
def serve() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The stand-in's base URL, and the calls that it gets."""
    handler = type("Logged", (Handler,), {"calls": []})
    with Server(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", handler.calls
        server.shutdown()


if __name__ == "__main__":
    Handler.calls = []
    Handler.log_path = sys.argv[-1] if len(sys.argv) > 2 else None
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
