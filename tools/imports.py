"""The imports of all Python files in a folder, read from their text: nothing is run.

    python tools/imports.py FOLDER

Prints JSON: by each file's path, its `imports` and the `dynamic` ones, as `[line, name]`. It needs a Python that knows
the files' syntax, and nothing else.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

DYNAMIC = {
    *("import_module", "__import__", "spec_from_file_location", "module_from_spec", "SourceFileLoader"),
    *("runpy", "run_path", "run_module"),
}
"""Names with which a module can be loaded that no import statement names."""

Import = tuple[int, str]
"""The line, and the full name: of `from package import name`, package.name."""


def imports(tree: ast.AST, package: list[str]) -> Iterator[Import]:
    """All imports, also those inside functions and those for the type checker alone; relative ones by full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = [*parents, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def dynamic_imports(tree: ast.AST) -> Iterator[Import]:
    """Where one of `DYNAMIC` is used, or imported to be used."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [part for alias in node.names for part in alias.name.split(".")]
            names += (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
        yield from ((node.lineno, name) for name in names if name in DYNAMIC)  # type: ignore[attr-defined]


def main(folder: Path) -> None:
    found = {}
    for path in sorted(folder.rglob("*.py")):
        file = path.relative_to(folder)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        package = list(file.parent.parts)
        found[file.as_posix()] = {"imports": [*imports(tree, package)], "dynamic": [*dynamic_imports(tree)]}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
