# Part of the template: changes belong there (`copier update` merges this file).
"""The final answer in a model's response, for graders of text."""

from nemo_gym.openai_utils import NeMoGymResponse as Response

__all__ = ["Response", "final_answer"]


def final_answer(response: Response) -> str:
    """The text of the last assistant message, and nothing else; an empty text where there is none.

    Reasoning, tool calls, tool outputs, refusals and earlier messages are no part of it.
    """
    for item in reversed(response.output):
        if item.type == "message" and item.role == "assistant":
            if isinstance(item.content, str):
                return item.content
            texts = (part for part in item.content if getattr(part, "type", None) == "output_text")
            return "".join(getattr(part, "text", "") for part in texts)
    return ""
