# Part of the template: changes belong there (`copier update` merges this file).
"""A model to train, and what is asked of it before anything starts."""

from dataclasses import dataclass
from typing import Any

import torch
from datasets import disable_progress_bars
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
)
from transformers.utils import logging
from trl.chat_template_utils import add_response_schema, supports_tool_calling

import _root  # noqa: F401
from gymkit.errors import CommandError

disable_progress_bars()
logging.disable_progress_bar()


@dataclass(frozen=True)
class Loaded:
    """A model and what makes its tokens."""

    model: Any
    processor: Any
    pictures: bool
    """Whether it takes pictures: then `processor` is no tokenizer, but holds one."""


def load(name: str, tools: bool) -> Loaded:
    """A model by its name on the Hub, or its folder.

    Args:
        name: Of the model.
        tools: Whether it is to call tools.

    Raises:
        CommandError: it is not there, or has not the format that episodes need.
    """
    try:
        pictures = hasattr(AutoConfig.from_pretrained(name), "vision_config")
        processor = (AutoProcessor if pictures else AutoTokenizer).from_pretrained(name)
        model = (AutoModelForImageTextToText if pictures else AutoModelForCausalLM).from_pretrained(name)
    except (OSError, ValueError) as error:
        raise CommandError(f"The model {name}: {first_line(error)}") from None
    check_format(name, processor, tools)
    return Loaded(model, processor, pictures)


def check_format(name: str, processor: Any, tools: bool) -> None:
    """Raise an error where a model has no chat template, or none for tools."""
    if processor.chat_template is None:
        raise CommandError(f"The model {name} has no chat template: take one that is trained to chat (`-Instruct`).")
    if not tools:
        return
    if not supports_tool_calling(processor):
        raise CommandError(f"The model {name}: its chat template shows no tool calls. Take a model that calls tools.")
    tokenizer = getattr(processor, "tokenizer", processor)
    if getattr(tokenizer, "response_template", None) is None and getattr(tokenizer, "response_schema", None) is None:
        try:
            add_response_schema(processor)
        except ValueError:
            raise CommandError(
                f"The model {name}: TRL does not know how its tool calls are written. Set `response_template` of its "
                "tokenizer (Transformers: chat response parsing), or take a model of a family that TRL knows."
            ) from None


def device_settings() -> dict[str, Any]:
    """Settings of a trainer for what this machine has."""
    if torch.cuda.is_available():
        return {"bf16": torch.cuda.is_bf16_supported(), "gradient_checkpointing": True}
    return {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}


def silence(trainer: Trainer) -> None:
    """Have a trainer print nothing: what it logs is shown by `curve.py`, or not at all."""
    trainer.remove_callback(PrinterCallback)


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
