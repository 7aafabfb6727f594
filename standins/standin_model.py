"""A stand-in for a language model: an OpenAI-compatible endpoint on loopback that plays by the environment's policy.py.

It speaks the Responses API and Chat Completions, so that NeMo Gym's real openai_model and vllm_model can use it. After
the first answer of a tool it gives up some episodes, so that some deserve 1.0 and others 0.0: `gives_up()` says which.
Where there is a tool `terminate`, it then claims to have done the task.

    python standins/standin_model.py PORT FOLDER_OF_ENVIRONMENT LOG_FILE
"""

import json
import sys
import time
import uuid
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any
from zlib import crc32

Row = dict[str, Any]

Call = tuple[str, dict[str, Any]]
"""`(tool, arguments)`"""

CLAIM = ("terminate", {"status": "success", "answer": ""})
DONE = "Done."


def gives_up(prompt: str, first_output: str = "") -> bool:
    """Whether the stand-in plays no further after the first answer of a tool: one time in three, by chance.

    Where there are no tools, it is whether it gives up instead of answering.
    """
    return crc32((prompt + first_output).encode()) % 3 == 1


def next_turn(folder: str, prompt: str, outputs: list[str], tools: list[str]) -> tuple[list[str], Call | None]:
    """What is said, and the call if there is one, after the calls that had these outputs."""
    if len(outputs) == 1 and gives_up(prompt, outputs[0]):
        return ([], CLAIM) if CLAIM[0] in tools else ([DONE], None)
    if not tools and gives_up(prompt):
        return [DONE], None
    moves = import_module("policy").play(rows_by_prompt(folder)[prompt])
    left = list(outputs)
    said: list[str] = []
    reply = None
    while True:
        try:
            move = moves.send(reply)
        except StopIteration:
            return said or [DONE], None
        if isinstance(move, str):
            said.append(move)
            reply = ""
        elif left:
            reply = json.loads(left.pop(0))["output"]
            said = []
        else:
            return said, move


@cache
def rows_by_prompt(folder: str) -> dict[str, Row]:
    """The environment's data rows; of those with the same prompt, that of the example split.

    Rows of a game share one prompt: its player learns only from the answers.
    """
    paths = sorted(Path(folder, "data").glob("*.jsonl"), key=lambda path: path.stem == "example")
    lines = [line for path in paths for line in path.read_text("utf-8").splitlines()]
    rows = [json.loads(line) for line in lines]
    return {text_of(row["responses_create_params"]["input"][-1]["content"]): row for row in rows}


def text_of(content: Any) -> str:
    """The text of a message or of a tool's output, in each of the forms that it has on its way."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


class Handler(BaseHTTPRequestHandler):
    """The endpoint: `/v1/models`, `/v1/responses`, `/v1/chat/completions`."""

    protocol_version = "HTTP/1.1"
    folder: str
    log_path: str
    lock = Lock()
    turn = staticmethod(next_turn)
    """What is said, and the call: another model has another."""

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "standin", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock, open(self.log_path, "a") as log:
            log.write(json.dumps({"path": self.path, "body": body}) + "\n")
        if self.path.endswith("/chat/completions"):
            answer = self.respond_in_chat(body)
            self.stream(chunks(answer)) if body.get("stream") else self.answer(answer)
        elif self.path.endswith("/responses"):
            self.answer(self.respond(body))
        else:
            self.answer({"error": {"message": f"no {self.path} here"}}, 404)

    def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        items = body["input"]
        prompt = next(text_of(item["content"]) for item in items if item.get("role") == "user")
        outputs = [text_of(item["output"]) for item in items if item.get("type") == "function_call_output"]
        said, call = self.turn(self.folder, prompt, outputs, [tool["name"] for tool in body.get("tools", [])])
        number = uuid.uuid4().hex
        output: list[dict[str, Any]] = []
        for text in said:
            content = [{"type": "output_text", "text": text, "annotations": []}]
            output.append(
                {"type": "message", "id": f"msg_{len(output)}_{number}", "role": "assistant", "content": content}
            )
        if call is not None:
            ids = {"id": f"fc_{number}", "call_id": f"call_{number}"}
            output.append({"type": "function_call", **ids, "name": call[0], "arguments": json.dumps(call[1])})
        return {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": time.time(),
            "model": body["model"],
            "status": "completed",
            "output": [item | {"status": "completed"} for item in output],
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

    def respond_in_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = body["messages"]
        prompt = next(text_of(message["content"]) for message in messages if message["role"] == "user")
        outputs = [text_of(message["content"]) for message in messages if message["role"] == "tool"]
        tools = [tool["function"]["name"] for tool in body.get("tools", [])]
        said, call = self.turn(self.folder, prompt, outputs, tools)
        number = uuid.uuid4().hex
        answer: dict[str, Any] = {"role": "assistant", "content": said[-1] if said else None}
        if call is not None:
            function = {"name": call[0], "arguments": json.dumps(call[1])}
            answer["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
        return {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": answer,
                    "finish_reason": "stop" if call is None else "tool_calls",
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }

    def stream(self, events: list[dict[str, Any]]) -> None:
        data = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data.encode())))
        self.end_headers()
        self.wfile.write(data.encode())

    def answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the log file has it all."""


def chunks(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A chat completion as the events of a stream: the message, why it ends, what it took."""
    head = {name: answer[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    (choice,) = answer["choices"]
    calls = [{"index": number, **call} for number, call in enumerate(choice["message"].get("tool_calls", []))]
    delta = choice["message"] | ({"tool_calls": calls} if calls else {})
    return [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        head | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        head | {"choices": [], "usage": answer["usage"]},
    ]


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def serve(handler: type[Handler]) -> None:
    """Serve a model as the command line says."""
    handler.folder, handler.log_path = sys.argv[2], sys.argv[3]
    # The domain and the player can be lifted out of the environment: they import nothing of NeMo Gym's.
    sys.path.insert(0, handler.folder)
    Server(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()


if __name__ == "__main__":
    serve(Handler)
