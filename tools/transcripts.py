"""Responses as agents of NeMo Gym 0.7 make them, by those agents' own code: a JSON object by the agents' names.

They are what tests/of_gymkit/transcripts.json holds. To write it anew, with the Python of an environment on 0.7:

    ENVIRONMENT/.venv/bin/python tools/transcripts.py > tests/of_gymkit/transcripts.json
"""

# Its packages are those of an environment.
# pyright: reportMissingImports=false
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nemo_gym.openai_utils import (
    NeMoGymResponse,
    NeMoGymResponseInputTokensDetails,
    NeMoGymResponseOutputTokensDetails,
    NeMoGymResponseUsage,
)
from PIL import Image
from responses_api_agents.claude_code_agent.app import parse_stream_json
from responses_api_agents.codex_agent.app import parse_exec_jsonl
from responses_api_agents.image_tools_agent.app import ImageToolsAgent
from responses_api_agents.openclaw_agent.app import parse_openclaw_session_items

SAID = "The answer is crane."


def lines(*events: dict[str, Any]) -> str:
    return "\n".join(json.dumps(event) for event in events)


def claude_code() -> list[Any]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "guess", "input": {"word": "crane"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "crane: right"}]}
    return parse_stream_json(
        lines(
            {"type": "assistant", "message": {"content": [{"type": "thinking", "thinking": "Hm."}, use]}},
            {"type": "user", "message": {"content": [result]}},
            {"type": "assistant", "message": {"content": [{"type": "text", "text": SAID}]}},
            {"type": "result", "usage": {"input_tokens": 1, "output_tokens": 1}, "num_turns": 2},
        )
    )[0]


def codex() -> list[Any]:
    items: list[dict[str, Any]] = [
        {"id": "1", "type": "reasoning", "text": "Hm."},
        {
            "id": "2",
            "type": "command_execution",
            "command": "ls",
            "aggregated_output": "",
            "exit_code": 2,
            "status": "failed",
        },
        {
            "id": "3",
            "type": "mcp_tool_call",
            "tool": "guess",
            "arguments": {"word": "crane"},
            "result": {"content": []},
        },
        {"id": "4", "type": "web_search", "query": "crane"},
        {"id": "5", "type": "agent_message", "text": SAID},
    ]
    return parse_exec_jsonl(lines(*({"type": "item.completed", "item": item} for item in items)))[0]


def openclaw() -> list[Any]:
    call = {"type": "toolCall", "id": "call_1", "name": "guess", "arguments": {"word": "crane"}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Find the word."},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, call]},
        {"role": "toolResult", "toolCallId": "call_1", "content": [{"type": "text", "text": "crane: right"}]},
        {"role": "assistant", "content": [{"type": "text", "text": SAID}]},
    ]
    return parse_openclaw_session_items([{"type": "message", "message": each} for each in messages], include_input=True)


def image_tools() -> list[Any]:
    """It shows the model a part of the picture in a message of the user's."""
    agent: Any = SimpleNamespace(config=SimpleNamespace(crop_format="png"))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "crop.png"))
        Image.new("RGB", (2, 2)).save(path)
        content = [{"type": "text", "text": "Here:"}, {"type": "image", "image": path}]
        shown, _ = ImageToolsAgent._tool_user_message(agent, {"content": content})
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": SAID}],
    }
    message["content"][0]["annotations"] = []  # type: ignore[index]
    return [shown, message]


def simple() -> list[Any]:
    """It passes on what the model server gives it: calls of tools that the provider runs itself, too."""
    action = {"type": "search", "query": "crane", "queries": None, "sources": None}
    return [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "shell", "input": "ls"},
        {"type": "custom_tool_call_output", "id": "cto_1", "call_id": "call_1", "output": "", "status": "completed"},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": None},
        {"type": "mcp_list_tools", "tools": [{"name": "guess"}]},
        {"type": "mcp_call", "name": "guess", "arguments": "{}", "output": "crane: right", "status": None},
        {"type": "function_call", "call_id": "call_2", "name": "guess", "arguments": "{}", "status": None},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "right"}]},
        {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": SAID, "annotations": []}]},
    ]


def response(output: list[Any]) -> Any:
    """As an agent's server sends it. Not every model server counts what is cached or thought."""
    usage = NeMoGymResponseUsage(
        input_tokens=1,
        input_tokens_details=NeMoGymResponseInputTokensDetails(cached_tokens=None),
        output_tokens=1,
        output_tokens_details=NeMoGymResponseOutputTokensDetails(reasoning_tokens=None),
        total_tokens=2,
    )
    plain: dict[str, Any] = {"id": "resp_1", "created_at": 0.0, "model": "m", "object": "response", "output": output}
    plain |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "usage": usage}
    return NeMoGymResponse.model_validate(plain).model_dump(mode="json")


if __name__ == "__main__":
    agents = {
        "claude_code_agent": claude_code(),
        "codex_agent": codex(),
        "image_tools_agent": image_tools(),
        "openclaw_agent": openclaw(),
        "simple_agent": simple(),
    }
    json.dump({name: response(output) for name, output in agents.items()}, sys.stdout, indent=1)
    print()
