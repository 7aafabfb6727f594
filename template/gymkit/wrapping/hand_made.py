# Part of the template: changes belong there (`copier update` merges this file).
"""A hand-made resources server of NeMo Gym, read from its text, as a server.py of this template.

Tool bodies stay as they are, letter by letter. What is looked for: a class built on `SimpleResourcesServer`, its routes
(`app.post("/name")(self.name)`), a method that makes a session's state on the first call, and `verify()`.
"""

import ast
import json
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from gymkit.wrapping.interface import WrapError

BASE = "SimpleResourcesServer"
ENDPOINTS = {"seed_session", "verify", "close_session", "setup_webserver"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class HandMade:
    """What a hand-made server.py consists of."""

    path: Path
    source: str
    tree: ast.Module
    server: ast.ClassDef

    def text(self, node: ast.AST) -> str:
        """The source of a node, with decorators and indentation."""
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])  # type: ignore[attr-defined]
        return "".join(self.source.splitlines(keepends=True)[first - 1 : node.end_lineno])  # type: ignore[attr-defined]

    @property
    def methods(self) -> dict[str, Function]:
        return {each.name: each for each in self.server.body if isinstance(each, Function)}

    @property
    def tools(self) -> dict[str, str]:
        """The methods that are registered, and their tools' names."""
        found = {}
        setup = self.methods.get("setup_webserver")
        for node in ast.walk(setup) if setup else ():
            # app.post("/name")(self.method)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Call) and _called(node.func) == "post":
                path, method = node.func.args[0], node.args[0]
                if isinstance(path, ast.Constant) and isinstance(method, ast.Attribute):
                    found[method.attr] = str(path.value).strip("/")
        return found

    def request_models(self) -> set[str]:
        """The names of the models that are a tool's arguments."""
        annotations = [
            argument.annotation
            for name in self.tools
            if name in self.methods
            for argument in self.methods[name].args.args
        ]
        return {each.id for each in annotations if isinstance(each, ast.Name)} - {"Request"}

    @property
    def summary(self) -> str:
        """The first line of its docstring; empty where it has none."""
        return (ast.get_docstring(self.tree) or ast.get_docstring(self.server) or "").partition("\n")[0]

    def state(self) -> tuple[str, ast.expr] | None:
        """The method that makes a session's state, and what it makes; None where there is none."""
        for name, method in self.methods.items():
            for node in ast.walk(method):
                # self.sessions[sid] = {...}
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                    target = node.targets[0].value
                    if isinstance(target, ast.Attribute) and target.attr == "sessions" and name not in self.tools:
                        return name, node.value
        return None


def imported(tree: ast.Module) -> list[str]:
    """The modules that a module imports, by name."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append(node.module or "")
    return found


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def read_hand_made(path: Path) -> HandMade:
    """Read a hand-made server.py.

    Raises:
        WrapError: it is none; one line with the file and what is missing.
    """
    path = path / "server.py" if path.is_dir() else path
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except OSError as error:
        raise WrapError(f"{path}: {error.strerror}. Name the folder of a hand-made environment.") from None
    except SyntaxError as error:
        raise WrapError(f"{path}, line {error.lineno}: {error.msg}. Mend it first.") from None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id == BASE for base in node.bases
        ):
            made = HandMade(path, source, tree, node)
            if "verify" not in made.methods:
                raise WrapError(f"{path}: {node.name} has no verify(), so there is nothing that grades.")
            return made
    raise WrapError(f"{path} has no class that is built on {BASE}: name the folder of a hand-made environment.")


# ------------------------------------------------------------------------------------------------------ as it is to be

HEAD = '''\
"""The environment: its tools, how an episode begins, and what it is worth. Adopted from a hand-made server."""

from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from gymkit.answers import Response
from gymkit.fixture import verifier_fixture
from gymkit.grading import Verdict
from gymkit.rows import Row
from gymkit.serve import run
from gymkit.server import EnvironmentConfig, EnvironmentServer, InvalidRow
from gymkit.tools import ToolRequest, ToolResponse
'''


def adopted(made: HandMade) -> str:
    """The text of server.py."""
    name = made.server.name
    parts = [HEAD, *_imports(made), "\n"]
    for node in made.tree.body:
        if isinstance(node, ast.ClassDef):
            parts += _class(made, node)
        elif not isinstance(node, ast.Import | ast.ImportFrom | ast.If) and not _is_docstring(node):
            parts.append(f"\n{made.text(node)}")
    parts.append(_server(made))
    parts.append(f'\n\nVERIFIER_FIXTURE = verifier_fixture({name})\n\nif __name__ == "__main__":\n    run({name})\n')
    return "".join(parts)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _imports(made: HandMade) -> list[str]:
    """Its imports but NeMo Gym's: of those, the template has what it needs."""
    kept = [node for node in made.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [
        made.text(node)
        for node in kept
        if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nemo_gym"))
    ]


def _class(made: HandMade, node: ast.ClassDef) -> list[str]:
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    if node is made.server or node.name == "ToolResponse" or any(base.startswith("BaseVerify") for base in bases):
        return []
    if node.name in made.request_models():
        return [f"\n\n{_request_model(made, node)}"]
    return [f"\n\n{made.text(node)}".replace("(BaseResourcesServerConfig)", "(EnvironmentConfig)")]


def _request_model(made: HandMade, node: ast.ClassDef) -> str:
    """A request model, each of its fields described."""
    lines = [f"class {node.name}(ToolRequest):\n"]
    for each in node.body:
        described = "description" in made.text(each)
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and not described:
            text = json.dumps(f"The {each.target.id.replace('_', ' ')}.")
            default = "" if each.value is None else f"default={ast.unparse(each.value)}, "
            if isinstance(each.value, ast.Call):  # Field(...)
                inner = [ast.unparse(argument) for argument in [*each.value.args, *each.value.keywords]]
                default = "".join(f"{argument}, " for argument in inner)
            lines.append(f"    {each.target.id}: {ast.unparse(each.annotation)} = Field({default}description={text})\n")
        else:
            lines.append(made.text(each))
    return "".join(lines)


def _server(made: HandMade) -> str:
    state = made.state()
    parts = [f"\n\nclass {made.server.name}(EnvironmentServer):\n"]
    for node in made.server.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "sessions":
            continue
        if state and node is made.methods.get(state[0]):
            parts.append(f"\n{_episode(made, *state)}")
        elif not isinstance(node, Function):
            parts.append(made.text(node))
        elif node.name not in ("seed_session", "close_session"):
            parts.append(f"\n{_grade(made, node) if node.name == 'verify' else _kept(made, node)}")
    return "".join(parts)


def _episode(made: HandMade, name: str, value: ast.expr) -> str:
    """What makes a session's state, and the method by which tools have asked for it."""
    return (
        '    def new_episode(self, row: Row) -> Any:\n        """To do: make it by the row, where rows differ."""\n'
        f"        try:\n            return {ast.get_source_segment(made.source, value)}\n"
        "        except (KeyError, TypeError, ValueError) as error:\n"
        '            raise InvalidRow(f"{type(error).__name__}: {error}") from None\n'
        f"\n    def {name}(self, request: Request) -> Any:\n        return self.episode(request)\n"
    )


def _kept(made: HandMade, node: Function) -> str:
    """A method as it is; a tool without a docstring gets one, for the model reads it."""
    text = made.text(node)
    if node.name not in made.tools or ast.get_docstring(node):
        return text
    first = node.body[0].lineno - node.lineno
    lines = text.splitlines(keepends=True)
    said = node.name.replace("_", " ").capitalize()
    return "".join([*lines[:first], f'        """{said}."""\n', *lines[first:]])


def _grade(made: HandMade, node: Function) -> str:
    """`verify()` as `grade()`: its statements, and of what they return the reward alone."""
    text = made.source.encode()
    starts = [0, *accumulate(len(line) for line in text.splitlines(keepends=True))]
    begin, end = starts[node.body[0].lineno - 1], starts[node.end_lineno or 0]
    body, last = "", begin
    for each in sorted(_returns(node), key=lambda found: found.lineno):
        first = starts[each.lineno - 1] + each.col_offset
        body += text[last:first].decode() + f"return Verdict(reward={_reward(made, each)})"
        last = starts[(each.end_lineno or 0) - 1] + (each.end_col_offset or 0)
    body += text[last:end].decode()
    begins = "async def" if isinstance(node, ast.AsyncFunctionDef) and _awaits(node) else "def"
    return (
        f"    {begins} grade(self, episode: Any, row: Row, response: Response) -> Verdict:\n"
        f"        {node.args.args[1].arg} = SimpleNamespace(**row, response=response)\n{body}"
    )


def _returns(node: Function) -> list[ast.Return]:
    return [each for each in ast.walk(node) if isinstance(each, ast.Return)]


def _reward(made: HandMade, node: ast.Return) -> str:
    """The source of the reward in `return Answer(..., reward=x)`, as a float."""
    keywords = node.value.keywords if isinstance(node.value, ast.Call) else []
    reward = next((word.value for word in keywords if word.arg == "reward"), None)
    if reward is None:
        raise WrapError(f"{made.path}, line {node.lineno}: verify() must return an answer with `reward=`.")
    text = ast.get_source_segment(made.source, reward) or ""
    return text if text.startswith("float(") else f"float({text})"


def _awaits(node: Function) -> bool:
    return any(isinstance(each, ast.Await) for each in ast.walk(node))
