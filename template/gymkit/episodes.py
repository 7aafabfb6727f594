# Part of the template: changes belong there (`copier update` merges this file).
"""One episode over HTTP, from the seed to the verdict."""

import json
import time
from collections.abc import Callable
from textwrap import indent
from typing import Any, Protocol

from rich.panel import Panel

from gymkit.client import EnvironmentClient, RolloutError
from gymkit.grading import Verdict
from gymkit.items import Item, output_text, text_of
from gymkit.pictures import picture_message, take_apart
from gymkit.players import Policy
from gymkit.replies import BadArguments, read_arguments
from gymkit.rows import Row
from gymkit.terminal import console, shown
from gymkit.turns import USER_TURN, has_user, read_answer, said_in


def with_tools(row: Row, tools: list[Item]) -> Row:
    """A row whose model gets the environment's tools, and its input as a list of items."""
    params = {key: value for key, value in row["responses_create_params"].items() if key != "tools"}
    if tools:
        params["tools"] = tools
    if isinstance(params["input"], str):
        params["input"] = [{"role": "user", "content": params["input"]}]
    return {**row, "responses_create_params": params}


def play_episode(url: str, row: Row, policy: Policy, max_turns: int, show: bool = False) -> Item:
    """Play one episode to its verdict.

    Args:
        url: Of the environment.
        row: The data row, as `with_tools` gives it.
        policy: Who plays.
        max_turns: So many times it is asked at most.
        show: Whether to print what happens.

    Returns:
        What `/verify` answered: its request (the row and the response) and the verdict.

    Raises:
        RolloutError: the environment or the model cannot be reached, or answers what cannot be understood.

    What is raised, that of the policy's too, has in `played` what had been played: a masked verdict.
    """
    client = EnvironmentClient(url)
    if show:
        for item in row["responses_create_params"]["input"]:
            role = item.get("role", "")
            console.print(Panel(shown(text_of(item)), title=shown(role), title_align="left", border_style="dim"))
    items: list[Item] = []
    model = getattr(policy, "model", "policy.py")
    try:
        client.post_ok("/seed_session", row)
        play_on(client, row, policy, max_turns, items, show)
        result = client.post_ok("/verify", verify_request(row, items, model))
        if not isinstance(result.get("reward"), int | float):
            raise RolloutError(f"{url}/verify answered without a reward.")
        return result
    except Exception as error:  # of the policy's, too
        client.close()
        masked = Verdict.mask("agent_run_error", str(error) or type(error).__name__)
        error.played = verify_request(row, items, model) | masked.as_fields()  # pyright: ignore[reportAttributeAccessIssue]
        raise


def play_on(
    client: EnvironmentClient, row: Row, policy: Policy, max_turns: int, items: list[Item], show: bool = False
) -> None:
    """Play on a session that is open, without asking for the verdict. What is said and called is added to `items`."""
    tools = [tool["name"] for tool in row["responses_create_params"].get("tools", [])]
    for turn in range(1, max_turns + 1):
        output = policy.next_items(items)
        items += output
        if show:
            for item in output:
                if item["type"] == "message":
                    console.print(f"[bold]{turn:3d}[/bold]  {shown(text_of(item))}")
        pictures: list[str] = []
        calls = calls_in(output)
        over = not calls and not _user_answers(row, output, items, client.answered, show)
        for call in calls:
            result, picture, done = take_apart(call_tool(client, call, tools))
            over = over or done
            pictures += [picture] if picture else []
            items.append({"type": "function_call_output", "call_id": call["call_id"], "output": result})
            if show:
                console.print(f"[bold]{turn:3d}[/bold]  [cyan]{shown(call['name'])}[/cyan] {shown(call['arguments'])}")
                console.print(f"[green]{indent(shown(output_text(result)), ' ' * 5)}[/green]")
        if pictures:
            items.append(picture_message(pictures))
        if over:
            break


class Posted(Protocol):
    """The answer to a POST, of any HTTP client."""

    @property
    def status_code(self) -> int: ...
    @property
    def text(self) -> str: ...


Post = Callable[[str, Any], Posted]


def _user_answers(row: Row, output: list[Item], items: list[Item], post: Post, show: bool = False) -> bool:
    """Have the user answer a turn that ends without a call; whether the conversation goes on."""
    said = said_in(output) if has_user(row) else None
    if said is None:
        return False
    response = post(USER_TURN, {"text": said})
    answer = read_answer(response.status_code, response.text)
    if answer.item is not None:
        items.append(answer.item)
        if show:
            console.print(f"[magenta]{indent(shown(text_of(answer.item)), ' ' * 5)}[/magenta]")
    return not answer.done


def calls_in(output: list[Item]) -> list[Item]:
    """The calls to make. An answer that was cut off has none: the last one may lack its end."""
    return [item for item in output if item["type"] == "function_call" and item.get("status") != "incomplete"]


def transcript(row: Row, policy: Policy, post: Post, max_turns: int) -> list[Item]:
    """Play on without showing anything to anybody: what was said and called, and what was answered, pictures left out.

    Args:
        row: The data row.
        policy: Who plays.
        post: Posts a JSON body to a path of the environment's, in the session of the row.
        max_turns: So many times the policy is asked at most.
    """
    items: list[Item] = []
    for _ in range(max_turns):
        output = policy.next_items(items)
        items += output
        calls = calls_in(output)
        over = not calls and not _user_answers(row, output, items, post)
        for made in calls:
            answer = take_apart(post(f"/{made['name']}", json.loads(made["arguments"])).text)
            over = over or answer.done
            items.append({"type": "function_call_output", "call_id": made["call_id"], "output": answer.output})
        if over:
            break
    return items


def call_tool(client: EnvironmentClient, call: Item, tools: list[str]) -> str:
    """A tool's answer, as the model gets to see it.

    A name that is none of the tools' is not called: `verify` and `close_session` are endpoints, but not the model's.
    """
    if call["name"] not in tools:
        return json.dumps(
            {"output": f"Error: there is no tool {call['name']!r}. The tools are: {', '.join(tools) or 'none'}."}
        )
    try:
        return client.call(call["name"], read_arguments(call["arguments"]))
    except BadArguments as error:
        return json.dumps({"output": f"Error: {error}"})


def verify_request(row: Row, items: list[Item], model: str) -> Item:
    """The body of `/verify`: the row, and the Responses API response that an agent would have had."""
    params = row["responses_create_params"]
    response = {
        "id": f"resp_{row.get('task_id', 'episode')}",
        "created_at": time.time(),
        "model": model,
        "object": "response",
        "output": items,
        "parallel_tool_calls": params.get("parallel_tool_calls", True),
        "tool_choice": params.get("tool_choice", "auto"),
        "tools": params.get("tools", []),
    }
    return {**row, "response": response}
