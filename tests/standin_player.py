"""A stand-in for a vision model: an OpenAI-compatible endpoint on loopback that plays by the environment's policy.py.

It finds the data row by the prompt, replays the policy up to where the conversation stands, and answers with the next
call, over the Responses API and Chat Completions. Every third row of the split it only claims to have done.

    python standin_player.py PORT FOLDER_OF_THE_ENVIRONMENT SPLIT LOG_FILE
"""

import json
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

Call = tuple[str, dict[str, Any]]

CLAIM: Call = ("terminate", {"status": "success", "answer": ""})


def only_claims(number: int) -> bool:
    """Whether the row of this number in the split is one that the stand-in does not work on."""
    return number % 3 == 2


class Player:
    """Knows the rows of a split, and what to do next in each."""

    def __init__(self, folder: Path, split: str) -> None:
        sys.path.insert(0, str(folder))
        from policy import play

        self.play = play
        self.rows: dict[str, tuple[int, dict[str, Any]]] = {}
        for number, line in enumerate((folder / "data" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()):
            row = json.loads(line)
            self.rows[row["responses_create_params"]["input"][0]["content"]] = (number, row)

    def next_call(self, prompt: str, outputs: list[str]) -> Call | None:
        """The next call, or None when there is nothing left to do."""
        number, row = self.rows[prompt]
        if only_claims(number):
            return None if outputs else CLAIM
        moves = self.play(row)
        try:
            call = next(moves)
            for output in outputs:
                call = moves.send(json.loads(output)["output"])
        except StopIteration:
            return None
        return call


class Handler(BaseHTTPRequestHandler):
    """The endpoint: `/v1/models`, `/v1/responses`, `/v1/chat/completions`."""

    protocol_version = "HTTP/1.1"
    player: Player
    log_path: str
    lock = Lock()

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "standin", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock, open(self.log_path, "a") as log:
            log.write(json.dumps({"path": self.path, "body": body}) + "\n")
        chat = self.path.endswith("/chat/completions")
        messages = body["messages"] if chat else body["input"]
        outputs = [text_of(m["content"]) for m in messages if m.get("role") == "tool"]
        outputs += [m["output"] for m in messages if m.get("type") == "function_call_output"]
        call = self.player.next_call(text_of(messages[0]["content"]), outputs)
        self.answer(in_chat(body, call) if chat else in_responses(body, call))

    def answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the log file has it all."""


def text_of(content: str | list[dict[str, Any]]) -> str:
    """The text of a message's content."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def in_responses(body: dict[str, Any], call: Call | None) -> dict[str, Any]:
    number = uuid.uuid4().hex
    item: dict[str, Any] = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
    if call is None:
        content = [{"type": "output_text", "text": "Done.", "annotations": []}]
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content}
    else:
        item |= {"name": call[0], "arguments": json.dumps(call[1])}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": time.time(),
        "model": body["model"],
        "status": "completed",
        "output": [item | {"status": "completed"}],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": body.get("tools", []),
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def in_chat(body: dict[str, Any], call: Call | None) -> dict[str, Any]:
    number = uuid.uuid4().hex
    message: dict[str, Any] = {"role": "assistant", "content": "Done." if call is None else None}
    if call is not None:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    reason = "stop" if call is None else "tool_calls"
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    Handler.player, Handler.log_path = Player(Path(sys.argv[2]), sys.argv[3]), sys.argv[4]
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
