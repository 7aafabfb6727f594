"""A stand-in for a language model: an OpenAI-compatible endpoint on loopback that plays Wordle by feedback alone.

It speaks the Responses API and Chat Completions, so that NeMo Gym's real openai_model and vllm_model can use it. It
gives up where its first guess hits nothing in the right place, so that some episodes deserve 1.0 and others 0.0:
`deserved_reward()` says which.

    python standin_model.py PORT FOLDER_OF_WORDLE_PY LOG_FILE
"""

import json
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any


def solver_of_environment(folder: str) -> tuple[Any, Any]:
    """The environment's own solver: the domain module can be lifted out and used elsewhere."""
    sys.path.insert(0, folder)
    import wordle

    return wordle.Solver, wordle.marks_in


def next_guess(folder: str, guesses: list[str], outputs: list[str]) -> str | None:
    """The next guess, or None to give up or stop, from the game so far."""
    solver_class, marks_in = solver_of_environment(folder)
    solver = solver_class()
    for number, (guess, output) in enumerate(zip(guesses, outputs, strict=True)):
        marks = marks_in(json.loads(output)["output"])
        if marks is None or set(marks) == {"🟩"} or (number == 0 and "🟩" not in marks):
            return None
        solver.learn(guess, marks)
    return solver.next_guess() if solver.candidates else None


def deserved_reward(folder: str, secret: str) -> float:
    """What the stand-in earns on a secret word."""
    sys.path.insert(0, folder)
    import wordle

    game = wordle.WordleGame(secret)
    guesses: list[str] = []
    outputs: list[str] = []
    while not game.over and (guess := next_guess(folder, guesses, outputs)) is not None:
        guesses.append(guess)
        outputs.append(json.dumps({"output": game.guess(guess)}))
    return float(game.solved)


class Handler(BaseHTTPRequestHandler):
    """The endpoint: `/v1/models`, `/v1/responses`, `/v1/chat/completions`."""

    protocol_version = "HTTP/1.1"
    folder: str
    log_path: str
    lock = Lock()

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "standin", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock, open(self.log_path, "a") as log:
            log.write(json.dumps({"path": self.path, "body": body}) + "\n")
        if self.path.endswith("/chat/completions"):
            self.answer(self.respond_in_chat(body))
        elif self.path.endswith("/responses"):
            self.answer(self.respond(body))
        else:
            self.answer({"error": {"message": f"no {self.path} here"}}, 404)

    def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        items = body["input"]
        guesses = [json.loads(i["arguments"])["word"] for i in items if i.get("type") == "function_call"]
        outputs = [i["output"] for i in items if i.get("type") == "function_call_output"]
        guess = next_guess(self.folder, guesses, outputs)
        number = uuid.uuid4().hex
        if guess is None:
            content = [{"type": "output_text", "text": "Done.", "annotations": []}]
            item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content}
        else:
            item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "guess"}
            item["arguments"] = json.dumps({"word": guess})
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

    def respond_in_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        guesses, outputs = [], []
        for message in body["messages"]:
            for call in message.get("tool_calls") or []:
                guesses.append(json.loads(call["function"]["arguments"])["word"])
            if message["role"] == "tool":
                content = message["content"]
                outputs.append(content if isinstance(content, str) else content[0]["text"])
        guess = next_guess(self.folder, guesses, outputs)
        number = uuid.uuid4().hex
        answer: dict[str, Any] = {"role": "assistant", "content": "Done." if guess is None else None}
        if guess is not None:
            function = {"name": "guess", "arguments": json.dumps({"word": guess})}
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
                    "finish_reason": "stop" if guess is None else "tool_calls",
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }

    def answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the log file has it all."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    Handler.folder, Handler.log_path = sys.argv[2], sys.argv[3]
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
