# Part of the template: changes belong there (`copier update` merges this file).
"""The episodes of a run: a file of rollouts, and the failed ones that NeMo Gym puts into a file beside it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymkit.view.files import ROLLOUTS, Contents, Json, Line, Notes, opened
from gymkit.view.statistics import finite
from gymkit.view.transcripts import is_error, mapping, sequence

GRADED, MASKED, FAILED = "graded", "masked", "failed"

IDENTITIES = ("task_id", "row_key", "_ng_task_index", "prompt")
"""What tells tasks apart, the best first."""

_LONGEST_NAME = 200
_NUMBERS_OF_NOTHING = {"mask_sample"}


@dataclass(slots=True)
class Episode:
    """What is counted of an episode. What was said is read again from its line when it is shown."""

    path: Path
    line: int
    offset: int
    state: str
    """`graded`, `masked` (the environment failed, so that the reward measures nothing) or `failed` (there is none)."""
    reward: float | None
    kind: str | None
    """What went wrong."""
    reason: str | None
    identity: dict[str, str]
    """Of the task, by IDENTITIES."""
    repeat: int | None
    turns: int
    calls: dict[str, int]
    """How often each tool was called."""
    errors: dict[str, int]
    """How often it answered with an error."""
    tokens: int | None
    seconds: float | None
    characters: int
    """Of what the model and the tools said."""
    numbers: dict[str, float]
    """What `gym eval aggregate` averages: the numeric fields of the result, and the usage of tokens."""

    @property
    def task(self) -> str:
        name = next(iter(self.identity))
        return self.identity[name] if name in ("task_id", "row_key") else f"{_NAMES[name]} {self.identity[name]}"


_NAMES = {"_ng_task_index": "row", "prompt": "prompt"}


@dataclass
class Run:
    """A file of rollouts."""

    path: Path
    name: str
    """What it is called: the file's path, as short as it can be."""
    episodes: list[Episode] = field(default_factory=list)

    def by_task(self, identity: str | None = None) -> dict[str, list[Episode]]:
        """The episodes of each task, in the order of the file; the tasks named by one kind of identity."""
        found: dict[str, list[Episode]] = {}
        for episode in self.episodes:
            found.setdefault(episode.identity[identity] if identity else episode.task, []).append(episode)
        return found

    def has(self, identity: str) -> bool:
        """Whether each episode's task has it."""
        return all(identity in episode.identity for episode in self.episodes)


def read_run(contents: Contents, notes: Notes) -> Iterator[tuple[Episode, Json]]:
    """The episodes of a file and of its failures, each with the object that it was read from."""
    seen: set[Any] = set()
    alone = contents.path.stem.endswith("_failures")
    for line in contents.lines:
        episode = _episode(contents.path, line, notes, failed=alone)
        if episode is not None:
            seen.add(_attempt(line.value))
            yield episode, line.value
    beside = failures_path(contents.path)
    failures = opened(beside, notes) if not alone and beside.exists() and beside.stat().st_size else None
    if failures is None or failures.kind != ROLLOUTS:
        return
    # An attempt that failed may have been made again: the last one counts, unless one has succeeded.
    latest: dict[Any, Line] = {}
    for line in failures.lines:
        attempt = _attempt(line.value)
        latest[attempt if attempt != (None, None) else line.number] = line
    for attempt, line in latest.items():
        if attempt not in seen:
            episode = _episode(beside, line, notes, failed=True)
            if episode is not None:
                yield episode, line.value


def failures_path(path: Path) -> Path:
    """Where NeMo Gym 0.7 puts the episodes that have failed."""
    return path.with_name(f"{path.stem}_failures.jsonl")


def _attempt(value: Json) -> tuple[Any, Any]:
    """Which row was played, and which time."""
    return _hashable(value.get("_ng_task_index")), _hashable(value.get("_ng_rollout_index"))


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | str) else None


def _episode(path: Path, line: Line, notes: Notes, *, failed: bool) -> Episode | None:
    result = line.value
    reward = result.get("reward")
    kind = _text(result.get("failure_kind") or result.get("_ng_failure_class"))
    masked = bool(result.get("mask_sample") or mapping(result.get("instance_config")).get("mask_sample"))
    if not finite(reward):
        if not (failed or masked or kind):
            notes.line(path, line.number, "its reward is no number" if "reward" in result else "it has no reward")
            return None
        reward = None
    # `rollout.py` writes down how far an episode had come when it failed, NeMo Gym puts it into a file beside.
    failed = kind == "agent_run_error" if masked else failed or reward is None
    turns, calls, errors, characters = _counted(sequence(mapping(result.get("response")).get("output")))
    perf, usage = mapping(result.get("ng_perf")), mapping(mapping(result.get("response")).get("usage"))
    milliseconds = perf.get("total_latency_ms")
    repeat = result.get("_ng_rollout_index")
    return Episode(
        path=path,
        line=line.number,
        offset=line.offset,
        state=FAILED if failed else MASKED if masked else GRADED,
        reward=None if reward is None else float(reward),
        kind=kind if kind or not (failed or masked) else "unknown",
        reason=_text(result.get("failure_reason")),
        identity=_identity(result),
        repeat=repeat if isinstance(repeat, int) else None,
        turns=turns,
        calls=dict(calls),
        errors=dict(errors),
        tokens=_tokens(perf, usage),
        seconds=milliseconds / 1000 if finite(milliseconds) else None,
        characters=characters,
        numbers=_numbers(result, usage),
    )


def _identity(result: Json) -> dict[str, str]:
    found = {name: _short(result[name]) for name in IDENTITIES[:3] if isinstance(result.get(name), str | int)}
    prompt = json.dumps(mapping(result.get("responses_create_params")).get("input"), sort_keys=True)
    return found | {"prompt": hashlib.sha256(prompt.encode()).hexdigest()[:12]}


def _counted(output: list[Any]) -> tuple[int, Counter[str], Counter[str], int]:
    """Turns of the model, calls and errors by tool, and characters."""
    turns = characters = 0
    calls: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    tools: dict[Any, str] = {}
    by_the_model = False
    for item in output:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        was, by_the_model = by_the_model, kind in ("function_call", "reasoning") or item.get("role") == "assistant"
        turns += by_the_model and not was
        if kind == "function_call":
            name = _short(item.get("name"))
            calls[name] += 1
            tools[_hashable(item.get("call_id"))] = name
            characters += len(str(item.get("arguments")))
        elif kind == "function_call_output":
            characters += len(str(item.get("output")))
            errors[tools.get(_hashable(item.get("call_id")), "")] += is_error(item.get("output"))
        else:
            content = item.get("content")
            parts = [{"text": content}] if isinstance(content, str) else sequence(content)
            characters += sum(len(text) for part in parts if isinstance(text := mapping(part).get("text"), str))
    return turns, calls, +errors, characters


def _tokens(perf: Any, usage: Any) -> int | None:
    """Those of all calls of the model, where NeMo Gym has observed them; else those of the response's usage."""
    for counts, names in ((perf, ("prompt_tokens", "completion_tokens")), (usage, ("input_tokens", "output_tokens"))):
        found = [counts[name] for name in names if finite(counts.get(name))]
        if found:
            return int(sum(found))
    return None


def _numbers(result: Json, usage: Any) -> dict[str, float]:
    """As NeMo Gym's RewardProfiler (0.7) takes them: no nested fields but the usage, none that begin with `_`."""
    return {
        name: float(value)
        for name, value in {**result, **usage}.items()
        if not name.startswith("_")
        and len(name) <= _LONGEST_NAME
        and name not in _NUMBERS_OF_NOTHING
        and (isinstance(value, bool) or finite(value))
    }


def _short(name: Any) -> str:
    """A name that fits into a table: of a long one the beginning, and what tells it from others."""
    text = str(name)
    if len(text) <= _LONGEST_NAME:
        return text
    return f"{text[:_LONGEST_NAME]}… {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:2000]
