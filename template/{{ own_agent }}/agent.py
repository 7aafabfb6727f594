# Part of the template: changes belong there (`copier update` merges this file).
"""The agent: NeMo Gym's simple_agent, except that the model sees pictures, and talks to a user.

simple_agent hands a tool's answer to the model as text, pictures included. This agent takes the picture out of an
answer and puts it into a message after the tool outputs of the turn, which is where both model servers
(`openai_model`, `vllm_model`) of NeMo Gym 0.4 and 0.7 pass it on. It stops when a tool says that the episode is over.
With `asks_user`, it asks the environment for the user's answer after a turn that ends without a call (`gymkit.turns`),
and goes on until the user leaves. What has been said is only ever added to: a training run sees one growing sequence.
And it calls the tools that the row lists, nothing else: simple_agent posts to whatever name a model writes, `verify`
and `close_session` included.

Every `/run` is answered: one that fails would end the whole collection. Where the model cannot be had any more, the
episode ends, and is graded as it stands; the sample is masked where the model has not said anything yet, so that
nothing it has said can be the cause. Where the environment cannot be reached, the sample is masked.
"""

import asyncio
import json
import logging
from typing import Annotated, Any

from fastapi import Body, Request, Response
from nemo_gym.openai_utils import (
    NeMoGymEasyInputMessage,
    NeMoGymFunctionCallOutput,
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
)
from pydantic import Field, ValidationError
from responses_api_agents.simple_agent.app import (
    SimpleAgent,
    SimpleAgentConfig,
    SimpleAgentRunRequest,
    SimpleAgentVerifyResponse,
)

from gymkit.grading import Verdict
from gymkit.pictures import Item, picture_message, take_apart, with_last_pictures
from gymkit.project import reward_range
from gymkit.replies import BadArguments, arguments_again, error_text, read_arguments
from gymkit.turns import USER_TURN, Answer, read_answer, said_in
from gymkit.waiting import LONGEST_WAIT, seconds_to_wait

log = logging.getLogger("gymkit")

MODEL_ATTEMPTS = 3
"""So often the model is asked whose answer cannot be read. Its server asks an endpoint again that is busy; not then."""
ATTEMPTS = 10
"""So often the environment is asked that wants to be asked later (429), or is full (503)."""
MODEL_FAILED = "agent_run_error"
ENVIRONMENT_FAILED = "provider_unavailable"
FAILURE_KIND, FAILURE_REASON = "gymkit_failure_kind", "gymkit_failure_reason"
"""Where the metadata of a response say why it ends early."""


class Failed(Exception):
    """The episode can be played no further. The message is one line.

    Args:
        kind: `MODEL_FAILED` or `ENVIRONMENT_FAILED`, in NeMo Gym 0.7's words.
        reason: The message.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class EnvironmentAgentConfig(SimpleAgentConfig):
    """simple_agent's settings, and a few more."""

    asks_user: bool = Field(default=False, description="Whether the environment has a user, who answers the model.")

    max_pictures: int | None = Field(
        default=None,
        ge=1,
        description="The model sees so many of the last pictures; earlier ones are left out. None: all of them.",
    )
    model_seconds: float = Field(
        default=1800,
        gt=0,
        description="Time limit of a model's answer. NeMo Gym 0.4's model servers ask a busy endpoint for ever.",
    )


class EnvironmentAgent(SimpleAgent):
    """simple_agent, but the model sees the pictures that tools answer with, and hears the environment's user."""

    config: EnvironmentAgentConfig

    async def responses(
        self,
        request: Request,
        response: Response,
        body: Annotated[NeMoGymResponseCreateParamsNonStreaming, Body()],
    ) -> NeMoGymResponse:
        if isinstance(body.input, str):
            body.input = [NeMoGymEasyInputMessage(role="user", content=body.input, type="message")]
        params = body.model_dump(mode="json", exclude_unset=True)
        question: list[Item] = [item.model_dump(mode="json", exclude_unset=True) for item in body.input]
        tools: list[str] = [tool["name"] for tool in params.get("tools", []) if "name" in tool]
        items: list[Item] = []  # What the model is given again,
        output: list[Any] = []  # and the same as NeMo Gym's objects.
        usage: Any = None
        model_cookies: dict[str, str] = {}
        tool_cookies = dict(request.cookies)
        # 0.7 carries the id of a rollout in the path.
        url = getattr(self, "url_path_for_request", lambda path, request: path)("/v1/responses", request)
        answer = NeMoGymResponse.model_validate(no_response())
        step = 0
        try:
            while True:
                step += 1
                context = with_last_pictures([*question, *items], self.config.max_pictures)
                answer = await self._answer(url, {**params, "input": context}, model_cookies)
                items += [_sent_back(item) for item in answer.output]
                output += answer.output
                usage = _added(usage, answer.usage)
                calls = [item for item in answer.output if item.type == "function_call"]
                if answer.incomplete_details:
                    break
                pictures: list[str] = []
                done = not calls
                if done and self.config.asks_user:
                    said = said_in([item.model_dump(mode="json") for item in answer.output])
                    user = Answer(None, True) if said is None else await self._ask_user(said, tool_cookies)
                    done = user.done
                    if user.item is not None:
                        items.append(user.item)
                        output.append(NeMoGymEasyInputMessage(**user.item))
                for call in calls:
                    text, picture, over = take_apart(await self._call(call, tools, tool_cookies))
                    done = done or over
                    pictures += [picture] if picture else []
                    items.append({"type": "function_call_output", "call_id": call.call_id, "output": text})
                    output.append(NeMoGymFunctionCallOutput(**items[-1]))
                if pictures:
                    items.append(picture_message(pictures))
                    output.append(NeMoGymEasyInputMessage(**items[-1]))
                if done or (self.config.max_steps and step >= self.config.max_steps):
                    break
        except Failed as failure:
            log.error("The episode ends early: %s", failure)
            answer.metadata = {FAILURE_KIND: failure.kind, FAILURE_REASON: str(failure)[:500]}
        for name, value in (*tool_cookies.items(), *model_cookies.items()):
            response.set_cookie(name, value)
        answer.output = output
        answer.usage = usage
        return answer

    async def run(self, request: Request, body: SimpleAgentRunRequest) -> SimpleAgentVerifyResponse:
        for attempt in range(ATTEMPTS):
            try:
                return _marked(await super().run(request, body))
            except Exception as error:  # of aiohttp's, mostly, raised for an answer of the environment's
                wait = seconds_to_wait(getattr(error, "headers", None) or {}, 5.0)
                later = _seeding(error) and getattr(error, "status", 0) in (429, 503) and wait <= LONGEST_WAIT
                if not later or attempt + 1 == ATTEMPTS:
                    return _failed(body, error)
                await asyncio.sleep(wait)
        raise AssertionError("ATTEMPTS is at least 1")

    async def _answer(self, url: str, body: Item, cookies: dict[str, str]) -> NeMoGymResponse:
        """The model's next answer, asked for a few times. `cookies` is kept up to date.

        Raises:
            Failed: there is none.
        """
        try:
            async with asyncio.timeout(self.config.model_seconds):
                for attempt in range(1, MODEL_ATTEMPTS):
                    try:
                        return await self._ask(url, body, cookies)
                    except Failed:
                        await asyncio.sleep(attempt)
                return await self._ask(url, body, cookies)
        except TimeoutError:
            reason = f"The model server did not answer within {self.config.model_seconds:g} seconds."
            raise Failed(MODEL_FAILED, reason) from None

    async def _ask(self, url: str, body: Item, cookies: dict[str, str]) -> NeMoGymResponse:
        """One answer of the model's.

        Raises:
            Failed: there is none.
        """
        name = self.config.model_server.name
        try:
            answered = await self.server_client.post(server_name=name, url_path=url, json=body, cookies=cookies)
            text = (await answered.read()).decode(errors="replace")
        except TimeoutError:
            raise
        except Exception as error:  # of aiohttp's, or of the JSON that is sent
            raise Failed(MODEL_FAILED, f"The model server cannot be asked: {type(error).__name__}: {error}") from None
        if not answered.ok:
            raise Failed(MODEL_FAILED, f"The model server answered {answered.status}: {error_text(text)}")
        cookies |= _cookies(answered)
        try:
            return NeMoGymResponse.model_validate_json(text)
        except ValidationError:
            reason = f"The model server answered with what is no response: {error_text(text)}"
            raise Failed(MODEL_FAILED, reason) from None

    async def _call(self, call: Any, tools: list[str], cookies: dict[str, str]) -> str:
        """Call one of the tools; the answer's body. `cookies` is kept up to date.

        Raises:
            Failed: the environment cannot be reached.
        """
        if call.name not in tools:
            text = f"Error: there is no tool {call.name[:100]!r}. The tools are: {', '.join(tools) or 'none'}."
            return json.dumps({"output": text})
        try:
            arguments = read_arguments(call.arguments)
        except BadArguments as error:
            return json.dumps({"output": f"Error: {error}"})
        return (await self._post(f"/{call.name}", arguments, cookies))[1]

    async def _ask_user(self, said: str, cookies: dict[str, str]) -> Answer:
        """What the environment's user answers.

        Raises:
            Failed: the environment cannot be reached.
        """
        return read_answer(*await self._post(USER_TURN, {"text": said}, cookies))

    async def _post(self, path: str, body: Item, cookies: dict[str, str]) -> tuple[int, str]:
        """Post to the environment; the answer's status and body. `cookies` is kept up to date.

        Raises:
            Failed: the environment cannot be reached.
        """
        assert self.config.resources_server is not None  # NeMo Gym 0.7 has agents without one.
        name = self.config.resources_server.name
        answered: Any = None
        for attempt in range(ATTEMPTS):
            answered = await self.server_client.post(server_name=name, url_path=path, json=body, cookies=cookies)
            wait = seconds_to_wait(answered.headers, 1.0)
            if answered.status != 429 or attempt + 1 == ATTEMPTS or wait > LONGEST_WAIT:
                break
            await asyncio.sleep(wait)
        text = (await answered.content.read()).decode(errors="replace")
        if answered.status in (429, 502, 503, 504) or not _is_json(text):
            reason = f"The environment answered {path[1:]} with {answered.status}: {error_text(text)}"
            raise Failed(ENVIRONMENT_FAILED, reason)
        cookies |= _cookies(answered)
        return answered.status, text


def no_response() -> Item:
    """The response of a model that has not said anything."""
    lists = {"output": [], "tools": []}
    return {"id": "none", "created_at": 0.0, "model": "none", "object": "response", **lists} | {
        "parallel_tool_calls": False,
        "tool_choice": "auto",
    }


def _marked(result: SimpleAgentVerifyResponse) -> SimpleAgentVerifyResponse:
    """The result of an episode; what made it end early stands beside its grade, or masks it."""
    metadata = result.response.metadata or {}
    if FAILURE_KIND not in metadata:
        return result
    kind, reason = metadata[FAILURE_KIND], metadata[FAILURE_REASON]
    fields: Item = {"failure_kind": kind, "failure_reason": reason}
    if kind == ENVIRONMENT_FAILED or not result.response.output:
        fields = Verdict.mask(kind, reason).as_fields()
    return SimpleAgentVerifyResponse.model_validate(result.model_dump() | fields)


def _failed(body: SimpleAgentRunRequest, error: Exception) -> SimpleAgentVerifyResponse:
    """The result of an episode that could not be played, or not be graded.

    It is masked where the environment could not be reached, or began no episode. What else has gone wrong, the model
    may have brought about: then it has the lowest reward.
    """
    said = getattr(error, "response_content", None)
    text = error_text(said.decode(errors="replace")) if isinstance(said, bytes) else str(error)
    status = getattr(error, "status", type(error).__name__)
    reason = f"The episode could not be played: {status}: {text}"
    log.error("%s", reason)
    verdict = Verdict(reward_range()[0], failure_kind=MODEL_FAILED, failure_reason=reason)
    if _seeding(error) or status in (502, 503, 504):
        verdict = Verdict.mask(ENVIRONMENT_FAILED, reason)
    result = body.model_dump() | {"response": no_response(), **verdict.as_fields()}
    return SimpleAgentVerifyResponse.model_validate(result)


def _seeding(error: Exception) -> bool:
    """Whether an error is an answer to `/seed_session`: then nothing has been played."""
    return str(getattr(getattr(error, "request_info", None), "url", "")).endswith("/seed_session")


def _sent_back(item: Any) -> Item:
    """An item of the model's, as it is given back to it."""
    made = item.model_dump(mode="json", exclude_unset=True)
    if item.type == "function_call":
        made["arguments"] = arguments_again(item.arguments)
    return made


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _cookies(answered: Any) -> dict[str, str]:
    return {str(name): str(getattr(morsel, "value", morsel)) for name, morsel in answered.cookies.items()}


def _added(total: Any, more: Any) -> Any:
    """Tokens used in all."""
    if total is None or more is None:
        return total or more
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        setattr(total, name, getattr(total, name) + getattr(more, name))
    return total


if __name__ == "__main__":
    EnvironmentAgent.run_webserver()
