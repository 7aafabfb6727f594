# Part of the template: changes belong there (`copier update` merges this file).
"""A second model, which the environment asks: as a judge, or as a user. How it is reached, and what its failures are.

Under NeMo Gym it is a model server; standing alone, an endpoint (Chat Completions) that variables name.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

import openai

__all__ = ["Model", "Unavailable", "Unusable", "second_model", "status_behind", "text_in"]

UNAVAILABLE = {401, 403, 429}
"""Statuses, besides 5xx, that are not caused by what the model is shown."""


class Unavailable(Exception):
    """The model cannot be reached, whatever it is shown. `final`: nor will it be when it is asked again at once."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason[:500])
        self.final = final


class Unusable(Exception):
    """The model has refused what it was shown, or its reply is of no use."""


class Model(Protocol):
    async def say(self, instruction: str, material: str) -> str:
        """The model's reply.

        Raises:
            Unavailable, Unusable: there is none.
        """
        ...


def second_model(name: str, server: str | None, params: Mapping[str, Any], server_client: Any) -> Model:
    """How a model is reached.

    Args:
        name: What it is, as `judge`: the variables `JUDGE_BASE_URL`, `JUDGE_MODEL` and `JUDGE_API_KEY` go first.
        server: The name of its model server under NeMo Gym.
        params: Of a Responses API call.
        server_client: NeMo Gym's, by which model servers are reached.
    """
    url = os.environ.get(f"{name.upper()}_BASE_URL")
    if url:
        return _Endpoint(name, url, params)
    if server is not None and server in server_client.global_config_dict:
        return _ModelServer(server_client, server, params)
    return _Nobody(name)


class _Nobody:
    """None is configured."""

    def __init__(self, name: str) -> None:
        self._variables = f"{name.upper()}_BASE_URL and {name.upper()}_MODEL"

    async def say(self, instruction: str, material: str) -> str:
        raise Unavailable(f"none is configured ({self._variables} name one)", final=True)


class _Endpoint:
    """An OpenAI-compatible endpoint, by Chat Completions.

    Args:
        name: Of its variables.
        url: Its base URL, which mostly ends with `/v1`.
        params: Of a Responses API call.
    """

    def __init__(self, name: str, url: str, params: Mapping[str, Any]) -> None:
        key = os.environ.get(f"{name.upper()}_API_KEY") or "none"
        self._client = openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0)
        self._completions = self._client.chat.completions  # This takes a while the first time, and no call's time.
        names = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_completion_tokens"}
        self._params = {names[name]: value for name, value in params.items() if name in names and value is not None}
        self._name = os.environ.get(f"{name.upper()}_MODEL") or name

    async def say(self, instruction: str, material: str) -> str:
        try:
            made = await self._completions.create(
                model=self._name,
                messages=[{"role": "system", "content": instruction}, {"role": "user", "content": material}],
                **self._params,
            )
            return made.choices[0].message.content or ""
        except openai.APIStatusError as error:
            raise _by_status(error.status_code, self._without_key(error.message)) from None
        except openai.APIConnectionError as error:
            raise Unavailable(self._without_key(f"{type(error).__name__}: {error.__cause__ or error}")) from None
        except (openai.OpenAIError, AttributeError, IndexError, TypeError) as error:
            raise Unusable(f"no completion: {type(error).__name__}") from None

    def _without_key(self, text: str) -> str:
        """An error's text goes into rollouts: the key may not."""
        return text.replace(self._client.api_key, "***")


class _ModelServer:
    """A model server of NeMo Gym, by its own client."""

    def __init__(self, server_client: Any, server: str, params: Mapping[str, Any]) -> None:
        self._client = server_client
        self._name = server
        self._params = {name: value for name, value in params.items() if name != "input"}

    async def say(self, instruction: str, material: str) -> str:
        messages = [
            {"type": "message", "role": "system", "content": instruction},
            {"type": "message", "role": "user", "content": material},
        ]
        try:
            response = await self._client.post(
                server_name=self._name, url_path="/v1/responses", json={**self._params, "input": messages}
            )
            body = await response.read()
        except TimeoutError:
            raise
        except Exception as error:  # aiohttp's, and those of a server whose address is not known yet
            raise Unavailable(f"{type(error).__name__}: {error}") from None
        if response.status != 200:
            text = body.decode(errors="replace")
            raise _by_status(status_behind(response.status, text), text)
        try:
            said = [item for item in json.loads(body)["output"] if item["type"] == "message"]
            return text_in(said[-1]["content"]) if said else ""
        except (ValueError, LookupError, TypeError) as error:
            raise Unusable(f"no response: {type(error).__name__}") from None


def _by_status(status: int | None, text: str) -> Exception:
    """The error of a status; None where it is not known."""
    if status is not None and (status >= 500 or status in UNAVAILABLE):
        return Unavailable(f"status {status}: {text}", final=status in (401, 403))
    return Unusable(f"status {status or 'unknown'}: {text}"[:500])


STATUS_OF_TYPE = {
    "authentication": 401,
    "invalid_api_key": 401,
    "permission": 403,
    "rate_limit": 429,
    "ratelimit": 429,
    "quota": 429,
    "server_error": 500,
    "servererror": 500,
    "api_error": 500,
    "overloaded": 503,
    "invalid_request": 400,
    "badrequest": 400,
}


def status_behind(status: int, text: str) -> int | None:
    """The status of the endpoint behind a model server of NeMo Gym, which answers 500 whatever that one has said, and
    has its body in the text; None where it cannot be told."""
    if status != 500:
        return status
    if "ClientConnector" in text or "ServerDisconnected" in text or "ClientOSError" in text:
        return 503
    text = text.replace("\\", "")
    code = re.search(r"['\"](?:code|status)['\"]: ?['\"]?([45]\d\d)\b", text) or re.search(
        r"\bstatus=([45]\d\d)\b", text
    )
    if code:
        return int(code[1])
    named = " ".join(re.findall(r"['\"](?:code|type)['\"]: ?['\"]([\w ]+)['\"]", text)).lower()
    return next((found for name, found in STATUS_OF_TYPE.items() if name in named), None)


def text_in(content: Any) -> str:
    """The text in a message's content."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or [] if isinstance(part, dict))
