# Part of the template: changes belong there (`copier update` merges this file).
"""Changes of the environment's own code, each of which a test should notice. Cosmic Ray makes them.

What is changed is what decides about rewards: what server.py uses of modules that are not the template's, and in
server.py `grade()`, with what it calls there. Type annotations are left out: they do nothing when the code runs.
"""

import ast
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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


@dataclass
class Module:
    """A module of the environment's own, as far as the server uses it."""

    path: Path
    definitions: dict[str, list[ast.stmt]]
    """What stands at its top level, by the names that it defines."""
    imports: dict[str, tuple[str, str | None]]
    """The names that it imports: from which module, and as what there (None: the module itself)."""
    used: set[str] = field(default_factory=set)

    @property
    def spans(self) -> list[Span]:
        """Where what is used stands."""
        return [_span(node) for name in sorted(self.used) for node in self.definitions.get(name, [])]


def domain() -> list[Module]:
    """What server.py uses of modules that are the environment's own: what it imports, what that uses, and so on.

    So what only the player or the tasks use is no part of it.
    """
    modules: dict[Path, Module] = {}
    left = list(_read(ROOT / "server.py").imports.values())
    while left:
        name, attribute = left.pop()
        if attribute is not None and _file_of(f"{name}.{attribute}") is not None:
            name, attribute = f"{name}.{attribute}", None
        path = _file_of(name)
        if path is None or of_the_template(path):
            continue
        module = modules.setdefault(path, _read(path))
        left += _use(module, set(module.definitions) if attribute in (None, "*") else {attribute or ""})
    return sorted(modules.values(), key=lambda module: module.path)


def _use(module: Module, names: set[str]) -> list[tuple[str, str | None]]:
    """Note that names of a module are used, and those that they use in turn; what it has to import for that."""
    wanted, imported = [*names], []
    while wanted:
        name = wanted.pop()
        if name in module.used:
            continue
        module.used.add(name)
        if name in module.imports:
            imported.append(module.imports[name])
        for node in module.definitions.get(name, []):
            wanted += [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    return imported


def _read(path: Path) -> Module:
    module = Module(path, {}, {})
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            module.imports |= {alias.asname or alias.name.split(".")[0]: (alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).parent.parts) if node.level else ""
            name = ".".join(filter(None, (package, node.module)))
            module.imports |= {alias.asname or alias.name: (name, alias.name) for alias in node.names}
    for node in tree.body:
        for name in _defined(node):
            module.definitions.setdefault(name, []).append(node)
    return module


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement at a module's top level defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store | ast.Del)
    }


def _file_of(name: str) -> Path | None:
    """The file of a module in the environment's root; None for any other."""
    file = ROOT.joinpath(*name.split("."))
    return next((path for path in (file.with_suffix(".py"), file / "__init__.py") if path.is_file()), None)


def grading_spans(source: str) -> list[Span]:
    """Where `grade()` stands in server.py, and the functions there that it calls."""
    functions = {
        node.name: node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    grades = [functions[name] for name in GRADES if name in functions]
    calls = [node for grade in grades for node in ast.walk(grade) if isinstance(node, ast.Call)]
    called = {name for node in calls if (name := _called(node.func)) in functions and name not in GRADES}
    return [_span(function) for function in [*grades, *(functions[name] for name in sorted(called))]]


def _called(function: ast.expr) -> str:
    """The name of a function that is called by its name, or as `self.name`; else an empty text."""
    if isinstance(function, ast.Name):
        return function.id
    of_self = (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"
    )
    return function.attr if isinstance(function, ast.Attribute) and of_self else ""


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
    server = ROOT / "server.py"
    places = [(module.path, module.spans) for module in domain()]
    for path, within in [*places, (server, grading_spans(server.read_text(encoding="utf-8")))]:
        source = path.read_text(encoding="utf-8")
        without = annotation_spans(source)
        nodes = list(ast_nodes(get_ast(source)))
        for name, operator in plain:
            positions = (position for node in nodes for position in operator.mutation_positions(node))
            for occurrence, (start, _) in enumerate(positions):
                if _inside(start, within) and not _inside(start, without):
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
