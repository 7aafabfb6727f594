# Part of the template: changes belong there (`copier update` merges this file).
"""The files beside server.py: tasks, what a row holds, the first player, tests."""

import json
from pprint import pformat
from typing import Any

from gymkit.wrapping.code import Wrapped, import_lines, quoted, row_key

SIZES = '{"example": 5, "validation": 5, "train": 5, "demo": 1}'


def seeded(wrapped: Wrapped) -> bool:
    """Whether the tasks differ by a seed."""
    interface = wrapped.interface
    has_seed = any(each.name == "seed" and "int" in each.type for each in interface.constructor)
    return interface.shape == "gymnasium" or (has_seed and "seed" not in wrapped.tasks)


# --------------------------------------------------------------------------------------------------------------- tasks

TASKS_HEAD = '''\
"""The tasks and their answers, by split. The server never imports this file, and it is not part of an image or a Space.

`uv run gymkit data` writes the rows in data/ from it.

{to_do}
"""

'''

TASKS = '''\
SIZES = {sizes}
"""How many tasks each split has."""


def tasks() -> dict[str, list[dict[str, Any]]]:
    """All tasks, by split."""
    numbers = count()
    return {{split: [_task(split, next(numbers)) for _ in range(size)] for split, size in SIZES.items()}}


def _task(split: str, number: int) -> dict[str, Any]:
    return {{{task}}}
'''


def tasks_code(wrapped: Wrapped) -> str:
    """The text of tasks.py."""
    interface = wrapped.interface
    name = f'"task_id": f"{wrapped.module}-{{split}}-{{number:03d}}"'
    if interface.shape == "dataset":
        return _dataset_tasks(wrapped, name)
    prompt = str(wrapped.tasks.get("prompt", interface.summary or "Solve the task with the tools."))
    given = {key: value for key, value in wrapped.tasks.items() if key not in ("prompt", "expected_output")}
    to_do = "To do: these are the same task again and again. Write yours, with the prompt that a model needs."
    if seeded(wrapped):
        to_do = "To do: these differ by their seeds alone. Write the prompt that a model needs, and more tasks."
    text = TASKS_HEAD.format(to_do=to_do) + "from itertools import count\nfrom typing import Any\n\n"
    parts = [name, '"prompt": PROMPT']
    if interface.shape == "functions":
        call, prompt, module = _first_call(wrapped, prompt)
        text += f"{module}\n\nPROMPT = {quoted(prompt, 9)}\n\n"
        parts.append(f'"expected_output": {call}')
    else:
        text += f"PROMPT = {quoted(prompt, 9)}\n\n"
    if given:
        text += f"FIRST: dict[str, Any] = {pformat(given, width=100, sort_dicts=False)}\n"
        text += f'"""What `{interface.name}()` is made with."""\n\n'
        parts.append("**FIRST")
    parts.append('"seed": number' if seeded(wrapped) else '"number": number')
    return text + TASKS.format(sizes=SIZES, task=", ".join(parts))


def _first_call(wrapped: Wrapped, prompt: str) -> tuple[str, str, str]:
    """The answer of the first task, its prompt, and the import that it needs: a function's result, or what is given."""
    if "expected_output" in wrapped.tasks:
        return json.dumps(wrapped.tasks["expected_output"]), prompt, ""
    samples: dict[str, list[Any]] = {
        "str": ["a text", "text"],
        "int": [12, 7],
        "float": [2.5, 4.0],
        "bool": [True, False],
    }
    for method in wrapped.interface.methods:
        if not method.is_async and all(each.type in samples for each in method.parameters):
            given = {each.name: samples[each.type][number % 2] for number, each in enumerate(method.parameters)}
            arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
            call = f"{wrapped.module}.{method.name}({arguments})"
            asked = f"What does the tool {method.name} answer to ({arguments})? Call it, and say its answer alone."
            package = wrapped.interface.module.rpartition(".")[0]
            line = f"from {package} import {wrapped.module}\n" if package else f"import {wrapped.module}\n"
            return f"as_text({call})", asked, f"{line}from gymkit.shapes import as_text"
    return '"42"', prompt, ""


DATASET_TASKS = '''
PROMPT = r"""{{question}}

End with the answer in a box, as \\boxed{{{{...}}}}, and write no other box."""
CHANCE = 0.05
"""What a guess may earn in the mean, where the answer stands in its question."""

DATASET = {kind}({config}(seed=20240229, size=sum(SIZES.values())))


def tasks() -> dict[str, list[dict[str, Any]]]:
    """All tasks, by split: entries of the dataset."""
    numbers = count()
    return {{split: [_task(split, next(numbers)) for _ in range(size)] for split, size in SIZES.items()}}


def _task(split: str, number: int) -> dict[str, Any]:
    entry = DATASET[number]
    task = {{
        {name},
        "prompt": PROMPT.format(question=entry["question"]),
        "expected_output": entry["answer"],
        "question": entry["question"],
        "metadata": entry["metadata"],
    }}
    if str(entry["answer"]) in entry["question"]:
        task["chance"] = CHANCE
    return task
'''


def _dataset_tasks(wrapped: Wrapped, name: str) -> str:
    (config,) = wrapped.interface.constructor
    imports = import_lines([(wrapped.interface.module, wrapped.interface.name), *config.imports])
    head = TASKS_HEAD.format(to_do="The dataset's configuration says how hard they are, SIZES how many there are.")
    lines = "\n".join(["from itertools import count", "from typing import Any", "", *imports])
    body = DATASET_TASKS.format(kind=wrapped.kind, config=config.type, name=name)
    return f'{head}{lines}\n\nSIZES = {SIZES}\n"""How many tasks each split has."""\n{body}'


# ---------------------------------------------------------------------------------------------------------------- rows

TASK_DATA = '''\
"""What a data row holds besides `responses_create_params`: whatever `new_episode()` and `grade()` read.

`uv run gymkit data` refuses a row that is not so. NeMo Gym 0.7 shows it (`gym env schema`) and checks data sets by it,
without the server: so nothing is imported but the standard library and pydantic.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

{truth}
class TaskData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task_id: str = Field(description="Names the task in logs and rollouts.")
{fields}    row_key: str = Field(default="", description="Random: a model cannot know the row. `gymkit data` adds it.")
'''

TRUTH = """
class GroundTruth(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expected_output: {type} = Field(description="The answer.")

"""


def task_data_code(wrapped: Wrapped) -> str:
    """The text of task_data.py."""
    shape, fields, truth = wrapped.interface.shape, [], ""
    if shape in ("dataset", "functions"):
        truth = TRUTH.format(type="Any" if shape == "dataset" else "str")
        fields.append("    ground_truth: list[GroundTruth] = Field(min_length=1, max_length=1)\n")
    if shape == "dataset":
        fields.append('    question: str = Field(description="The question, as the dataset has it.")\n')
        fields.append('    metadata: dict[str, Any] = Field(description="What the dataset scores by.")\n')
        fields.append('    chance: float | None = Field(default=None, description="What a guess earns in the mean.")\n')
    else:
        for each in wrapped.interface.constructor:
            default = "" if each.json_default is None else f"default={each.json_default}, "
            limits = f"{each.limits}, " if each.limits else ""
            begin = f"    {row_key(each)}: {each.json_type} = Field({default}{limits}description="
            fields.append(f"{begin}{quoted(each.description, len(begin))})\n")
        if shape == "gymnasium":
            fields.append('    seed: int = Field(description="With which the environment is reset.")\n')
        elif not seeded(wrapped):
            fields.append(
                '    number: int = Field(default=0, description="Tells tasks apart that are otherwise the same.")\n'
            )
    return TASK_DATA.format(fields="".join(fields), truth=truth)


# -------------------------------------------------------------------------------------------------------------- player

POLICY = '''\
"""A player that needs no model: rollout.py's default.

{to_do}
"""

from collections.abc import Generator
from random import Random
from typing import Any

from gymkit.arguments import any_arguments
from gymkit.rows import expected_output

{calls}
def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    """Play one episode: yield a tool call as `(name, arguments)` and be sent its output, or yield a text to say."""
{body}
{earned}'''

RANDOM = """\
    random = Random(row["task_id"])
    for tool in random.choices(row["responses_create_params"]["tools"], k=CALLS):
        yield tool["name"], any_arguments(tool, random, [])
"""
SAYS = {
    "dataset": '    yield rf"\\boxed{{{expected_output(row)}}}"\n',
    "functions": "    yield str(expected_output(row))\n",
    "answers": "    yield str(expected_output(row))\n",
}
CALLS = 'CALLS = 5\n"""How many it makes."""\n\n'


def policy_code(wrapped: Wrapped, earned: dict[str, float], highest: float) -> str:
    """The text of policy.py.

    Args:
        wrapped: What is wrapped.
        earned: What the player has earned on each task, by `task_id`.
        highest: The highest reward. Where it is always earned, the player need not say what it earns.
    """
    shape = wrapped.interface.shape
    to_do = "To do: it calls tools at random, as their schemas say. Write one that solves the tasks."
    if not wrapped.has_tools:
        to_do = "It is no solver: it says the answer that is in the row."
    elif shape == "functions":
        to_do = (
            "To do: it calls tools at random, and says the answer that is in the row. Write one that solves the tasks."
        )
    body = (RANDOM if wrapped.has_tools else "") + SAYS.get(shape, "")
    said = "" if set(earned.values()) <= {highest} else _earned(earned)
    return POLICY.format(to_do=to_do, calls=CALLS if wrapped.has_tools else "", body=body, earned=said)


def _earned(earned: dict[str, float]) -> str:
    head = "\ndef expected_reward(row: dict[str, Any]) -> float:\n"
    if len(set(earned.values())) == 1:
        return f'{head}    """What these calls earn, on every task."""\n    return {next(iter(earned.values()))!r}\n'
    table = pformat(earned, width=100, sort_dicts=False)
    return (
        f'\nEARNED = {table}\n"""What these calls earned on each task when `gymkit wrap` tried them."""\n\n'
        f'{head}    """What these calls earn on a task."""\n    return EARNED[row["task_id"]]\n'
    )


# --------------------------------------------------------------------------------------------------------------- tests

TESTS = '''\
"""{what}, over HTTP. To do: tests of its rules."""

from random import Random

import pytest
from harness import Client, Row, played

from gymkit import project
from gymkit.arguments import any_arguments
from tasks import tasks


def test_the_tasks_are_always_the_same() -> None:
    assert tasks() == tasks()

{each_tool}{pending}
def test_the_player_solves_the_first_task(client: Client, rows: list[Row]) -> None:
    assert played(client, rows[0])["reward"] == project.reward_range()[1]
'''

EACH_TOOL = """
def test_each_tool_answers(client: Client, rows: list[Row]) -> None:
    client.seed(rows[0])
    for tool in client.tools():
        answer = client.tool(tool["name"], **any_arguments(tool, Random(1), []))
        assert not answer.startswith(f"{tool['name']} failed"), answer

"""

PENDING = """
@pytest.mark.xfail(strict=True, reason="policy.py calls tools at random: when it solves the task, delete this line")"""


def tests_code(wrapped: Wrapped, earned: dict[str, float], highest: float) -> str:
    """The text of the tests. What the player does not do yet is expected to fail, and says what it waits for."""
    what = f"`{wrapped.interface.name}`" if wrapped.interface.name else f"The functions of `{wrapped.interface.module}`"
    first = next((value for name, value in earned.items() if "-example-" in name), highest)
    return TESTS.format(
        what=what,
        each_tool=EACH_TOOL if wrapped.has_tools else "",
        pending="" if first == highest else PENDING,
    )
