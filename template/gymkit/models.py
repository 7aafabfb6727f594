# Part of the template: changes belong there (`copier update` merges this file).
"""A model behind an OpenAI-compatible endpoint: the Responses API, or Chat Completions where there is only that."""

import threading
import time

import openai

from gymkit.client import RolloutError
from gymkit.items import Item, text_of
from gymkit.pictures import has_pictures
from gymkit.replies import BadReply, Reply, arguments_again, clean, error_text, read_reply
from gymkit.waiting import LONGEST_WAIT, seconds_to_wait

MODEL_SECONDS = 600
ATTEMPTS = 4
"""So often a request is made to an endpoint that is busy, fails, or answers what cannot be read."""
NOT_FINAL = frozenset({408, 409, 425, 429, *range(500, 600)}) - {501, 505}
"""What an endpoint answers that may answer otherwise when it is asked again."""


class ModelFailed(RolloutError):
    """The model cannot be reached, or its answer cannot be read."""


class Endpoint:
    """Where a model is asked. All episodes share one.

    Args:
        base_url: As `https://api.openai.com/v1`.
        model: Its name there.
        api_key: Sent as bearer token.
        use_chat: Use Chat Completions; else that is found out where there is no Responses API.
    """

    def __init__(self, base_url: str, model: str, api_key: str, use_chat: bool = False) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self._use_chat = threading.Event()
        if use_chat:
            self._use_chat.set()
        # Each attempt is made here, where Retry-After is obeyed for longer than the client does.
        self._client = openai.OpenAI(base_url=self.base_url, api_key=api_key, max_retries=0, timeout=MODEL_SECONDS)
        self._has_answered = False

    def ask(self, params: Item, items: list[Item], taken: set[str]) -> Reply:
        """The model's next answer.

        Args:
            params: `responses_create_params` of the row, whose input is a list.
            items: What has been said and called since.
            taken: The ids of the calls among them; those of this answer are added.

        Raises:
            ModelFailed: there is none.
        """
        context = params["input"] + items
        if not self._use_chat.is_set():
            try:
                return self._reply(False, {**params, "input": response_items(context)}, len(items), taken)
            except _NotThere:
                self._use_chat.set()
        body: Item = {"messages": chat_messages(context)}
        if params.get("tools"):  # Some endpoints refuse an empty list.
            body["tools"] = [chat_tool(tool) for tool in params["tools"]]
        return self._reply(True, body, len(items), taken)

    def _reply(self, chat: bool, body: Item, number: int, taken: set[str]) -> Reply:
        """Ask until there is an answer that can be read, or no hope."""
        body = clean({**body, "model": self.model})
        problem = ModelFailed("")
        for attempt in range(ATTEMPTS):
            wait = 2.0**attempt
            try:
                answer = self._asked(chat, body)
                self._has_answered = True
                return read_reply(answer, number, taken)
            except BadReply as error:
                problem = ModelFailed(str(error))
            except openai.APITimeoutError:
                problem = ModelFailed(f"The model's endpoint did not answer within {MODEL_SECONDS} s.")
            except openai.APIConnectionError as error:
                if not self._has_answered and type(error.__cause__).__name__ == "ConnectError":
                    raise ModelFailed(f"No model answers at {self.base_url}.") from None
                problem = ModelFailed(f"The connection to {self.base_url} broke: {error.__cause__ or error}")
            except openai.APIStatusError as error:
                status, text = error.status_code, error_text(error.response.text)
                if not chat and status in (404, 405, 501):
                    raise _NotThere from None
                problem = ModelFailed(f"The model's endpoint answered {status}: {text}")
                wait = seconds_to_wait(error.response.headers, wait)
                if status not in NOT_FINAL or wait > LONGEST_WAIT:
                    raise problem from None
                self._has_answered = True
            if attempt + 1 < ATTEMPTS:
                time.sleep(wait)
        raise problem

    def _asked(self, chat: bool, body: Item) -> str:
        """The body of the endpoint's answer. The client's own reading of it is left out: it is strict."""
        if not chat:
            return self._client.responses.with_raw_response.create(extra_body=body).text
        answered = self._client.chat.completions.with_raw_response.create(
            model=self.model, messages=[], extra_body=body
        )
        return answered.text


class _NotThere(Exception):
    """The endpoint has no Responses API."""


class Model:
    """A policy that asks a model.

    Args:
        endpoint: Where it is asked.
        params: `responses_create_params` of the row.
    """

    def __init__(self, endpoint: Endpoint, params: Item) -> None:
        self.model = endpoint.model
        self._endpoint = endpoint
        self._params = params
        self._call_ids: set[str] = set()

    def next_items(self, items: list[Item]) -> list[Item]:
        return self._endpoint.ask(self._params, items, self._call_ids).items


def response_items(items: list[Item]) -> list[Item]:
    """Items as the Responses API takes them back."""
    return [
        {**item, "arguments": arguments_again(item["arguments"])} if item.get("type") == "function_call" else item
        for item in items
    ]


def chat_tool(tool: Item) -> Item:
    """A Responses API function tool in the form of Chat Completions."""
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def chat_messages(items: list[Item]) -> list[Item]:
    """Responses API items as Chat Completions messages. Reasoning goes back with the turn that it belongs to."""
    messages: list[Item] = []
    thought: Item = {}
    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning":
            texts = [part.get("text", "") for part in item.get("summary", [])]
            thought = {item.get("key", "reasoning_content"): "".join(texts)}
        elif kind == "function_call":
            call = {"name": item["name"], "arguments": arguments_again(item["arguments"])}
            if not messages or messages[-1]["role"] != "assistant" or thought:
                messages.append({"role": "assistant", "content": None, **thought})
                thought = {}
            calls = messages[-1].setdefault("tool_calls", [])
            calls.append({"id": item["call_id"], "type": "function", "function": call})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        elif kind == "message":
            content = _chat_parts(item["content"]) if has_pictures(item) else text_of(item)
            messages.append({"role": item["role"], "content": content})
            if item["role"] == "assistant":
                messages[-1] |= thought
                thought = {}
    return messages


def _chat_parts(content: list[Item]) -> list[Item]:
    """The text and the pictures of a message in the form of Chat Completions."""
    return [
        {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail", "auto")}}
        if part["type"] == "input_image"
        else {"type": "text", "text": part.get("text", "")}
        for part in content
    ]
