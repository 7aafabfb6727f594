# Part of the template: changes belong there (`copier update` merges this file).
"""What a played episode is given besides, so that NeMo Gym's own tools read it as one that they have collected.

`gym eval aggregate` and `compare` (0.7) want to know which row was played, which time, and by which agent;
`gym eval export --format atif` wants the episode as an `ng_trajectory`.
"""

from typing import Any

from gymkit.items import Item
from gymkit.pictures import has_pictures
from gymkit.project import agent_instance


def collected(result: Item, task: int, repeat: int, seconds: float) -> Item:
    """A result with what NeMo Gym's collection adds to it.

    Args:
        result: What `/verify` answered.
        task: The number of the row.
        repeat: How often it had been played before.
        seconds: From the seed to the verdict.
    """
    turns = _turns(result["response"]["output"])
    calls = sum(item["type"] == "function_call" for item in result["response"]["output"])
    agent = agent_instance()
    named = {"agent_ref": {"type": "responses_api_agents", "name": agent}} if agent else {}
    return result | {
        **named,
        "_ng_task_index": task,
        "_ng_rollout_index": repeat,
        "ng_perf": {"num_turns": len(turns), "num_tool_calls": calls, "total_latency_ms": round(seconds * 1000, 1)},
    }


def with_trajectory(result: Item, began: float) -> Item:
    """A collected result with its `ng_trajectory` (NeMo Gym 0.7, schema 1.0). Each turn repeats all before it.

    What the schema cannot hold (pictures, text beside calls in one answer of a model) is named in `gaps`, and
    `gym eval export` then refuses the row.

    Args:
        result: As `collected` gives it.
        began: When the episode began, in seconds since 1970. The time of a single turn is not known.
    """
    task, repeat = str(result["_ng_task_index"]), str(result["_ng_rollout_index"])
    known = {"invocation_id": "root", "task_id": task, "rollout_id": f"{task}-{repeat}"}
    conversation = [_item(item) for item in result["responses_create_params"]["input"]]
    model, gaps = result["response"]["model"], []
    turns, calls, tools = [], [], []
    for number, (reply, answers) in enumerate(_turns(result["response"]["output"]), 1):
        made = [item for item in reply if item["type"] == "function_call"]
        said = [item for item in reply if item["type"] == "message"]
        if (made and said) or len(said) > 1:
            gaps.append({"code": "text_beside_calls", "detail": f"turn {number}"})
        if any(has_pictures(item) for item in answers):
            gaps.append({"code": "pictures", "detail": f"turn {number}"})
        outputs = {item["call_id"]: item["output"] for item in answers if item["type"] == "function_call_output"}
        tools += [_tool_call(call, outputs) for call in made]
        reference = {"model_call_id": f"call-{number}"}
        calls.append(reference | {"response_metadata": {"model": model, "response_status": "completed"}})
        turns.append(
            known
            | {
                "turn_no": number,
                "timestamp": began,
                "question": list(conversation),
                "answer": [_item(item) for item in reply if item["type"] != "reasoning"],
                "reasoning_content": [_item(item) for item in reply if item["type"] == "reasoning"] or None,
                "step_count": len(tools),
                "model_calls": [reference],
            }
        )
        conversation += [_item(item) for item in (*reply, *answers)]
    invocation = {
        "invocation_id": known["invocation_id"],
        "status": "completed",
        "model_calls": [{"model_call_id": call["model_call_id"]} for call in calls],
        "conversation": conversation,
    }
    trajectory = {
        "schema_version": "1.0",
        "task_id": task,
        "rollout_id": known["rollout_id"],
        "invocations": [invocation],
        "turns": turns,
        "model_calls": calls,
        "tool_calls": tools,
        "gaps": gaps,
    }
    return result | {"ng_trajectory": trajectory}


def _turns(output: list[Item]) -> list[tuple[list[Item], list[Item]]]:
    """What the model said and called in each turn, and what it was answered."""
    turns: list[tuple[list[Item], list[Item]]] = []
    for item in output:
        by_the_model = item["type"] in ("function_call", "reasoning") or item.get("role") == "assistant"
        if by_the_model and (not turns or turns[-1][1]):
            turns.append(([], []))
        if turns:
            turns[-1][0 if by_the_model else 1].append(item)
    return turns


def _tool_call(call: Item, outputs: dict[str, Any]) -> Item:
    return {
        "invocation_id": "root",
        "tool_call_id": call["call_id"],
        "tool_name": call["name"],
        "status": "completed" if call["call_id"] in outputs else "incomplete",
        "output": outputs.get(call["call_id"]),
    }


def _item(item: Item) -> Item:
    """An item with its type, which a message in a row need not have."""
    return {"type": "message", **item}
