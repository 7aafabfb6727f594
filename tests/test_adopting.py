"""docs/adopting.md, followed with a small environment that was written by hand after the seed document."""

import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import Attach
from generated import LINES, ROOT, Template, as_on_github, run_ok

PAGE = (ROOT / "docs" / "adopting.md").read_text(encoding="utf-8")

TOOL_BODY = """\
        game.tries += 1
        if body.number == game.secret:
            game.found = True
            return ToolResponse(output=f"Yes, it is {game.secret}.")
        return ToolResponse(output="higher" if body.number < game.secret else "lower")
"""

HAND_MADE = f"""\
from typing import Any, Dict

from fastapi import FastAPI, Request
from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig, BaseSeedSessionRequest, BaseSeedSessionResponse, BaseVerifyRequest, BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.server_utils import SESSION_ID_KEY
from pydantic import BaseModel, Field

from number_game import NumberGame


class MyConfig(BaseResourcesServerConfig):
    pass


class GuessReq(BaseModel):
    number: int


class ToolResponse(BaseModel):
    output: str


class MyVerifyRequest(BaseVerifyRequest):
    ground_truth: list = []


class MyResourcesServer(SimpleResourcesServer):
    config: MyConfig
    sessions: Dict[str, Dict[str, Any]] = Field(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/guess")(self.guess)
        return app

    async def seed_session(self, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        return BaseSeedSessionResponse()

    def _sess(self, request: Request) -> Dict[str, Any]:
        sid = request.session[SESSION_ID_KEY]
        if sid not in self.sessions:
            self.sessions[sid] = {{"game": NumberGame(7)}}
        return self.sessions[sid]

    async def guess(self, body: GuessReq, request: Request) -> ToolResponse:
        game = self._sess(request)["game"]
{TOOL_BODY}
    async def verify(self, body: MyVerifyRequest) -> BaseVerifyResponse:
        expected = body.ground_truth[0].get("expected_output", "") if body.ground_truth else ""
        outputs = [item.output for item in body.response.output if item.type == "function_call_output"]
        return BaseVerifyResponse(**body.model_dump(), reward=float(any(expected in output for output in outputs)))


if __name__ == "__main__":
    MyResourcesServer.run_webserver()
"""

DOMAIN = '''\
"""Guess a number from 1 to 20."""


class NumberGame:
    def __init__(self, secret: int) -> None:
        self.secret = secret
        self.tries = 0
        self.found = False
'''

TASKS = '''\
"""The tasks and their answers."""


import json
from pathlib import Path

PROMPT = json.loads(Path(__file__).with_name("data").joinpath("prompt.json").read_text())["prompt"]


def tasks() -> dict[str, list[dict[str, str]]]:
    """One task per number."""
    splits = {"train": range(1, 9), "validation": range(9, 15), "example": range(15, 20), "demo": [20]}
    return {split: [_task(number) for number in numbers] for split, numbers in splits.items()}


def _task(number: int) -> dict[str, str]:
    return {
        "task_id": f"number-{number}",
        "prompt": PROMPT,
        "expected_output": f"Yes, it is {number}.",
    }
'''

PLAYER = '''\
"""Halves the range."""


def play(row):
    low, high = 1, 20
    while True:
        number = (low + high) // 2
        answer = yield "guess", {"number": number}
        if answer == "higher":
            low = number + 1
        elif answer == "lower":
            high = number - 1
        else:
            return
'''


PROMPT = "Find my number between 1 and 20 with the tool guess."
OWN_TEST = """\
from number_game import NumberGame


def test_it_begins_without_a_try() -> None:
    assert NumberGame(7).tries == 0
"""
MINE = {
    "data/prompt.json": json.dumps({"prompt": PROMPT}),
    "tests/test_numbers.py": OWN_TEST,
    ".github/workflows/mine.yml": "name: Mine\n",
}
"""Files of the user's that stay where they are."""


def steps() -> list[str]:
    """The page's blocks of commands, in order."""
    return [re.sub("^   ", "", block, flags=re.M) for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.long
def test_a_hand_made_environment_keeps_its_tool_bodies(template: Template, attach: Attach, tmp_path: Path) -> None:
    folder = tmp_path / "number_game"
    for name, text in {
        "server.py": HAND_MADE,
        "number_game.py": DOMAIN,
        "__init__.py": "",
        "rollout.py": "import requests\n",
        "pyproject.toml": '[project]\nname = "number-game"\nversion = "2.1.0"\ndependencies = ["simpy>=4"]\n',
        "uv.lock": "version = 1\n",
        ".gitignore": "/scratch/\n",
        "data/example.jsonl": "{}\n",
        "README.md": "# Numbers\n",
        "Dockerfile": "FROM python:3.12\n",
        "configs/number_game.yaml": "number_game_resources_server: {}\n",
        **MINE,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git = {f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    # `uvx copier`, without asking a package index for it.
    uvx = tmp_path / "bin" / "uvx"
    uvx.parent.mkdir()
    uvx.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m "$@"\n')
    uvx.chmod(0o755)
    env = as_on_github(template, tmp_path) | git | {"PATH": f"{uvx.parent}{os.pathsep}{os.environ['PATH']}"}
    run_ok("git", "init", "-q", cwd=folder)
    run_ok("git", "add", "-A", cwd=folder)
    run_ok("git", "commit", "-qm", "By hand", cwd=folder, env=env)

    make_room, generate, check = steps()
    run_ok("bash", "-ec", make_room, cwd=folder, env=env)
    command = generate.strip().replace("env_name=my_env", "env_name=number_game") + " --defaults"
    run_ok("bash", "-ec", command, cwd=folder, env=env)
    assert (folder / "before" / "server.py").read_text() == HAND_MADE

    # Step 3: the tool's body moves over as it is.
    server = (folder / "server.py").read_text()
    for sample, own in (
        (WORD, NUMBER),
        ("        return ToolResponse(output=game.guess(body.word))\n", TOOL_BODY),
        ("WordleGame(str(expected_output(row)))", "NumberGame(int(str(expected_output(row))[11:-1]))"),
        ("episode.solved", "episode.found"),
        ("len(episode.guesses)", "episode.tries"),
        ("from wordle import WordleGame", "from number_game import NumberGame"),
        ("WordleGame", "NumberGame"),
    ):
        assert sample in server, sample
        server = server.replace(sample, own)
    (folder / "server.py").write_text(server)
    # Step 4: the domain in place of the sample's.
    (folder / "number_game.py").write_text(DOMAIN)
    (folder / "tasks.py").write_text(TASKS)
    (folder / "policy.py").write_text(PLAYER)
    for sample in ("wordle.py", "task_data.py", "tests/test_wordle.py", "tests/cheats.py"):
        (folder / sample).unlink()

    # Step 5.
    project = folder / "pyproject.toml"
    text = project.read_text().replace('name = "number-game-environment"', 'name = "number-game"')
    project.write_text(text.replace('version = "0.1.0"', 'version = "2.1.0"'))
    for line in re.findall(r"`(cat [^`]+)`", PAGE):
        run_ok("bash", "-ec", line, cwd=folder)
    assert "`uv add PACKAGE`" in PAGE
    run_ok("uv", "add", "--frozen", "simpy>=4", cwd=folder)

    # Step 6, with the virtual environment that the tests share.
    assert "uv sync" in check
    environment = attach(folder, LINES[0])
    for line in check.strip().splitlines()[1:]:
        # Those of rollout.py start a server each time; one rollout follows below.
        quick = {"PYTEST_ADDOPTS": "--ignore=tests/test_rollout.py"}
        environment.run_ok("bash", "-ec", line, env=quick)
    assert TOOL_BODY in (folder / "server.py").read_text()
    assert not (folder / "before").exists()
    for name, own in MINE.items():
        assert (folder / name).read_text() == own
    ignored = (folder / ".gitignore").read_text().splitlines()
    assert "/scratch/" in ignored
    assert "__pycache__/" in ignored
    found = tomllib.loads(project.read_text())["project"]
    assert (found["name"], found["version"], found["dependencies"][-1]) == ("number-game", "2.1.0", "simpy>=4")
    rows = (folder / "data" / "example.jsonl").read_text().splitlines()
    assert all(json.loads(row)["responses_create_params"]["input"][-1]["content"] == PROMPT for row in rows)
    cases = (folder / "tests" / "verifier_cases.jsonl").read_text()
    assert "Yes, it is" in cases
    assert "crane" not in cases
    won = environment.run_ok(environment.python, "rollout.py")
    assert won.rstrip().endswith("Reward: 1")


WORD = "    word: str = Field(description=\"An English word with five letters, as 'crane'.\")\n"
NUMBER = '    number: int = Field(description="A number from 1 to 20.")\n'
