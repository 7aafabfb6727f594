# Part of the template: changes belong there (`copier update` merges this file).
"""This environment, by its URL, as TRL has environments: an `environment_factory`, a reward function, a data set.

A model reads each tool's answer as the server gives it (`{"output": "..."}`), as with NeMo Gym's agents and rollout.py;
a picture in it becomes content of its own. A sample that is masked has the reward None, which TRL leaves out of
baseline, advantage and log.
"""

import base64
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import _root  # noqa: F401
from gymkit.client import EnvironmentClient, EnvironmentFull, RolloutError, tools_of
from gymkit.episodes import verify_request, with_tools
from gymkit.errors import CommandError
from gymkit.items import Item, function_call, message, text_of
from gymkit.pictures import take_apart
from gymkit.replies import BadArguments, arguments_text, read_arguments
from gymkit.rows import Row
from gymkit.turns import has_user
from schemas import check_carried, tool_method

Message = dict[str, Any]
Factory = Callable[[], "Session"]

SHOWN = 200


class Session:
    """The environment of one rollout. TRL keeps the object, and calls `reset()` with each next row.

    A failure of the environment spoils one episode, not the training: it is noted, and the sample masked. One that has
    no place for all episodes of a step ends the training.
    """

    def __init__(self, url: str, tools: list[Item], pictures: bool) -> None:
        self._tools = tools
        self._pictures = pictures
        self._client = EnvironmentClient(url)
        self._row: Row = {}
        self._failure: str | None = None
        self._refused: str | None = None

    def reset(self, row: str, **_: Any) -> None:
        """Begin an episode on a row, which is JSON: a column of one type, whatever rows hold."""
        self._client.http.cookies.clear()
        self._row = with_tools(json.loads(row), self._tools)
        self._failure = None
        try:
            self._client.post_ok("/seed_session", self._row)
        except EnvironmentFull as error:  # Episodes end after all of them have begun: waiting on is of no use.
            raise CommandError(
                f"{error} Play fewer episodes at once (--prompts, --generations, --batch), or raise `max_sessions`."
            ) from None
        except RolloutError as error:
            self._failure = str(error)

    def _call(self, name: str, arguments: dict[str, Any]) -> str | list[Message]:
        """A tool's answer: its body, or the content blocks of one with a picture."""
        if self._failure:
            return json.dumps({"output": "Error: the environment does not answer."})
        try:
            answer = take_apart(self._client.call(name, read_arguments(arguments)))
        except BadArguments as error:
            return json.dumps({"output": f"Error: {error}"})
        except RolloutError as error:
            self._failure = str(error)
            return json.dumps({"output": "Error: the environment does not answer."})
        if answer.picture is None:
            return answer.output
        if not self._pictures:  # TRL makes a text of whatever a tool raises.
            self._refused = f"The tool {name!r} answers with a picture, and this model takes none: train one that does."
            return answer.output
        return [{"type": "image", "image": decoded(answer.picture)}, {"type": "text", "text": answer.output}]

    def _verdict(self, completion: list[Message]) -> Item:
        """What `/verify` answers; a masked verdict where the environment has failed."""
        if self._refused:
            raise CommandError(self._refused)
        if self._failure is None:
            try:
                verdict = self._client.post_ok("/verify", verify_request(self._row, items_of(completion), "trl"))
                if isinstance(verdict.get("reward"), int | float):
                    return verdict
                self._failure = "/verify answered without a reward."
            except RolloutError as error:
                self._failure = str(error)
        self._client.close()
        return {"reward": 0.0, "mask_sample": True, "failure_reason": self._failure, "_failed": True}


def factory(url: str, tools: list[Item], pictures: bool = False) -> Factory:
    """TRL's `environment_factory`: makes the object of one rollout, with a method for each tool.

    Args:
        url: Of the running environment.
        tools: As `tools_of` gives them.
        pictures: Whether the model takes pictures.

    Raises:
        SchemaRefused: a tool cannot be shown to a model by TRL.
    """
    from transformers.utils import get_json_schema

    methods = {tool["name"]: tool_method(tool, Session._call) for tool in tools}
    made = type("Environment", (Session,), methods)
    session = made(url, tools, pictures)
    for tool in tools:
        check_carried(tool, get_json_schema(getattr(session, tool["name"])))
    return lambda: made(url, tools, pictures)


def reward_function(url: str, tools: list[Item]) -> Callable[..., list[float | None]]:
    """TRL's reward function: `/verify` on each rollout's session. None stands for a sample that is masked.

    Without tools there is no `environment_factory` (TRL would want a chat template for tools); each answer's session
    begins and ends here.
    """

    def reward(
        completions: list[list[Message]],
        row: list[str],
        environments: list[Session] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        sessions = environments or [Session(url, tools, False) for _ in completions]
        verdicts = []
        for session, each, completion in zip(sessions, row, completions, strict=True):
            if environments is None:
                session.reset(each)
            verdicts.append(session._verdict(completion))
        failed = [verdict["failure_reason"] for verdict in verdicts if verdict.get("_failed")]
        if failed and len(failed) == len(verdicts):
            raise CommandError(f"No episode of a whole batch came to a verdict: {failed[0][:SHOWN]}")
        if log_metric is not None:
            log_metric("masked", sum(bool(verdict.get("mask_sample")) for verdict in verdicts) / len(verdicts))
            log_metric("failed", len(failed) / len(verdicts))
        return [None if verdict.get("mask_sample") else float(verdict["reward"]) for verdict in verdicts]

    return reward


def items_of(completion: list[Message]) -> list[Item]:
    """TRL's messages as the output of the response that an agent would have had."""
    items: list[Item] = []
    waiting: list[str] = []
    for each in completion:
        if each["role"] == "tool":
            if waiting:  # A call that TRL has taken back has no answer, and one answer has one call.
                items.append({"type": "function_call_output", "call_id": waiting.pop(0), "output": said(each)})
            continue
        if said(each).strip():
            items.append(message(len(items), said(each)))
        waiting = []
        for call in each.get("tool_calls") or []:
            function = call.get("function", call)
            made = function_call(len(items), str(function["name"]), arguments_text(function.get("arguments")))
            waiting.append(made["call_id"])
            items.append(made)
    return items


def said(each: Message) -> str:
    """The text of a message, without its pictures."""
    return text_of({"content": each.get("content") or ""})


def examples(rows: Iterable[Row]) -> list[Item]:
    """Rows as examples of a data set: the prompt as messages, and the row as JSON.

    Raises:
        CommandError: a row has what TRL cannot play.
    """
    return [{"prompt": prompt_of(row, number), "row": json.dumps(row)} for number, row in enumerate(rows, 1)]


def prompt_of(row: Row, number: int = 1) -> list[Message]:
    """The messages that an episode begins with.

    Raises:
        CommandError: it has none, or the row has a user who answers, whose turns TRL cannot carry.
    """
    name = f"Row {row.get('task_id', number)}"
    given = row["responses_create_params"].get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) and "role" in item for item in given):
        raise CommandError(
            f"{name}: `responses_create_params.input` holds no messages. `uv run gymkit data` writes rows."
        )
    if has_user(row):
        raise CommandError(
            f"{name} has a user who answers the model. TRL ends an episode at the first answer without a tool call, so "
            "it cannot hand over a user's turn: train with NeMo RL (docs/training.md)."
        )
    messages: list[Message] = []
    for item in given:
        content = item["content"]
        if not isinstance(content, str):
            content = [shown_part(part) for part in content]
            if all(part["type"] == "text" for part in content):
                content = "".join(part["text"] for part in content)
        messages.append({"role": item["role"], "content": content})
    return messages


def shown_part(part: Item) -> Item:
    """A part of a message in the form of chat templates."""
    if part.get("type") == "input_image":
        return {"type": "image", "image": decoded(part["image_url"])}
    return {"type": "text", "text": part.get("text", "")}


def decoded(picture: str) -> Any:
    """The picture of a data URL, as Pillow has it."""
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB")


def tools_at(url: str) -> list[Item]:
    """The tools of a running environment.

    Raises:
        RolloutError: it does not answer, wants a key, or is another.
    """
    return tools_of(url, 300)
