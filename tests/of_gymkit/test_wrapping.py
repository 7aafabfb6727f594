"""`gymkit wrap` and `gymkit adopt`: what is read of a domain, what is written, and what a second wrap leaves."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from gymkit.wrap import drift
from gymkit.wrapping import merging, other_code
from gymkit.wrapping.code import Wrapped
from gymkit.wrapping.hand_made import adopted, read_hand_made
from gymkit.wrapping.hints import NoJson, source_of
from gymkit.wrapping.interface import Interface, WrapError
from gymkit.wrapping.reader import read
from gymkit.wrapping.server_code import server_code

Reads = Callable[..., Interface]
NUMBERS = count()


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """A function that reads a class, or the functions, of a text."""
    monkeypatch.syspath_prepend(tmp_path)

    def reads(text: str, name: str = "", methods: Sequence[str] = (), reward: str = "") -> Interface:
        module = f"domain_{next(NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(text)
        return read(module, name, list(methods), reward)

    return reads


# --------------------------------------------------------------------------------------------------------------- types


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Square:
    file: str


class Arrow(BaseModel):
    start: int


@pytest.mark.parametrize(
    ("hint", "text", "json_text", "limits"),
    [
        (int, "int", "int", ""),
        (str | None, "str | None", "str | None", ""),
        (Literal["a", 2], "Literal['a', 2]", "Literal['a', 2]", ""),
        (Sequence[float], "list[float]", "list[float]", ""),
        (Mapping[str, int], "dict[str, int]", "dict[str, int]", ""),
        (tuple[int, str], "tuple[int, str]", "list[int | str]", ""),
        (dict, "dict[str, Any]", "dict[str, Any]", ""),
        (object, "Any", "Any", ""),
        (Colour, "Colour", "Literal['red', 'blue']", ""),
        (list[Square], "list[Square]", "list[dict[str, Any]]", ""),
        (Arrow, "Arrow", "dict[str, Any]", ""),
        (Annotated[int, Field(ge=0), "How many."], "int", "int", "ge=0"),
        (list[Annotated[int, Field(le=9)]], *["list[Annotated[int, Field(le=9)]]"] * 2, ""),
    ],
)
def test_a_type_becomes_source_code(hint: Any, text: str, json_text: str, limits: str) -> None:
    source = source_of(hint)
    assert (source.text, source.json_text, source.limits) == (text, json_text, limits)


@pytest.mark.parametrize("hint", [Callable[[], int], type, list[Callable[[], int]]])
def test_a_type_that_json_cannot_hold_is_none(hint: Any) -> None:
    with pytest.raises(NoJson):
        source_of(hint)


# -------------------------------------------------------------------------------------------------- what is written

PUZZLE = '''\
from enum import Enum
from typing import Annotated


class Shown(Enum):
    LETTERS = "letters"
    FEN = "fen"


class Puzzle:
    """Find the move. There is one.

    Args:
        fen: The position.
    """

    def __init__(self, fen: str, tries: int = 3) -> None:
        self.fen = fen
        self.solved = False

    @property
    def tries_left(self) -> int:
        return 3

    def move(self, uci: Annotated[str, "The move."]) -> str:
        """Play a move."""
        return uci

    async def show(self, shown: Shown = Shown.LETTERS) -> list[str]:
        """Show the position.

        Parameters
        ----------
        shown : Shown
            In which form.
        """
        return []

    def note(self, text, json=False):
        """Write something down.

        :param text: What.
        """

    def _hidden(self) -> None: ...

    def close(self) -> None: ...
'''


def wrapped(interface: Interface) -> Wrapped:
    return Wrapped(interface, "My", "solved", {"fen": "8/8"})


def test_a_class_becomes_a_server(reads: Reads) -> None:
    interface = reads(PUZZLE, "Puzzle", reward="solved")
    assert interface.summary == "Find the move."
    assert interface.members == {"solved": "property", "tries_left": "property"}
    text = server_code(wrapped(interface))
    for line in (
        'uci: str = Field(description="The move.")',
        'shown: Shown = Field(default=Shown.LETTERS, description="In which form.")',
        'json_: bool = Field(default=False, alias="json", description="The json.")',
        'text: str = Field(description="What.")',
        'app.post("/move")(self.move)',
        'return Puzzle(fen=row["fen"], tries=row.get("tries", 3))',
        "return Verdict(reward=float(episode.solved))",
        "def end_episode(self, episode: Puzzle) -> None:",
        "return ToolResponse(output=episode.move(uci=body.uci))",
        "return ToolResponse(output=as_text(await episode.show(shown=body.shown)))",
        "return ToolResponse(output=as_text(episode.note(text=body.text, json=body.json_)))",
    ):
        assert line in text
    assert "    async def show(self, body: ShowRequest" in text
    assert "_hidden" not in text
    untyped = {each.name: each for method in interface.methods for each in method.parameters if not each.typed}
    assert {name: each.type for name, each in untyped.items()} == {"text": "str", "json": "bool"}


def test_what_is_written_beside_the_server_is_python(reads: Reads) -> None:
    whole = wrapped(reads(PUZZLE, "Puzzle", reward="solved"))
    texts = (
        server_code(whole),
        other_code.tasks_code(whole),
        other_code.task_data_code(whole),
        other_code.policy_code(whole, {"a": 0.5}, 1.0),
        other_code.tests_code(whole, {"a-example-0": 0.5}, 1.0),
    )
    for text in texts:
        ast.parse(text)
    assert "fen: str = Field(description=" in texts[2]
    assert "return 0.5" in texts[3]
    assert "xfail" in texts[4]


def test_functions_become_tools_that_are_graded_by_the_answer(reads: Reads) -> None:
    text = server_code(wrapped(reads("def add(a: int, b: int = 2) -> int:\n    return a + b\n")))
    assert ".add(a=body.a, b=body.b)" in text
    assert "stated(final_answer(response)) == [clean(expected_output(row))]" in text


# ------------------------------------------------------------------------------------------------------ wrapped again


def test_a_changed_class_is_told(reads: Reads) -> None:
    puzzle = PUZZLE.replace("Shown = Shown.LETTERS", "bool = True")  # no import of a module whose name differs
    before = reads(puzzle, "Puzzle", reward="solved")
    assert drift(before, reads(puzzle, "Puzzle", reward="solved")) == []
    changed = (
        puzzle.replace("tries: int = 3", "tries: int = 4")
        .replace("def note(", "def write(")
        .replace("Play a move.", "Play one move.")
        .replace("def close(", "def end(")
    )
    now = reads(changed, "Puzzle", reward="solved")
    assert drift(before, now) == [
        "close() has changed",
        "end is new",
        "move: description changed",
        "note is gone",
        "the constructor's arguments have changed",
        "write is new",
    ]


def test_what_was_edited_stays_and_the_rest_follows(reads: Reads) -> None:
    first = server_code(wrapped(reads(PUZZLE, "Puzzle", reward="solved")))
    mine = first.replace("episode.move(uci=body.uci)", "episode.move(uci=body.uci.lower())")
    changed = PUZZLE.replace("def note(self, text, json=False)", "def note(self, text, times: int)").replace(
        'uci: Annotated[str, "The move."]', 'uci: Annotated[str, "A move."], fast: bool = True'
    )
    changed += "\n    def help(self) -> str:\n        return ''\n"
    second = server_code(wrapped(reads(changed, "Puzzle", reward="solved")))
    text, left = merging.merged(mine, second, merging.digests(first))
    assert left == ["move"]
    assert "episode.move(uci=body.uci.lower())" in text
    assert "fast: bool = Field(" in text
    assert "times=body.times" in text
    assert "json_" not in text
    assert 'app.post("/help")(self.help)' in text
    ast.parse(text)


# ---------------------------------------------------------------------------------------------------------- bad input

BAD = """\
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator


class Reserved:
    def seed_session(self) -> None: ...

    def go(self) -> None: ...


class Yields:
    def go(self) -> Iterator[int]:
        yield 1


class Places:
    def go(self, where: str, /) -> None: ...


class Anything:
    def go(self, **rest: str) -> None: ...


class NoJson:
    def go(self, where: Callable[[], int]) -> None: ...

    def stay(self) -> None: ...


class Unknown:
    def go(self, where: "Nowhere") -> None: ...  # noqa: F821


class Abstract(ABC):
    @abstractmethod
    def go(self) -> None: ...


class Nothing:
    done = True
"""

REFUSED = {
    "Thing": "has no class Thing. Its classes: Reserved, Yields, ",
    "Reserved": "line 6: seed_session has the name of an endpoint of NeMo Gym's: rename it, or leave it out "
    "with --methods go.",
    "Yields": "go is a generator, and a tool answers once: return a list, or ",
    "Places": "go(where) is positional-only, and tools are called by names: remove the `/`",
    "Anything": "go(rest) takes anything: name its arguments",
    "NoJson": "go(where): JSON cannot hold Callable: take a type that it can, or leave it out with --methods stay.",
    "Unknown": "its types cannot be read: name 'Nowhere' is not defined. Mend them first.",
    "Abstract": "Abstract is abstract",
    "Nothing": "there is no public method that could be a tool.",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_wrapped_is_said_in_one_line(reads: Reads, name: str) -> None:
    with pytest.raises(WrapError) as caught:
        reads(BAD, name)
    assert REFUSED[name] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_package\n", "because it imports no_such_package: `uv add` the package that has it"),
        ("print(1 / 0)\n", "cannot be imported: ZeroDivisionError: division by zero. Mend it first."),
        ("raise SystemExit\n", "ends the process when it is imported: put what it does under `if __name__"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(reads: Reads, text: str, said: str) -> None:
    with pytest.raises(WrapError) as caught:
        reads(text, "Thing")
    assert said in str(caught.value)


# ------------------------------------------------------------------------------------------------- a hand-made server

HAND_MADE = """\
from fastapi import FastAPI, Request
from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer
from nemo_gym.server_utils import SESSION_ID_KEY
from pydantic import BaseModel, Field

from number_game import NumberGame


class GuessReq(BaseModel):
    number: int


class ToolResponse(BaseModel):
    output: str


class MyResourcesServer(SimpleResourcesServer):
    sessions: dict = Field(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/guess")(self.guess)
        return app

    def _sess(self, request: Request):
        sid = request.session[SESSION_ID_KEY]
        if sid not in self.sessions:
            self.sessions[sid] = {"game": NumberGame(7)}
        return self.sessions[sid]

    async def guess(self, body: GuessReq, request: Request) -> ToolResponse:
        game = self._sess(request)["game"]  # the state
        return ToolResponse(output=game.guess(body.number))

    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        right = "yes" in str(body.response.output)  # a claim
        return BaseVerifyResponse(**body.model_dump(), reward=1.0 if right else 0.0)
"""


def test_a_hand_made_server_keeps_its_bodies(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(HAND_MADE)
    text = adopted(read_hand_made(tmp_path))
    ast.parse(text)
    for line in (
        "class GuessReq(ToolRequest):\n    number: int = Field(description=\"The number.\")",
        '        """Guess."""\n        game = self._sess(request)["game"]  # the state\n',
        '            return {"game": NumberGame(7)}',
        "    def grade(self, episode: Any, row: Row, response: Response) -> Verdict:",
        '        right = "yes" in str(body.response.output)  # a claim\n',
        "        return Verdict(reward=float(1.0 if right else 0.0))",
    ):  # fmt: skip
        assert line in text
    assert "SESSION_ID_KEY]" not in text
    assert "nemo_gym" not in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory. Name the folder of a hand-made environment."),
        ("class A:\n", "line 1: expected an indented block"),
        ("class A:\n    pass\n", "has no class that is built on SimpleResourcesServer"),
        ("class A(SimpleResourcesServer):\n    pass\n", "A has no verify(), so there is nothing that grades."),
    ],
)
def test_what_is_no_hand_made_server_is_refused_in_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "server.py").write_text(text)
    with pytest.raises(WrapError) as caught:
        read_hand_made(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
