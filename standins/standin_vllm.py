"""A stand-in for vLLM: serves a model from a folder with its OpenAI endpoint, token ids included.

    python standin_vllm.py PORT MODEL_FOLDER LOG

Run in the virtual environment of an environment's train/. `/v1/chat/completions` (streamed too), `/tokenize` and
`/v1/models` answer as vLLM does, as far as NeMo Gym's model server, rollout.py and verifiers ask.
"""

import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from transformers import AutoModelForCausalLM, AutoTokenizer

MOST_TOKENS = 100
"""Of one answer."""


class Model:
    """The model, which answers one request after the other."""

    def __init__(self, folder: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.lock = threading.Lock()

    def tokens(self, body: dict[str, Any]) -> list[int]:
        """The tokens of a prompt. What the model has made stays as it was made, where its tokens come along.

        So does NeMo RL's endpoint: a text that is taken apart again need not give the tokens that it was made of.
        """
        messages = [{**each, "content": text_of(each.get("content"))} for each in body["messages"]]
        more = {"tools": body.get("tools") or None, "return_dict": False}
        add = body.get("add_generation_prompt", True)
        made = self.tokenizer.apply_chat_template(messages, add_generation_prompt=add, **more)
        last = max((number for number, each in enumerate(messages) if each["role"] == "assistant"), default=None)
        if last is None or "generation_token_ids" not in messages[last]:
            return made
        known = [*map(int, messages[last]["prompt_token_ids"] + messages[last]["generation_token_ids"])]
        if known[-1] == self.tokenizer.eos_token_id:
            known.pop()
        before = self.tokenizer.apply_chat_template(messages[: last + 1], **more)
        end = max(number for number, token in enumerate(before) if token == self.tokenizer.eos_token_id)
        return known + made[end:]

    def answer(self, body: dict[str, Any]) -> tuple[list[int], list[int], list[float]]:
        """The tokens of the prompt, those of the answer, and their log-probabilities."""
        prompt = self.tokens(body)
        with self.lock, torch.no_grad():
            made = self.model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=MOST_TOKENS,
                do_sample=True,
                temperature=body.get("temperature") or 1.0,
                top_k=0,
                return_dict_in_generate=True,
                output_logits=True,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        new = made.sequences[0, len(prompt) :].tolist()
        pairs = zip(made.logits, new, strict=True)
        return prompt, new, [torch.log_softmax(logits[0], -1)[token].item() for logits, token in pairs]


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def message_of(tokenizer: Any, new: list[int], prompt: list[int]) -> dict[str, Any]:
    """The message that the tokens of an answer are."""
    try:
        parsed = tokenizer.parse_response(new, prefix=prompt)
    except ValueError:
        parsed = {"content": tokenizer.decode(new, skip_special_tokens=True)}
    message: dict[str, Any] = {"role": "assistant", "content": parsed.get("content") or None}
    calls = [
        {
            "id": f"call_{uuid.uuid4().hex[:8]}",
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"])},
        }
        for call in parsed.get("tool_calls") or []
    ]
    return message | ({"tool_calls": calls} if calls else {})


def completion(model: Model, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request for a chat completion."""
    prompt, new, chances = model.answer(body)
    message = message_of(model.tokenizer, new, prompt)
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None}
    choice["finish_reason"] = "tool_calls" if message.get("tool_calls") else "stop"
    if body.get("logprobs"):
        by_id = body.get("return_tokens_as_token_ids")
        names = [f"token_id:{token}" if by_id else model.tokenizer.decode([token]) for token in new]
        content = [
            {"token": name, "logprob": chance, "bytes": None, "top_logprobs": []}
            for name, chance in zip(names, chances, strict=True)
        ]
        choice["logprobs"] = {"content": content}
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(new), "total_tokens": len(prompt) + len(new)}
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.get("model", "model")}
    return head | {"object": "chat.completion", "choices": [choice], "usage": usage}


def streamed(whole: dict[str, Any]) -> bytes:
    """A completion as the events of a stream."""
    [choice] = whole["choices"]
    base = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    calls = [{**call, "index": number} for number, call in enumerate(choice["message"].get("tool_calls") or [])]
    delta = choice["message"] | ({"tool_calls": calls} if calls else {})
    chunks = [
        base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        base | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        base | {"choices": [], "usage": whole["usage"]},
    ]
    return ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n").encode()


def handler(model: Model, log: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def send(self, data: bytes, kind: str = "application/json", status: int = 200) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.send(json.dumps({"object": "list", "data": [{"id": "model", "object": "model"}]}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with open(log, "a") as file:
                file.write(json.dumps({"path": self.path, **body}) + "\n")
            if self.path.endswith("/tokenize"):
                tokens = model.tokens(body)
                self.send(json.dumps({"count": len(tokens), "max_model_len": 1024, "tokens": tokens}).encode())
            elif self.path.endswith("/chat/completions"):
                whole = completion(model, body)
                if body.get("stream"):
                    self.send(streamed(whole), "text/event-stream")
                else:
                    self.send(json.dumps(whole).encode())
            else:
                self.send(b'{"error": {"message": "not here"}}', status=404)

    return Handler


if __name__ == "__main__":
    torch.set_num_threads(1)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler(Model(sys.argv[2]), sys.argv[3])).serve_forever()
