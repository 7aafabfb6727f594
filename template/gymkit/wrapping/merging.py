# Part of the template: changes belong there (`copier update` merges this file).
"""A second `gymkit wrap`: in server.py, models and methods that nobody has edited are written anew; the others stay."""

import ast
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

SETUP = "setup_webserver"


class Part(NamedTuple):
    """A model, or a method of the server."""

    first: int
    """Its first line, from 0, decorators included."""
    end: int
    text: str
    is_method: bool


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digests(source: str) -> dict[str, str]:
    """The digests of a server.py's parts, by name."""
    return {name: digest(part.text) for name, part in parts(source).items()}


def parts(source: str) -> dict[str, Part]:
    """The classes of a server.py, and the methods of its server in place of that class itself."""
    lines = source.splitlines(keepends=True)
    return {name: _part(node, lines, is_method) for name, node, is_method in _nodes(ast.parse(source))}


def _nodes(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, bool]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not _is_server(node):
            yield node.name, node, False
        elif isinstance(node, ast.ClassDef):
            yield from (
                (each.name, each, True)
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            )


def _is_server(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "EnvironmentServer" for base in node.bases)


def _part(node: ast.stmt, lines: list[str], is_method: bool) -> Part:
    decorators = getattr(node, "decorator_list", [])
    first = min(each.lineno for each in [node, *decorators]) - 1
    end = node.end_lineno or first
    return Part(first, end, "".join(lines[first:end]), is_method)


def merged(current: str, new: str, written: dict[str, str]) -> tuple[str, list[str]]:
    """A server.py with what has changed in the domain, and the names of what was left as it is.

    Args:
        current: The file as it is.
        new: As `wrap` would write it.
        written: The digests of what it wrote the last time.
    """
    lines = current.splitlines(keepends=True)
    mine, theirs = parts(current), parts(new)
    left: list[str] = []
    edits: list[tuple[int, int, str]] = []
    server = next(node for node in ast.parse(current).body if isinstance(node, ast.ClassDef) and _is_server(node))
    for name in {**mine, **theirs}:
        here, there = mine.get(name), theirs.get(name)
        edited = here is not None and digest(here.text) != written.get(name)
        if here is not None and there is not None and here.text != there.text:
            if not edited:
                edits.append((here.first, here.end, there.text))
            elif name == SETUP:
                edits.append((here.first, here.end, _with_routes(here.text, there.text)))
            else:
                left.append(name)
        elif here is not None and there is None and name in written:
            if edited:
                left.append(name)
            else:
                edits.append((here.first, here.end, ""))
        elif here is None and there is not None:
            if name in written:
                left.append(name)
            elif there.is_method:
                edits.append((server.end_lineno or 0, server.end_lineno or 0, f"\n{there.text}"))
            else:
                edits.append((server.lineno - 1, server.lineno - 1, f"{there.text}\n\n"))
    imports = [node for node in ast.parse(current).body if isinstance(node, ast.Import | ast.ImportFrom)]
    after = imports[-1].end_lineno or 0
    edits.append((after, after, "".join(f"{line}\n" for line in _imports(new) if line not in _imports(current))))
    for first, end, text in sorted(edits, key=lambda edit: edit[0], reverse=True):
        lines[first:end] = [text]
    return "".join(lines), left


def _with_routes(current: str, new: str) -> str:
    """`setup_webserver()` with the routes that it lacks."""
    missing = [line for line in new.splitlines(keepends=True) if "app.post(" in line and line not in current]
    head, found, rest = current.rpartition("        return app")
    return head + "".join(missing) + found + rest if found else current


def _imports(source: str) -> list[str]:
    """Import statements, one for each name."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found += [f"import {each.name}" for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            renamed = [f"{each.name} as {each.asname}" if each.asname else each.name for each in node.names]
            found += [f"from {node.module} import {name}" for name in renamed]
    return found
