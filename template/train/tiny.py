# Part of the template: changes belong there (`copier update` merges this file).
"""A tiny model and its tokenizer, made on the spot from played episodes: enough to see a reward rise on a CPU.

It knows the texts that it was made from and nothing else. To train a model that is of use, name a real one to grpo.py.
"""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
CALL = '{"name": "{{ f.name }}", "arguments": {{ f.arguments if f.arguments is string else f.arguments | tojson }}}'
# Of the tools it shows the names alone: the model learns the rest from the episodes.
CHAT_TEMPLATE = (
    "{% if tools %}{% for tool in tools %}{{ tool.function.name }} {% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content or '' }}"
    "{% for call in m.tool_calls or [] %}{% set f = call.function or call %}<tool_call>"
    + CALL
    + "</tool_call>{% endfor %}"
    "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}
OFTEN = 0.2
"""A prompt in so large a part of all episodes is one token."""


def tokenizer(talks: list[list[dict[str, Any]]], vocabulary: int = 2000) -> PreTrainedTokenizerFast:
    """A tokenizer of whole lines, made for some episodes.

    Args:
        talks: The messages of each.
        vocabulary: How many tokens, beside those that frames and prompts are.
    """
    made = wrapped(Tokenizer(models.BPE()))
    texts = [str(made.apply_chat_template(talk, tokenize=False)) for talk in talks]
    whole = phrases(talks)
    splitter = re.compile("|".join(map(re.escape, [*sorted(whole, key=len, reverse=True), *SPECIAL])))
    bpe = Tokenizer(models.BPE())
    # A merge never crosses the end of a line: of a message, or of the JSON that a tool answers.
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Split("\\n", "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator((part for text in texts for part in splitter.split(text) if part), trainer)
    bpe.add_tokens([AddedToken(phrase, normalized=False) for phrase in sorted(whole, key=len, reverse=True)])
    return wrapped(bpe)


def wrapped(bpe: Tokenizer) -> PreTrainedTokenizerFast:
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|im_end|>", padding_side="left"
    )
    made.chat_template = CHAT_TEMPLATE
    made.response_template = RESPONSE_TEMPLATE  # pyright: ignore[reportAttributeAccessIssue]
    return made


def phrases(talks: list[list[dict[str, Any]]]) -> set[str]:
    """Texts that are one token each: prompts that come often, and what all calls or all answers begin and end with."""
    prompts = Counter(str(talk[0]["content"]) for talk in talks)
    found = {prompt for prompt, count in prompts.items() if count >= max(2, OFTEN * len(talks))}
    found |= {f"{role}\n" for role in ("user", "assistant", "tool")}
    groups: dict[str, set[str]] = {}
    for each in (each for talk in talks for each in talk):
        for call in each.get("tool_calls") or []:
            function = call["function"]
            text = str(wrapped(Tokenizer(models.BPE())).apply_chat_template([each], tokenize=False))
            groups.setdefault(f"call of {function['name']}", set()).add(
                text.partition("<tool_call>")[2].partition("</tool_call>")[0]
            )
        if each["role"] == "tool":
            groups.setdefault("tool", set()).add(str(each["content"]))
    for texts in groups.values():
        found |= {
            ends for ends in (shared_start(texts), shared_start(text[::-1] for text in texts)[::-1]) if len(ends) > 1
        }
    return found


def shared_start(texts: Iterable[str]) -> str:
    """What all texts begin with, of several."""
    listed = list(texts)
    shared = takewhile(lambda letters: len(set(letters)) == 1, zip(*listed, strict=False))
    return "".join(letters[0] for letters in shared) if len(listed) > 1 else ""


def model(made: PreTrainedTokenizerFast, width: int = 96, layers: int = 2, positions: int = 1024) -> LlamaForCausalLM:
    """A Llama of about half a million parameters, with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(made),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=positions,
            pad_token_id=made.pad_token_id,
            eos_token_id=made.eos_token_id,
            bos_token_id=None,
            tie_word_embeddings=True,
        )
    )
