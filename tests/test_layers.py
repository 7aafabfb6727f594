"""gymkit is layers: each module imports from those below it, and none loads the user's files but cli.py, by file.

And what an environment imports, it depends on by name: the virtual environment that the tests share would hide it.
"""

import json
import re
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePath

import pytest
from conftest import Attach
from generated import LINES, ROOT, interpreter_for, run_ok
from venvs import KINDS, rendered_kinds

LAYERS = [
    {"cli"},  # the commands
    # Programs, which are handed what they need of the environment.
    {"serve", "fixture", "data", "records", "cases", "describe", "check", "audit", "deploy", "upload", "conflicts"}
    | {"view", "wrap", "adopt", "wrapping"},
    {"server"},  # endpoints
    {"middleware", "openapi", "page", "config", "connections"},
    # Within the server: one tool call, one episode. Outside of it: a client.
    {"tools", "signatures", "schemas", "sessions", "places", "intake", "pool", "forks", "cluster", "judge", "shapes"}
    | {"services", "replay", "web"}
    | {"client", "players", "models", "episodes", "recording", "trajectories", "users", "second_model"},
    # Answers, verdicts, names and paths.
    {"answers", "symbolic", "symbolic_worker", "forms", "responses", "replies", "grading", "rows", "row_keys", "items"}
    | {"arguments"}
    | {"bodies", "large_bodies", "access", "shares", "rate_limit", "waiting", "pictures", "redaction"}
    | {"project", "logs", "metrics", "terminal", "proxies", "errors", "turns"}
    | {"scripts", "renew"},
]
"""The modules of gymkit, top to bottom. Within a layer they may import each other, as long as there is no circle."""

USERS_FILES = {"server", "tasks", "policy"}
LOADS_FILES = "cli"
READS_MODULES = PurePath("gymkit/wrapping/reader.py")
"""The program that imports a domain in a process of its own."""


@dataclass(frozen=True)
class File:
    """What a Python file imports: lines, and full names."""

    imports: list[tuple[int, str]]
    dynamic: list[tuple[int, str]]


def read(folder: Path) -> dict[PurePath, File]:
    """The Python files in a folder, by their paths, as a Python that environments run on reads them."""
    said = run_ok(interpreter_for(LINES[0]), ROOT / "tools" / "imports.py", folder, cwd=ROOT)
    return {PurePath(path): File(**found) for path, found in json.loads(said).items()}


def problems(files: dict[PurePath, File], layers: list[set[str]]) -> list[str]:
    """What is wrong with the imports of gymkit's files, a line each."""
    level = {name: number for number, layer in enumerate(layers) for name in layer}
    level["gymkit"] = len(layers)  # Its __init__.py is run before any of them.
    modules = {module_of(path) for path in files}
    found = [
        f"gymkit.{name} is in no layer: add it to LAYERS in {Path(__file__).name}" for name in modules - set(level)
    ]
    graph: dict[str, set[str]] = defaultdict(set)
    for path, file in files.items():
        name = module_of(path)
        for line, imported in file.imports:
            top, _, rest = imported.partition(".")
            if top in USERS_FILES:
                found.append(f"{path}:{line} imports {top}.py, which is the user's")
            if top != "gymkit":
                continue
            module = rest.partition(".")[0]
            module = module if module in modules else "gymkit"
            if module not in (name, "gymkit"):
                graph[name].add(module)
            if level.get(module, len(layers)) < level.get(name, 0):
                found.append(f"{path}:{line} imports {module}, which is in a layer above")
        if name != LOADS_FILES and path != READS_MODULES:
            found += [f"{path}:{line} uses {used}: {LOADS_FILES}.py alone loads files" for line, used in file.dynamic]
    way = circle(graph)
    return sorted(found) + ([f"a circle: {' -> '.join(way)}"] if way else [])


def module_of(path: PurePath) -> str:
    """The module of a file: gymkit/page/text.py is of gymkit.page, and gymkit/__init__.py is gymkit itself."""
    name = path.parts[1].removesuffix(".py")
    return "gymkit" if name == "__init__" else name


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of a circle in a graph, the first one again at the end; empty where there is none."""
    done: set[str] = set()

    def visit(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            found = visit(following, [*way, node])
            if found:
                return found
        done.add(node)
        return []

    return next(filter(None, (visit(node, []) for node in sorted(graph))), [])


def gymkit(files: dict[PurePath, File]) -> dict[PurePath, File]:
    return {path: file for path, file in files.items() if path.parts[0] == "gymkit"}


@pytest.fixture(scope="module")
def kinds(common: Path) -> dict[str, Path]:
    """A rendered environment of every archetype, at E2B and not."""
    return rendered_kinds(common)


@pytest.fixture(scope="module")
def files(kinds: dict[str, Path]) -> dict[str, dict[PurePath, File]]:
    """Their Python files."""
    return {kind: read(folder) for kind, folder in kinds.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_gymkit_is_in_layers(files: dict[str, dict[PurePath, File]], kind: str) -> None:
    found = problems(gymkit(files[kind]), LAYERS)
    assert not found, "\n".join(["", *found])


def test_every_module_of_the_layers_exists_and_is_explained(
    kinds: dict[str, Path], files: dict[str, dict[PurePath, File]]
) -> None:
    listed = set().union(*LAYERS)
    assert listed - {module_of(path) for found in files.values() for path in gymkit(found)} == set()
    explained = (kinds["game"] / "gymkit" / "__init__.py").read_text(encoding="utf-8")
    assert listed - set(re.findall(r"`(\w+)`", explained)) == set()


# --------------------------------------------------------------------------------------- whether it would be noticed

SMALL = [{"cli"}, {"serve", "data"}, {"server", "page"}, {"tools", "sessions"}]
GREEN = {
    "__init__.py": '"""A package."""\n',
    "cli.py": "import importlib.util\nfrom gymkit import serve, data\nx = importlib.util.spec_from_file_location\n",
    "serve.py": "import gymkit.server as server\n",
    "data.py": "from .serve import run\nfrom gymkit.tools import Tool\n",
    "server.py": "from gymkit import __name__\nfrom gymkit.page import show\nfrom .tools import Tool\n",
    "page/__init__.py": "from . import text\nfrom .text import TEXT\nfrom ..sessions import Session\n",
    "page/text.py": "from .. import sessions\n",
    "tools.py": "import os.path\nfrom fastapi import server\nfrom gymkit.sessions import Session\n",
    "sessions.py": "import importlib.metadata\n",
}


def problems_of(folder: Path, **changed: str) -> list[str]:
    """What is wrong with a small gymkit, some of whose files are changed."""
    for name, text in {**GREEN, **changed}.items():
        path = folder / "gymkit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return problems(read(folder), SMALL)


def test_layers_that_are_kept_are_not_complained_of(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("sessions.py", "from gymkit import tools\n", "a circle: sessions -> tools -> sessions"),
        ("sessions.py", "def f():\n    from .tools import Tool\n", "a circle: sessions -> tools -> sessions"),
        ("tools.py", "import gymkit.server\n", "gymkit/tools.py:1 imports server, which is in a layer above"),
        (
            "tools.py",
            "def f():\n    from .page import show\n",
            "gymkit/tools.py:2 imports page, which is in a lay",
        ),
        ("page/text.py", "from ..cli import main\n", "gymkit/page/text.py:1 imports cli, which is in a layer above"),
        ("page/text.py", "from .. import serve\n", "gymkit/page/text.py:1 imports serve, which is in a layer above"),
        ("__init__.py", "from gymkit.tools import Tool\n", "gymkit/__init__.py:1 imports tools, which is in a layer"),
        ("serve.py", "from server import MyServer\n", "gymkit/serve.py:1 imports server.py, which is the user's"),
        ("cli.py", "import server\n", "gymkit/cli.py:1 imports server.py, which is the user's"),
        ("data.py", "if True:\n    import tasks as t\n", "gymkit/data.py:2 imports tasks.py, which is the user's"),
        ("data.py", "from policy import play\n", "gymkit/data.py:1 imports policy.py, which is the user's"),
        ("data.py", "import importlib\nimportlib.import_module('x')\n", "gymkit/data.py:2 uses import_module: cli.py"),
        ("data.py", "from importlib import import_module as load\n", "gymkit/data.py:1 uses import_module: cli.py al"),
        ("data.py", "__import__('server')\n", "gymkit/data.py:1 uses __import__: cli.py alone loads files"),
        ("data.py", "import runpy\n", "gymkit/data.py:1 uses runpy: cli.py alone loads files"),
        ("data.py", "from importlib.util import spec_from_file_location\n", "gymkit/data.py:1 uses spec_from_file_loc"),
        ("extra.py", "", "gymkit.extra is in no layer: add it to LAYERS in test_layers.py"),
        ("more/__init__.py", "", "gymkit.more is in no layer: add it to LAYERS in test_layers.py"),
    ],
)
def test_layers_that_are_not_kept_are_complained_of(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    found = problems_of(tmp_path, **{file: text})
    assert [each for each in found if each.startswith(complaint)], found


# ------------------------------------------------------------------------------------------------------ dependencies

WITH_ANOTHER = {"starlette": "fastapi", "pydantic_core": "pydantic", "omegaconf": "nemo-gym", "ray": "nemo-gym"}
WITH_ANOTHER |= {"tokenizers": "transformers"}
"""Modules of packages that always come with one that is asked for, and with which one uses it."""

PACKAGES = "import json; from importlib.metadata import packages_distributions as p; print(json.dumps(p()))"


@pytest.fixture(scope="module")
def packages(attach: Attach, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The packages that bring a module, by its name."""
    environment = attach(tmp_path_factory.mktemp("packages"), LINES[-1])
    return json.loads(run_ok(environment.python, "-c", PACKAGES, cwd=environment.path))


def names(requirements: list[str]) -> set[str]:
    """The packages that are asked for."""
    return {normal(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for each in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


PROGRAMS = (PurePath("sandbox", "confinement"), PurePath("desktop", "display"))
"""Folders of programs, which are run by their path and import what stands beside them."""


def own(files: dict[PurePath, File], module: str, folder: PurePath | None = None) -> PurePath | None:
    """The environment's file that holds a module, or a name in it, for a file in a folder."""
    for root in (PurePath(), PurePath("tests"), PurePath("train"), *(each for each in PROGRAMS if each == folder)):
        parts = module.split(".")
        for end in range(len(parts), 0, -1):
            path = root.joinpath(*parts[:end])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if file in files:
                    return file
    return None


def reached(files: dict[PurePath, File], start: PurePath) -> dict[PurePath, File]:
    """A file of the environment, and those of its own that it imports, directly or not."""
    found: dict[PurePath, File] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = files[path]
            waiting += filter(None, (own(files, module) for _, module in files[path].imports))
    return found


def undeclared(
    some: dict[PurePath, File], files: dict[PurePath, File], declared: set[str], packages: dict[str, list[str]]
) -> list[str]:
    """The imports of some of the files that no declared package brings."""
    found = []
    for path, file in some.items():
        for line, module in file.imports:
            top = module.partition(".")[0]
            brings = {normal(name) for name in packages.get(top, [top])} | {WITH_ANOTHER.get(top, "")}
            if top not in sys.stdlib_module_names and not own(files, module, path.parent) and not brings & declared:
                found.append(f"{path}:{line} imports {module}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_imported_is_depended_on_by_name(
    kinds: dict[str, Path], files: dict[str, dict[PurePath, File]], packages: dict[str, list[str]], kind: str
) -> None:
    all_of_it = files[kind]
    project = tomllib.loads((kinds[kind] / "pyproject.toml").read_text(encoding="utf-8"))
    dependencies = names(project["project"]["dependencies"])
    groups = names([each for group in project["dependency-groups"].values() for each in group])
    served = reached(all_of_it, PurePath("server.py"))
    found = undeclared(served, all_of_it, dependencies, packages)  # without the group dev, as in the image
    training = {path: file for path, file in all_of_it.items() if path.parts[0] == "train"}
    rest = {path: file for path, file in all_of_it.items() if path not in training}
    found += undeclared(rest, all_of_it, dependencies | groups, packages)
    # A project of its own, which has nothing of the environment's packages.
    trainers = tomllib.loads((kinds[kind] / "train" / "pyproject.toml").read_text(encoding="utf-8"))
    for path in training:
        with_it = reached(all_of_it, path)
        found += undeclared(with_it, all_of_it, names(trainers["project"]["dependencies"]), packages)
    assert not found, "\n".join(["", *found])
