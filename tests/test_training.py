"""train/ of a generated environment: what TRL is given of it, and what comes back. (`FULL=1`: real training.)"""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adapter
import pytest
import requests
import schemas
import yaml
from conftest import Environments
from generated import ARCHETYPES, LINES, ROOT, free_port
from gym_servers import serving
from PIL import Image
from transformers.utils.chat_template_utils import get_json_schema

Tool = dict[str, Any]

KEYWORD: dict[str, Any] = {"from": {"type": "string"}}


def rows_of(archetype: str, split: str = "example") -> list[dict[str, Any]]:
    path = ROOT / "template" / f"{{{{ {archetype} }}}}" / "data" / f"{split}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tool(name: str = "guess", description: str = "Guess.", required: tuple[str, ...] = (), **properties: Any) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "name": name, "description": description, "parameters": parameters, "strict": False}


def shown(made: Tool) -> Tool:
    """The schema of a tool as TRL's trainer takes it from the object of a rollout."""
    method = schemas.tool_method(made, lambda self, name, arguments: "")
    holder = type("Holder", (), {made["name"]: method})()
    return get_json_schema(getattr(holder, made["name"]))


# ------------------------------------------------------------------------------------------------------------ schemas


@pytest.mark.parametrize("archetype", ARCHETYPES)
def test_the_tools_of_every_archetype_reach_a_model_as_they_are(archetype: str) -> None:
    tools = rows_of(archetype)[0]["responses_create_params"].get("tools", [])
    session = adapter.factory("http://127.0.0.1:9", tools)()
    public = [name for name in dir(type(session)) if not name.startswith("_") and name != "reset"]
    assert sorted(public) == sorted(each["name"] for each in tools)
    for each in tools:
        seen = get_json_schema(getattr(session, each["name"]))["function"]
        assert seen["name"] == each["name"]
        assert seen["description"] == " ".join(each["description"].split())
        assert list(seen["parameters"]["properties"]) == list(each["parameters"]["properties"])
        assert seen["parameters"].get("required", []) == each["parameters"]["required"]


def test_a_schema_comes_back_with_its_types_and_says_its_limits() -> None:
    made = tool(
        required=("word", "count"),
        word={"type": "string", "description": "A word.", "maxLength": 5},
        count={"type": "integer", "minimum": 1, "maximum": 9},
        button={"enum": ["left", "right"], "type": "string", "default": "left", "description": "Which."},
        keys={"type": "array", "items": {"type": "string"}, "description": "Keys."},
        place={"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "description": "Where."},
    )
    parameters = shown(made)["function"]["parameters"]
    schemas.check_carried(made, shown(made))
    assert parameters["required"] == ["word", "count"]
    assert parameters["properties"]["word"] == {"type": "string", "description": "A word. (at most 5 characters)"}
    assert parameters["properties"]["count"]["description"] == "count (at least 1; at most 9)"
    assert parameters["properties"]["button"]["enum"] == ["left", "right"]
    assert parameters["properties"]["button"]["description"] == "Which. (default: left)"
    assert parameters["properties"]["keys"]["items"] == {"type": "string"}
    assert parameters["properties"]["place"]["nullable"] is True


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (tool("reset"), "The tool 'reset'"),
        (tool("_hidden"), "The tool '_hidden'"),
        (tool(**KEYWORD), "argument 'from'"),
        (tool(self={"type": "string"}), "argument 'self'"),
        (tool(place={"type": "object", "properties": {"x": {"type": "integer"}}}), "argument 'place'"),
        (tool(what={}), "argument 'what'"),
        (tool(size={"type": "number", "oneOf": []}), "oneOf"),
        (tool(word={"type": "string", "description": "A word. Returns: nothing."}), "argument 'word'"),
        (tool(word={"type": "string", "description": "A word (choices: [1, 2])"}), "argument 'word'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_type_hint_cannot_carry_is_refused_by_name(made: Tool, said: str) -> None:
    with pytest.raises(schemas.SchemaRefused) as refused:
        adapter.factory("http://127.0.0.1:9", [made])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


# ----------------------------------------------------------------------------------------------------------- episodes


@pytest.fixture(scope="module")
def game(environments: Environments) -> Iterator[str]:
    with serving(environments("game", LINES[0])) as url:
        yield url


def played(url: str, row: dict[str, Any], *words: str) -> tuple[adapter.Session, list[dict[str, Any]]]:
    """A rollout as TRL plays it: its object, and its messages."""
    tools = requests.get(f"{url}/tools", timeout=30).json()
    session = adapter.factory(url, tools)()
    session.reset(row=json.dumps(row))
    completion: list[dict[str, Any]] = []
    for word in words:
        call = {"type": "function", "function": {"name": "guess", "arguments": {"word": word}}}
        completion.append({"role": "assistant", "content": "", "tool_calls": [call]})
        answer = getattr(session, "guess")(word=word)  # noqa: B009
        completion.append({"role": "tool", "name": "guess", "content": str(answer)})
    return session, [*completion, {"role": "assistant", "content": "Done."}]


def rewards_of(url: str, *episodes: tuple[adapter.Session, list[dict[str, Any]]], **more: Any) -> list[float | None]:
    sessions, completions = zip(*episodes, strict=True)
    reward = adapter.reward_function(url, requests.get(f"{url}/tools", timeout=30).json())
    return reward(completions=list(completions), row=["{}"] * len(sessions), environments=list(sessions), **more)


def test_a_reward_is_that_of_verify_and_a_model_reads_the_raw_answer(game: str) -> None:
    row, other = rows_of("game")[:2]
    secret = row["ground_truth"][0]["expected_output"]
    won, lost = played(game, row, "crane", secret), played(game, other, "crane")
    assert json.loads(won[1][1]["content"])["output"].startswith("C R A N E\n")
    body = won[0]._row | {"response": {"id": "r", "created_at": 0, "model": "m", "object": "response"}}
    body["response"] |= {"output": adapter.items_of(won[1]), "tools": [], "tool_choice": "auto"}
    body["response"] |= {"parallel_tool_calls": True}
    assert rewards_of(game, won, lost) == [1.0, 0.0]
    asked = won[0]._client.post_ok("/verify", body)  # The first verdict is final: it is given again.
    assert asked["reward"] == 1.0
    assert [item["type"] for item in asked["response"]["output"]] == ["function_call", "function_call_output"] * 2 + [
        "message"
    ]
    ids = [item["call_id"] for item in asked["response"]["output"] if "call_id" in item]
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_a_masked_sample_has_no_reward_and_is_counted(game: str) -> None:
    row = rows_of("game")[0]
    won, spoiled = played(game, row, row["ground_truth"][0]["expected_output"]), played(game, row, "crane")
    jar = spoiled[0]._client.http.cookies
    [name] = jar.keys()
    jar.clear()
    jar.set(name, "forged")
    logged: dict[str, float] = {}
    assert rewards_of(game, won, spoiled, log_metric=logged.__setitem__) == [1.0, None]
    assert logged == {"masked": 0.5, "failed": 0.0}


def test_a_lost_cookie_costs_what_the_table_of_states_says(game: str) -> None:
    rows = rows_of("game")
    played_on, untouched = played(game, rows[2], rows[2]["ground_truth"][0]["expected_output"]), played(game, rows[3])
    several = [played(game, rows[4], rows[4]["ground_truth"][0]["expected_output"]) for _ in range(2)]
    for session, _ in (played_on, untouched, *several):
        session._client.http.cookies.clear()
    assert rewards_of(game, played_on, untouched, several[0]) == [1.0, 0.0, 0.0]


def test_an_object_is_used_for_one_row_after_the_other(game: str) -> None:
    first, second = rows_of("game")[:2]
    session, completion = played(game, first, first["ground_truth"][0]["expected_output"])
    assert rewards_of(game, (session, completion)) == [1.0]
    session.reset(row=json.dumps(second))
    assert rewards_of(game, (session, [{"role": "assistant", "content": "Done."}])) == [0.0]


def test_an_environment_that_is_gone_spoils_episodes_and_then_ends_the_training(game: str) -> None:
    row = rows_of("game")[0]
    good, gone = played(game, row, row["ground_truth"][0]["expected_output"]), played(game, row)
    gone[0]._client.url = f"http://127.0.0.1:{free_port()}"
    assert "does not answer" in getattr(gone[0], "guess")(word="crane")  # noqa: B009
    logged: dict[str, float] = {}
    assert rewards_of(game, good, gone, log_metric=logged.__setitem__) == [1.0, None]
    assert logged == {"masked": 0.5, "failed": 0.5}
    with pytest.raises(adapter.CommandError, match="No episode of a whole batch") as ended:
        rewards_of(game, gone)
    assert "\n" not in str(ended.value)


def test_answers_without_tools_are_graded(environments: Environments) -> None:
    rows = [row for row in rows_of("question", "train") if row["kind"] == "choice"][:2]
    with serving(environments("question", LINES[0])) as url:
        reward = adapter.reward_function(url, [])
        texts = [f"\\boxed{{{rows[0]['ground_truth'][0]['expected_output']}}}", "I do not know."]
        answers = [[{"role": "assistant", "content": text}] for text in texts]
        assert reward(completions=answers, row=[json.dumps(row) for row in rows]) == [1.0, 0.0]


def looked(pictures: bool) -> tuple[adapter.Session, Any]:
    """A rollout in which a tool of the computer's answers with a picture, and what the model is shown of it."""
    tools = rows_of("computer_use")[0]["responses_create_params"]["tools"]
    session = adapter.factory("http://127.0.0.1:9", tools, pictures)()
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(picture, "PNG")
    image = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    session._client.call = lambda name, arguments: json.dumps({"output": f"Did {name}.", "image": image})
    return session, getattr(session, "wait")(seconds=1)  # noqa: B009


def test_a_picture_becomes_content_and_no_text_of_the_response() -> None:
    _, shown = looked(pictures=True)
    assert [part["type"] for part in shown] == ["image", "text"]
    assert shown[0]["image"].size == (40, 30) and shown[0]["image"].getpixel((1, 1)) == (255, 0, 0)
    call = {"type": "function", "function": {"name": "wait", "arguments": {"seconds": 1}}}
    completion = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "name": "wait", "content": shown}]
    assert [item.get("output") for item in adapter.items_of(completion)] == [None, '{"output": "Did wait."}']


def test_a_model_that_takes_no_pictures_is_refused() -> None:
    session, shown = looked(pictures=False)
    assert shown == '{"output": "Did wait."}'
    with pytest.raises(adapter.CommandError, match="'wait' answers with a picture, and this model takes none"):
        session._verdict([])


# --------------------------------------------------------------------------------------------------------------- rows


def test_prompts_are_messages() -> None:
    for archetype in set(ARCHETYPES) - {"conversation"}:
        for example in adapter.examples(rows_of(archetype)):
            assert all(isinstance(each["content"], str) for each in example["prompt"])
            assert json.loads(example["row"])["responses_create_params"]


@pytest.mark.parametrize("params", [{}, {"input": []}, {"input": [{"type": "function_call"}]}])
def test_a_row_without_a_prompt_is_refused_by_name(params: dict[str, Any]) -> None:
    with pytest.raises(adapter.CommandError, match="Row lost-1"):
        adapter.examples([{"task_id": "lost-1", "responses_create_params": params}])


def test_a_conversation_is_refused_with_the_reason() -> None:
    with pytest.raises(adapter.CommandError, match=r"^Row shop-\S+ has a user who answers the model\. TRL ends an"):
        adapter.examples(rows_of("conversation"))


def test_rows_for_nemo_rl_name_their_agent_in_either_form(environments: Environments, tmp_path: Path) -> None:
    environment = environments("game", LINES[0])
    said = environment.run_ok("uv", "run", "python", "train/nemo_rl.py", "--nemo-rl", "/rl", "--output", tmp_path)
    assert str(tmp_path / "train.jsonl") in said
    made = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    for row in made:
        assert row.pop("agent_ref") == {"type": "responses_api_agents", "name": "my_env_simple_agent"}
        assert row.pop("task_source") == "my_env_simple_agent"
    assert made == rows_of("game", "validation")
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["defaults"] == "/rl/examples/configs/grpo_math_1B.yaml"
    assert config["env"]["nemo_gym"]["config_paths"][1] == f"{environment.path}/configs/my_env.yaml"


@pytest.mark.parametrize("archetype", ["sandbox", "question"])
def test_a_data_set_for_the_hub_has_one_type_per_field_and_gives_the_rows_again(
    environments: Environments, archetype: str, tmp_path: Path
) -> None:
    environment = environments(archetype, LINES[0])
    environment.run_ok("uv", "run", "python", "train/hub.py", "--output", tmp_path)
    _, head, text = (tmp_path / "README.md").read_text().split("---\n", 2)
    splits = [each["split"] for each in yaml.safe_load(head)["configs"][0]["data_files"]]
    assert splits == ["train", "validation", "example"]
    for split in splits:
        examples = [json.loads(line) for line in (tmp_path / f"{split}.jsonl").read_text().splitlines()]
        assert {type(value) for example in examples for value in example.values()} == {str}
        assert len({tuple(example) for example in examples}) == 1
        again = re.search(r"```python\nrow = (.*)\n```", text)
        assert again, text
        assert [eval(again[1], {"json": json, "example": example}) for example in examples] == rows_of(archetype, split)
