# Part of the template: changes belong there (`copier update` merges this file).
"""Which files of the environment go to a Space, and which stay at home: by .gitignore, and by .dockerignore, which says
the same for images. What a list of names cannot tell is looked into: links, copies of answers under other names.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from gymkit.errors import CommandError
from gymkit.project import ROOT
from gymkit.rows import data_path, read_rows

IGNORE_FILE = ".dockerignore"
DEMO_ROW = "data/demo.jsonl"
TELLS_ANSWERS = ("/data/*", "!/data/demo.jsonl", "/tasks.py", "/policy.py", "/tests")
"""Lines of .dockerignore: what is needed to make, solve and test tasks, and not to serve them."""
WANTED_LINES = (*TELLS_ANSWERS, "**/.env*", "**/*.pem", "**/*.key", "**/secrets.*", "**/.netrc*", "**/.aws")
"""Lines that .dockerignore must have: without them, the list has lost what it is there for."""
DATA_SUFFIXES = {".jsonl", ".json", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".toml", ".xml", ".md", ".html", ""}
READ_BYTES = 50_000_000
"""So much of a file is looked into."""


class WouldLeak(CommandError):
    """A file that would go along tells answers, or the list of what stays has gaps; the message says what to do."""


@dataclass
class Selection:
    """The files that go to a Space, as paths relative to the environment's root, and those that stay, with the reason.

    A folder that stays as a whole is named once, with a slash at its end.
    """

    files: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def select(with_answers: bool = False, include: Sequence[str] = ()) -> Selection:
    """What goes to a Space.

    Args:
        with_answers: Whether what tells the answers goes along as well.
        include: Paths relative to the environment's root that go along whatever the lists say.

    Raises:
        WouldLeak: a file among them holds answers, or .dockerignore lacks a line that it needs.
    """
    rules = _Rules(with_answers, include)
    selection = Selection()
    for path, reason in _walk(rules):
        if reason is None:
            selection.files.append(path)
        else:
            selection.left_out[path] = reason
    selection.files.sort()
    missing = set(include) - set(selection.files)
    if missing:
        raise WouldLeak(f"--include {min(missing)}: there is no such file here. Nothing was uploaded.")
    if not with_answers:
        _leave_out_copies(selection, include)
        _refuse_answers(selection, include)
    return selection


def ignore_file(include: Sequence[str]) -> bytes:
    """.dockerignore as it goes along: with the exceptions, so that the image of the Space has them too."""
    text = (ROOT / IGNORE_FILE).read_bytes()
    exceptions = "".join(f"!/{path}\n" for path in include).encode()
    return text + (b"\n# --include\n" + exceptions if exceptions else b"")


class _Rules:
    """The lines of .gitignore and .dockerignore, each with its reason: the comment above it."""

    def __init__(self, with_answers: bool, include: Sequence[str]) -> None:
        lines: list[str] = []
        self._reasons: list[str] = []
        for name in (".gitignore", IGNORE_FILE):
            reason = f"{name} names it"
            for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
                if line.startswith("# ") and name == IGNORE_FILE:
                    reason = line[2:]
                lines.append(line or "#")  # An empty line would not be counted.
                self._reasons.append(reason)
        gaps = [line for line in WANTED_LINES if line not in lines]
        if gaps:
            raise WouldLeak(
                f"{IGNORE_FILE} lacks the line {gaps[0]}: answers or secrets would leave. Nothing was uploaded."
            )
        own = {line: index for index, line in enumerate(lines)}
        if with_answers:
            answers = self._reasons[own["/tasks.py"]]
            lines = ["" if reason == answers else line for line, reason in zip(lines, self._reasons, strict=True)]
        lines += [".git", ".venv", *(f"!/{path}" for path in include)]
        self._reasons += ["it was made here"] * 2 + [""] * len(include)
        self._spec = GitIgnoreSpec.from_lines(lines)

    def reason(self, path: str) -> str | None:
        """Why a file, or a folder with a slash at its end, stays; None where it goes along."""
        result = self._spec.check_file(path)
        return self._reasons[result.index] if result.include and result.index is not None else None


def _walk(rules: _Rules) -> Iterator[tuple[str, str | None]]:
    """All files and links, and the folders that stay as a whole; each with the reason why it stays, or None."""
    for folder, folders, names in os.walk(ROOT):
        inside = Path(folder).relative_to(ROOT)
        for name in sorted(folders):
            path = (inside / name).as_posix()
            link = (ROOT / path).is_symlink()
            reason = rules.reason(path) or rules.reason(f"{path}/") or ("it is a link to a folder" if link else None)
            if reason is not None:
                folders.remove(name)
                yield (path if link else f"{path}/"), reason
        for name in names:
            path = (inside / name).as_posix()
            yield path, rules.reason(path) or _reason_of_link(ROOT / path, rules)


def _reason_of_link(path: Path, rules: _Rules) -> str | None:
    """Why a file stays that is a link: what it leads to must go along itself."""
    if not path.is_symlink():
        return None if path.is_file() else "it is no file"
    target = path.resolve()
    if not target.is_relative_to(ROOT):
        return "it is a link out of the environment"
    inside = target.relative_to(ROOT)
    parts = [*(f"{parent.as_posix()}/" for parent in inside.parents if parent.parts), inside.as_posix()]
    stays = not target.is_file() or any(rules.reason(part) for part in parts)
    return "it is a link to what stays here" if stays else None


def _leave_out_copies(selection: Selection, include: Sequence[str]) -> None:
    """Leave out what is the same as a file that tells answers."""
    tell = [path for path in (ROOT / "tasks.py", ROOT / "policy.py", *(ROOT / "data").glob("*")) if path.is_file()]
    known = {_digest(path): path for path in tell if path != ROOT / DEMO_ROW}
    for name in list(selection.files):
        found = known.get(_digest(ROOT / name)) if name not in (DEMO_ROW, *include) else None
        if found is not None:
            selection.files.remove(name)
            selection.left_out[name] = f"it is a copy of {found.relative_to(ROOT).as_posix()}"


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _refuse_answers(selection: Selection, include: Sequence[str]) -> None:
    hidden = _hidden_answers()
    for name in selection.files:
        if name in (DEMO_ROW, *include) or Path(name).suffix.lower() not in DATA_SUFFIXES:
            continue
        with (ROOT / name).open(encoding="utf-8", errors="replace") as file:
            text = file.read(READ_BYTES)
        found = next((secret for secret in hidden if secret in text), None)
        if found and not (Path(name).suffix == ".md" and found == hidden[0]):
            raise WouldLeak(
                f"{name} tells answers ({found}), and would be public. Move it into data/, name it in "
                f"{IGNORE_FILE}, or say --include {name}. Nothing was uploaded."
            )


def _hidden_answers() -> list[str]:
    """Texts that give away a file with rows of data/: their ground truth, and the names of their tasks."""
    demo = data_path("demo").read_text(encoding="utf-8")
    names = []
    for path in sorted((ROOT / "data").glob("*.jsonl")):
        for row in read_rows(path):
            name = str(row.get("task_id", ""))
            if len(name) >= 4 and name not in demo:
                names.append(name)
    return ['"ground_truth"', *names]
