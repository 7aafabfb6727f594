# Part of the template: changes belong there (`copier update` merges this file).
"""Changes of the environment's own code, each of which a test should notice. Cosmic Ray makes them.

What is changed is what decides about rewards: the modules that server.py imports and that are not the template's, and
in server.py `grade()`, with what it calls there. Type annotations are left out: they do nothing when the code runs.
"""

import ast
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gymkit.errors import CommandError
from gymkit.project import ROOT

OF_THE_TEMPLATE = "Part of the template: changes belong there"
GRADES = ("grade", "grade_transcript")

Span = tuple[tuple[int, int], tuple[int, int]]
"""From line and column to line and column, lines counted from 1."""


@dataclass(frozen=True)
class Mutation:
    """One change of one file."""

    path: str
    """Relative to the environment's root."""
    line: int
    operator: str
    """Cosmic Ray's name for the kind of change."""
    text: str
    """The whole file, changed."""
    diff: list[str]
    """The lines that differ, with `-` and `+` before them."""


def of_the_template(path: Path) -> bool:
    """Whether a file is the template's own."""
    return OF_THE_TEMPLATE in path.read_text(encoding="utf-8").split("\n", 1)[0]


def domain_files() -> list[Path]:
    """The modules that server.py imports, and those import in turn, as far as they are the environment's own."""
    found: list[Path] = []
    left = [ROOT / "server.py"]
    while left:
        path = left.pop()
        for name in _imported(path):
            file = ROOT.joinpath(*name.split("."))
            for candidate in (file.with_suffix(".py"), file / "__init__.py"):
                if candidate.is_file() and candidate not in found and not of_the_template(candidate):
                    found.append(candidate)
                    left.append(candidate)
    return sorted(found)


def _imported(path: Path) -> Iterator[str]:
    """The names of modules that a file may import, those in a package of its own included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).parent.parts) if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            if module:
                yield module
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)


def grading_spans(source: str) -> list[Span]:
    """Where `grade()` stands in server.py, and the functions there that it calls, and those call."""
    functions = {
        node.name: node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    wanted = [name for name in GRADES if name in functions]
    for name in wanted:
        for node in ast.walk(functions[name]):
            called = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            if called in functions and called not in wanted:
                wanted.append(called)
    return [_span(functions[name]) for name in wanted]


def _span(node: Any) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def annotation_spans(source: str) -> list[Span]:
    """Where type annotations stand."""
    spans: list[Span] = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            annotation = getattr(node, name, None)
            if annotation is not None:
                spans.append(_span(annotation))
        if isinstance(node, ast.Assign) and _names_a_type(node.value):
            spans.append(_span(node.value))
    return spans


def _names_a_type(value: ast.expr) -> bool:
    """Whether what is assigned is an alias of types, as `dict[str, Any]`."""
    return (
        isinstance(value, ast.Subscript)
        and isinstance(value.value, ast.Name)
        and value.value.id in ("dict", "list", "tuple")
    )


def mutations(count: int, seed: int) -> tuple[list[Mutation], int]:
    """Changes drawn by a seed, in the order in which they stand in the files; and how many there are to draw from."""
    every = list(_every())
    made: dict[int, Mutation] = {}
    for number in Random(seed).sample(range(len(every)), len(every)):
        mutation = every[number]() if len(made) < count else None
        if mutation is not None:
            made[number] = mutation
    return [made[number] for number in sorted(made)], len(every)


def _every() -> Iterator[Callable[[], Mutation | None]]:
    """All changes, each as a function that makes it."""
    try:
        from cosmic_ray.ast import ast_nodes, get_ast
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError:
        raise CommandError("Cosmic Ray is missing, which makes the changes: `uv sync`.") from None
    operators = [(name, get_operator(name)) for name in sorted(operator_names())]
    plain = [(name, made()) for name, made in operators if not made.arguments()]
    for path in [*domain_files(), ROOT / "server.py"]:
        source = path.read_text(encoding="utf-8")
        within = grading_spans(source) if path.name == "server.py" and path.parent == ROOT else None
        without = annotation_spans(source)
        nodes = list(ast_nodes(get_ast(source)))
        for name, operator in plain:
            positions = (position for node in nodes for position in operator.mutation_positions(node))
            for occurrence, (start, _) in enumerate(positions):
                if (within is None or _inside(start, within)) and not _inside(start, without):
                    yield _maker(path, source, name, operator, occurrence, start[0])


def _inside(place: tuple[int, int], spans: list[Span]) -> bool:
    return any(start <= place < end for start, end in spans)


def _maker(
    path: Path, source: str, name: str, operator: Any, occurrence: int, line: int
) -> Callable[[], Mutation | None]:
    def make() -> Mutation | None:
        from cosmic_ray.mutating import mutate_code

        try:
            text = mutate_code(source, operator, occurrence)
        except AttributeError:  # Cosmic Ray (8.7) cannot change `except module.Error`.
            return None
        if text is None or text == source:
            return None
        lines = difflib.unified_diff(source.splitlines(), text.splitlines(), lineterm="", n=0)
        diff = [each for each in lines if each[:1] in "+-" and each[:3] not in ("+++", "---")]
        return Mutation(path.relative_to(ROOT).as_posix(), line, name.rpartition("/")[2], text, diff)

    return make
