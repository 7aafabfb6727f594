"""Answers stay at home: neither a Space nor an image gets a task's answer, or what makes one.

A task of each split but demo gets a random marker as its answer, the data is made again, and the marker is looked for
in what `gymkit deploy` would upload and in what a build of the image would take along.
"""

import re
import secrets
import shutil
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Attach
from generated import ARCHETYPES, CASES, DATA, DEPLOY, LINES, Environment, Template, copy_command, run_ok

MARKER = {
    "game": ("{marker!r}", lambda: "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))),
    "sandbox": ("{marker!r}", lambda: f"marker{secrets.token_hex(8)}"),
    "computer_use": ("{{'note': {marker!r}}}", lambda: f"marker{secrets.token_hex(8)}"),
    "question": ("[{marker!r}]", lambda: f"marker{secrets.token_hex(8)}"),
    "tools": ("{marker!r}", lambda: f"marker{secrets.token_hex(8)}"),
    "conversation": (
        "{{'changes': {{'refusals': {{}}}}, 'told': [[{marker!r}]]}}",
        lambda: f"marker{secrets.token_hex(8)}",
    ),
}
"""An answer as it stands in tasks.py, and a random one that the archetype's sample takes."""

MARKED = """

unmarked = tasks


def tasks():
    splits = unmarked()
    for split, found in splits.items():
        if split != "demo":
            plain = [task for task in found if not {{"form", "result_file"}} & task.keys()]
            plain[-1]["expected_output"] = {answer}
    return splits
"""
CONTEXT = "FROM scratch\nCOPY . /\n"
KNOWN = {"game": ("zebra", "yacht", "quilt"), "sandbox": ("analysis-train-total",), "computer_use": ("office-train-",)}
KNOWN |= {"question": ("photosynthesis", "choice-train-00"), "tools": ("notice-train-00", "Skerry Point | ")}
KNOWN |= {"conversation": ("shop-train-",)}
"""What stands in the sample's own tasks, and nowhere else."""


pytestmark = pytest.mark.needs("a container builder")


@pytest.fixture
def marked(
    template: Template, attach: Attach, tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[Environment, str]:
    """An environment with marked answers, and the marker."""
    archetype = request.param
    folder = tmp_path / "my_env"
    run_ok(*copy_command(template, folder, f"archetype={archetype}"), "--skip-tasks", cwd=tmp_path)
    answer, make = MARKER[archetype]
    marker = make()
    with (folder / "tasks.py").open("a", encoding="utf-8") as tasks:
        tasks.write(MARKED.format(answer=answer.format(marker=marker)))
    environment = attach(folder, LINES[-1])
    environment.run_ok(*DATA)
    if archetype == "game":  # The others would play for long; what holds their cases is left out all the same.
        environment.run_ok(*CASES)
    return environment, marker


def uploaded(environment: Environment) -> list[Path]:
    """The files that `gymkit deploy` would upload."""
    names = names_in(environment.run_ok(*DEPLOY, "--dry-run"))
    assert "server.py" in names
    return [environment.path / name for name in names]


def names_in(said: str) -> set[str]:
    """The files that a dry run has said would go to the Space."""
    return set(re.findall(r"^ +[\d,]+  (\S+)$", said, re.MULTILINE))


def in_the_context(environment: Environment, folder: Path) -> list[Path]:
    """The files that a build of the image can copy: what a builder takes along, by .dockerignore."""
    (environment.path / ".venv").unlink()  # It is outside of the environment here.
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(CONTEXT)
    storage = ["--storage-driver", "vfs", "--root", str(folder / "graph"), "--runroot", str(folder / "run")]
    output = folder / "context"
    build = ["buildah", *storage, "build", "-q", "--isolation", "chroot", "-f", str(dockerfile), "-o", str(output), "."]
    run_ok(*build, cwd=environment.path)
    shutil.rmtree(folder / "graph", ignore_errors=True)
    return [path for path in output.rglob("*") if path.is_file()]


@pytest.mark.parametrize("marked", ARCHETYPES, indirect=True, ids=ARCHETYPES)
def test_no_answer_leaves_the_machine(
    marked: tuple[Environment, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment, marker = marked
    known = KNOWN[request.node.callspec.params["marked"]]
    at_home = [environment.path / "data" / f"{split}.jsonl" for split in ("train", "validation", "example")]
    assert all(marker in path.read_text(encoding="utf-8") for path in at_home)
    places: dict[str, Callable[[], list[Path]]] = {
        "the Space": lambda: uploaded(environment),
        "the image": lambda: in_the_context(environment, tmp_path),
    }
    for place, files in places.items():
        paths = files()
        assert len(paths) > 30, place
        for path in paths:
            data = path.read_bytes()
            for secret in (marker, *known):
                assert secret.encode() not in data, f"{path.name} takes {secret!r} to {place}"
        assert not {"tasks.py", "policy.py"} & {path.name for path in paths}, place


@pytest.mark.parametrize("marked", ["game"], indirect=True)
def test_an_answer_that_would_leave_is_found(marked: tuple[Environment, str], tmp_path: Path) -> None:
    """Whether the tests above could fail: without its lines in .dockerignore, the answers go along."""
    environment, marker = marked
    ignored = environment.path / ".dockerignore"
    before = ignored.read_text(encoding="utf-8")
    ignored.write_text(before[before.index("# it may hold a secret") :], encoding="utf-8")
    refused = environment.run(*DEPLOY, "--dry-run")
    assert refused.returncode == 1
    assert ".dockerignore lacks the line" in refused.stderr
    found = [path.name for path in in_the_context(environment, tmp_path) if marker.encode() in path.read_bytes()]
    assert {"tasks.py", "train.jsonl"} <= set(found)
