"""A stand-in for the models and gateways that answer oddly: each answer breaks a rule or two of its API.

It speaks the Responses API and Chat Completions. What each answer was is in the log, so that a test can say that all of
it has been met. One conversation in twelve is answered with the same failure however often it is asked again.

    python standins/odd_model.py PORT FOLDER_OF_ENVIRONMENT LOG_FILE [TOOL,TOOL]

With tools named, it calls no others.
"""

import json
import random
import sys
import time
import uuid
from collections.abc import Callable
from email.utils import formatdate
from threading import Lock
from typing import Any, ClassVar
from zlib import crc32

from standin_model import Handler, serve

Json = dict[str, Any]
PAGE = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
HALF = "\ud83d"
SAID = "the provider says why"

Http = tuple[int, dict[str, str], str]
"""Status, headers and body of an answer."""


def error(status: int, message: Any, **headers: str) -> Http:
    return status, headers, json.dumps({"error": message})


FAILURES: dict[str, Callable[[], Http]] = {
    "429 in seconds": lambda: error(429, {"message": SAID}, **{"Retry-After": "1"}),
    "429 at a date": lambda: error(429, {"message": SAID}, **{"Retry-After": formatdate(time.time() + 1, usegmt=True)}),
    "500": lambda: error(500, {"message": SAID}),
    "502 page": lambda: (502, {"Content-Type": "text/html"}, PAGE),
    "400": lambda: error(400, {"message": SAID, "type": "invalid_request_error"}),
    "error text": lambda: error(503, SAID),
    "200 with an error": lambda: error(200, {"message": SAID, "code": 502}),
    "200 with a page": lambda: (200, {"Content-Type": "text/html"}, PAGE),
    "200 with nothing": lambda: (200, {}, ""),
    "200 with a list": lambda: (200, {}, "[]"),
    "no choices": lambda: (200, {}, json.dumps({"choices": None, "output": None, "object": "error", "message": SAID})),
    "cut in the middle": lambda: (200, {"Content-Length": "5000"}, '{"output": [{"type": "mess'),
}
"""What comes in place of an answer."""


def arguments(value: Any) -> Callable[[Json], None]:
    """Break the arguments of the call; `value` makes the broken ones of the right ones."""

    def odd(answer: Json) -> None:
        if "call" in answer:
            answer["call"]["arguments"] = value(answer["call"]["arguments"]) if callable(value) else value

    return odd


def put(**fields: Any) -> Callable[[Json], None]:
    return lambda answer: answer.update(fields)


def drop_ids(answer: Json) -> None:
    answer["ids"] = {}


ODDITIES: dict[str, Callable[[Json], None]] = {
    "arguments null": arguments(None),
    "arguments an object": arguments(json.loads),
    "arguments empty": arguments(""),
    "arguments NaN": arguments('{"word": NaN}'),
    "arguments encoded twice": arguments(json.dumps),
    "arguments cut off": arguments(lambda right: right[:-2]),
    "arguments a list": arguments("[1, 2]"),
    "arguments with a huge number": arguments('{"word": ' + "9" * 5000 + "}"),
    "arguments with half a character": arguments(lambda right: right.replace("crane", "\\ud83d")),
    "arguments behind a mark": arguments(lambda right: "\ufeff" + right),
    "no ids": drop_ids,
    "ids null": put(ids=dict.fromkeys(("id", "call_id"))),
    "the same id again": put(ids={"id": "call_0", "call_id": "call_0"}),
    "content null": put(content=None),
    "content a list": put(content=[{"type": "text", "text": "So."}, "And so.", {"type": "text", "text": None}]),
    "content with half a character": put(content=f"naïve {HALF}"),
    "cut off": put(finish="length"),
    "reasoning": put(reasoning="I think."),
    "no usage": put(usage=None),
    "a search of its own": put(search=True),
    "an unknown tool": lambda answer: answer["call"].update(name="verify") if "call" in answer else None,
    "a stream": put(stream=True),
}
"""What an answer may have wrong with it; several may come together."""


def plain_answer(tools: list[Json], wanted: list[str], played: int) -> Json:
    """A right answer: a call, or a sentence after a few of them."""
    answer: Json = {"content": "So.", "ids": {"id": uuid.uuid4().hex, "call_id": uuid.uuid4().hex}, "usage": {}}
    tools = [tool for tool in tools if not wanted or tool["name"] in wanted]
    if tools and played < 3:
        tool = random.choice(tools)
        values = {name: value_of(field) for name, field in tool["parameters"].get("properties", {}).items()}
        answer["call"] = {"name": tool["name"], "arguments": json.dumps(values)}
    return answer


def value_of(field: Json) -> Any:
    if "enum" in field:
        return field["enum"][-1]
    return {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}.get(field.get("type", ""), "crane")


def as_response(answer: Json) -> Json:
    output: list[Json] = []
    if "reasoning" in answer:
        summary = [{"type": "summary_text", "text": answer["reasoning"]}]
        output.append({"type": "reasoning", "id": f"rs_{uuid.uuid4().hex}", "summary": summary})
    if "search" in answer:
        output.append({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": SEARCH})
    content = answer["content"]
    if isinstance(content, str):
        content = [{"type": "output_text", "text": content, "annotations": []}]
    if "call" in answer:
        output.append({"type": "function_call", **answer["ids"], **answer["call"], "status": None})
    else:
        output.append({"type": "message", "role": "assistant", **answer["ids"], "content": content})
    body = {"id": "resp", "object": "response", "created_at": 0.0, "model": "odd", "output": output}
    body |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "usage": None, "status": "completed"}
    if "finish" in answer:
        body |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return body


SEARCH = {"type": "search", "query": "crane"}


def as_completion(answer: Json) -> Json:
    said: Json = {"role": "assistant", "content": answer["content"]}
    if "reasoning" in answer:
        said["reasoning_content"] = answer["reasoning"]
    if "call" in answer:
        ids = {key: value for key, value in answer["ids"].items() if key == "id"}
        said["tool_calls"] = [{**ids, "type": "function", "function": answer["call"]}]
    finish = answer.get("finish", "tool_calls" if "call" in answer else "stop")
    body: Json = {"id": "chat", "object": "chat.completion", "created": 0, "model": "odd"}
    body["choices"] = [{"index": 0, "message": said, "finish_reason": finish, "logprobs": None}]
    if answer["usage"] is not None:
        body["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return body


def as_stream(body: Json) -> str:
    """The same answer as an event stream, which nobody has asked for."""
    if "output" in body:
        events: list[Json] = [{"type": "response.created"}, {"type": "response.completed", "response": body}]
    else:
        choice = body["choices"][0]
        said = {**choice["message"], "tool_calls": [{**c, "index": 0} for c in choice["message"].get("tool_calls", [])]}
        events = [
            {"choices": [{"delta": said}]},
            {"choices": [{"delta": {}, "finish_reason": choice["finish_reason"]}]},
        ]
    return ": waiting\n\n" + "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


class OddHandler(Handler):
    """The endpoint."""

    wanted: ClassVar[list[str]] = sys.argv[4].split(",") if len(sys.argv) > 4 else []
    count: ClassVar[int] = 0
    reasoned: ClassVar[dict[str, str]] = {}
    counting: ClassVar[Lock] = Lock()

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        chat = self.path.endswith("/chat/completions")
        history = body["messages"] if chat else body["input"]
        with self.counting:
            number = OddHandler.count
            OddHandler.count += 1
        # The same conversation always fails in the same way.
        hopeless = crc32(raw) % 12 == 0
        names: list[str]
        if self.forgotten(chat, history):
            names, http = ["reasoning forgotten"], error(400, {"message": "the reasoning must be passed back"})
        elif hopeless or number % 5 == 0:
            names = [list(FAILURES)[(crc32(raw) // 12 if hopeless else number // 5) % len(FAILURES)]]
            http = FAILURES[names[0]]()
        else:
            names, http = self.odd_answer(chat, body, history, number)
        with self.lock, open(self.log_path, "a") as log:
            log.write(json.dumps({"path": self.path, "odd": names, "hopeless": hopeless}) + "\n")
        self.send(*http)

    def odd_answer(self, chat: bool, body: Json, history: list[Json], number: int) -> tuple[list[str], Http]:
        tools = [tool["function"] if chat else tool for tool in body.get("tools", [])]
        answered = sum(item.get("role") == "tool" or item.get("type") == "function_call_output" for item in history)
        answer = plain_answer(tools, self.wanted, answered)
        chosen = [list(ODDITIES)[number % len(ODDITIES)], *random.sample(list(ODDITIES), random.choice((0, 0, 1, 2)))]
        # Of each kind (arguments, content, ...) one: two would undo each other.
        names = list({name.split()[0]: name for name in reversed(chosen)}.values())
        for name in names:
            ODDITIES[name](answer)
        if "reasoning" in answer:
            answer["reasoning"] = f"I think: {uuid.uuid4().hex}."
            call_id = answer["ids"].get("id" if chat else "call_id")
            if "call" in answer and call_id and call_id != "call_0":
                self.reasoned[call_id] = answer["reasoning"]
        made = as_completion(answer) if chat else as_response(answer)
        if "stream" in answer:
            return names, (200, {"Content-Type": "text/event-stream"}, as_stream(made))
        return names, (200, {}, json.dumps(made))

    def forgotten(self, chat: bool, history: list[Json]) -> bool:
        """Whether a call of ours comes back without the reasoning before it, which some endpoints refuse."""
        if chat:
            calls = [(call["id"], item) for item in history for call in item.get("tool_calls") or []]
            return any(
                self.reasoned.get(name) != item.get("reasoning_content")
                for name, item in calls
                if name in self.reasoned
            )
        texts = {part["text"] for item in history if item.get("type") == "reasoning" for part in item["summary"]}
        calls = [item["call_id"] for item in history if item.get("type") == "function_call"]
        return any(self.reasoned[name] not in texts for name in calls if name in self.reasoned)

    def send(self, status: int, headers: dict[str, str], text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        if headers.get("Content-Length"):
            self.close_connection = True


if __name__ == "__main__":
    serve(OddHandler)
