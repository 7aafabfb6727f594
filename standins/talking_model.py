"""A stand-in for a language model that serves the customers of a conversation environment by the rows' solutions.

It asks first, and knows by what the user answers which row it is. Some rows it gives up after that (`gives_up`). Its
tokens are the bytes of a chat template, for a training run to look at: `/tokenize`, and an answer's log probabilities.

    python standins/talking_model.py PORT FOLDER_OF_ENVIRONMENT LOG_FILE
"""

import json
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

from standin_model import Handler, Row, serve, text_of

GIVES_UP = "I am sorry, I do not know what to do."


def gives_up(row: Row) -> bool:
    """Whether the stand-in only talks in this row."""
    return crc32(row["task_id"].encode()) % 3 == 1


@cache
def all_rows(folder: str) -> list[Row]:
    paths = sorted(Path(folder, "data").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]


def next_move(folder: str, heard: list[str], moves: int) -> Any:
    """A text to say, or a call, after so many moves and what the user has said."""
    rows = [row for row in all_rows(folder) if row["user"]["opening"] == heard[0]]
    known = [row for row in rows if any(row["user"]["facts"]["order"] in text for text in heard)]
    row = (known or rows)[0]
    oracle: list[Any] = row["oracle"]
    if (moves and gives_up(row)) or moves >= len(oracle):
        return GIVES_UP
    return oracle[moves]


def rendered(message: dict[str, Any]) -> str:
    """A message as the chat template has it."""
    if message["role"] != "assistant":
        return f"<{message['role']}>{text_of(message['content'] or '')}</>"
    return f"<assistant>{answer_text(message)}"


def answer_text(message: dict[str, Any]) -> str:
    calls = [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or []
    ]
    return f"{text_of(message.get('content') or '')}{json.dumps(calls) if calls else ''}</>"


def prompt_tokens(messages: list[dict[str, Any]]) -> list[int]:
    return list("".join([*map(rendered, messages), "<assistant>"]).encode())


class TalkingHandler(Handler):
    def do_POST(self) -> None:
        if not self.path.endswith("/tokenize"):
            return super().do_POST()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tokens = prompt_tokens(body["messages"])
        return self.answer({"count": len(tokens), "max_model_len": 100_000, "tokens": tokens})

    def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        items = body["input"]
        messages = [item for item in items if item.get("role") in ("user", "assistant")]
        heard = [text_of(item["content"]) for item in messages if item["role"] == "user"]
        moves = sum(item["role"] == "assistant" for item in messages)
        moves += sum(item.get("type") == "function_call" for item in items)
        move = next_move(self.folder, heard, moves)
        said, call = ([move], None) if isinstance(move, str) else ([], move)
        self.turn = lambda *_: (said, call)
        return super().respond(body)

    def respond_in_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = body["messages"]
        heard = [text_of(message["content"]) for message in messages if message["role"] == "user"]
        move = next_move(self.folder, heard, sum(message["role"] == "assistant" for message in messages))
        said, call = ([move], None) if isinstance(move, str) else ([], move)
        self.turn = lambda *_: (said, call)
        made = super().respond_in_chat(body)
        choice = made["choices"][0]
        if body.get("logprobs"):
            tokens = answer_text(choice["message"]).encode()
            choice["logprobs"] = {
                "content": [
                    {"token": f"token_id:{token}", "logprob": -0.5, "bytes": None, "top_logprobs": []}
                    for token in tokens
                ]
            }
        return made


if __name__ == "__main__":
    serve(TalkingHandler)
