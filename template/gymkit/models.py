# Part of the template: changes belong there (`copier update` merges this file).
"""A model behind an OpenAI-compatible endpoint: the Responses API, or Chat Completions where there is only that."""

import threading
import time

import requests

from gymkit.client import RolloutError
from gymkit.items import Item, function_call, message, text_of
from gymkit.pictures import has_pictures

MODEL_SECONDS = 600


class Model:
    """A policy that asks a model.

    Args:
        base_url: Of the endpoint, as `https://api.openai.com/v1`.
        model: Its name there.
        api_key: Sent as bearer token.
        params: `responses_create_params` of the row.
        use_chat: Set where the endpoint has no Responses API. It is set here when that is found out.
    """

    def __init__(self, base_url: str, model: str, api_key: str, params: Item, use_chat: threading.Event) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.params = params
        self.use_chat = use_chat
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {api_key}"

    def next_items(self, items: list[Item]) -> list[Item]:
        if not self.use_chat.is_set():
            body = {**self.params, "model": self.model, "input": self.params["input"] + items}
            response = self._post("/responses", body)
            if response.status_code not in (404, 405, 501):
                return self._checked(response)["output"]
            self.use_chat.set()
        body = {"model": self.model, "messages": chat_messages(self.params["input"] + items)}
        if self.params.get("tools"):  # Some endpoints refuse an empty list.
            body["tools"] = [chat_tool(tool) for tool in self.params["tools"]]
        choice = self._checked(self._post("/chat/completions", body))["choices"][0]["message"]
        output: list[Item] = []
        if choice.get("content"):
            output.append(message(len(items), choice["content"]))
        for call in choice.get("tool_calls") or []:
            function = call["function"]
            number = len(items) + len(output)
            output.append(function_call(number, function["name"], function["arguments"], call["id"]))
        return output

    def _post(self, path: str, body: Item) -> requests.Response:
        attempt = 0
        while True:
            try:
                response = self.http.post(f"{self.base_url}{path}", json=body, timeout=MODEL_SECONDS)
            except requests.ConnectionError:
                raise RolloutError(f"No model answers at {self.base_url}.") from None
            except requests.RequestException as error:
                raise RolloutError(f"{self.base_url}: {error}") from None
            if response.status_code not in (429, 500, 502, 503) or attempt == 4:
                return response
            time.sleep(2**attempt)
            attempt += 1

    def _checked(self, response: requests.Response) -> Item:
        if not response.ok:
            raise RolloutError(f"The model's endpoint answered {response.status_code}: {response.text[:500]}")
        return response.json()


def chat_tool(tool: Item) -> Item:
    """A Responses API function tool in the form of Chat Completions."""
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def chat_messages(items: list[Item]) -> list[Item]:
    """Responses API items as Chat Completions messages."""
    messages: list[Item] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            call = {"name": item["name"], "arguments": item["arguments"]}
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            calls = messages[-1].setdefault("tool_calls", [])
            calls.append({"id": item["call_id"], "type": "function", "function": call})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        elif kind == "message":
            content = _chat_parts(item["content"]) if has_pictures(item) else text_of(item)
            messages.append({"role": item["role"], "content": content})
    return messages


def _chat_parts(content: list[Item]) -> list[Item]:
    """The text and the pictures of a message in the form of Chat Completions."""
    return [
        {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail", "auto")}}
        if part["type"] == "input_image"
        else {"type": "text", "text": part.get("text", "")}
        for part in content
    ]
