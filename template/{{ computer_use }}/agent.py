# Part of the template: changes belong there (`copier update` merges this file).
"""The agent: NeMo Gym's simple_agent, except that the model sees pictures.

simple_agent hands a tool's answer to the model as text, pictures included. This agent takes the picture out of an
answer and puts it into a message after the tool outputs of the turn, which is where both model servers
(`openai_model`, `vllm_model`) of NeMo Gym 0.4 and 0.7 pass it on. It stops when a tool says that the episode is over.
And it calls the tools that the row lists, nothing else: simple_agent posts to whatever name a model writes, `verify`
and `close_session` included.
"""

import json
from typing import Annotated, Any

from fastapi import Body, Request, Response
from nemo_gym.openai_utils import (
    NeMoGymEasyInputMessage,
    NeMoGymFunctionCallOutput,
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
)
from nemo_gym.server_utils import get_response_json, raise_for_status
from pydantic import Field, ValidationError
from responses_api_agents.simple_agent.app import SimpleAgent, SimpleAgentConfig

from gymkit.pictures import Item, picture_message, take_apart, with_last_pictures


class PictureAgentConfig(SimpleAgentConfig):
    """simple_agent's settings, and one more."""

    max_pictures: int | None = Field(
        default=None,
        ge=1,
        description="The model sees so many of the last pictures; earlier ones are left out. None: all of them.",
    )


class PictureAgent(SimpleAgent):
    """simple_agent, but the model sees the pictures that tools answer with."""

    config: PictureAgentConfig

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
        url_for = getattr(self, "url_path_for_request", lambda path, request: path)
        step = 0
        while True:
            step += 1
            context = with_last_pictures([*question, *items], self.config.max_pictures)
            answered = await self.server_client.post(
                server_name=self.config.model_server.name,
                url_path=url_for("/v1/responses", request),
                json={**params, "input": context},
                cookies=model_cookies,
            )
            await raise_for_status(answered)
            model_cookies |= _cookies(answered)
            answer = _model_response(await get_response_json(answered))
            items += [item.model_dump(mode="json", exclude_unset=True) for item in answer.output]
            output += answer.output
            usage = _added(usage, answer.usage)
            calls = [item for item in answer.output if item.type == "function_call"]
            if answer.incomplete_details or not calls:
                break
            pictures: list[str] = []
            done = False
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
        for name, value in (*tool_cookies.items(), *model_cookies.items()):
            response.set_cookie(name, value)
        answer.output = output
        answer.usage = usage
        return answer

    async def _call(self, call: Any, tools: list[str], cookies: dict[str, str]) -> str:
        """Call one of the tools, as simple_agent does; the answer's body. `cookies` is kept up to date."""
        if call.name not in tools:
            text = f"Error: there is no tool {call.name[:100]!r}. The tools are: {', '.join(tools)}."
            return json.dumps({"output": text})
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, TypeError) as error:
            return json.dumps({"error": f"Invalid tool call arguments: {error!r}"})
        assert self.config.resources_server is not None  # NeMo Gym 0.7 has agents without one.
        answered = await self.server_client.post(
            server_name=self.config.resources_server.name,
            url_path=f"/{call.name}",
            json=arguments,
            cookies=cookies,
        )
        text = (await answered.content.read()).decode()
        cookies |= _cookies(answered)
        return text


def _cookies(answered: Any) -> dict[str, str]:
    return {str(name): str(getattr(morsel, "value", morsel)) for name, morsel in answered.cookies.items()}


def _model_response(body: Any) -> NeMoGymResponse:
    try:
        return NeMoGymResponse.model_validate(body)
    except ValidationError as error:
        raise RuntimeError(f"Received an invalid response from model server: {json.dumps(body)}") from error


def _added(total: Any, more: Any) -> Any:
    """Tokens used in all."""
    if total is None or more is None:
        return total or more
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        setattr(total, name, getattr(total, name) + getattr(more, name))
    return total


if __name__ == "__main__":
    PictureAgent.run_webserver()
