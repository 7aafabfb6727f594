"""`copier update` over the life of an environment: the template's fixes arrive, the user's work stays.

Releases are made on the spot, from this tree: an earlier one that lacks some of it, and later ones that add to it. uv
is a stand-in that notes what it was asked, so that an update takes seconds; the environments' own tests run for real.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Attach
from generated import CASES, CONFLICTS, DATA, LINES, SAMPLE, Environment, Template, copier, run, run_ok

Done = subprocess.CompletedProcess[str]


def users_own(domain: str) -> list[str]:
    """The files that an update leaves alone, those of data/ aside."""
    more = {
        "questions": ["constraints.py", "tests/test_cheats.py", "tests/cheats.py"],
        "assistant": [
            *("weather.py", "search/__init__.py", "search/outside.py", "search/documents.md"),
            *("tests/test_search.py", "tests/standin_search.py", "tests/cheats.py"),
        ],
    }.get(domain, [])
    written = [f"{domain}.py", "tasks.py", "task_data.py", "policy.py", f"tests/test_{domain}.py"]
    return [*written, "tests/verifier_cases.jsonl", *more]


MIDDLEWARE = "gymkit/middleware.py"
GUESS = "        return ToolResponse(output=game.guess(body.word))\n"


FILLED_IN = '''        output = game.guess(body.word.strip())
        return ToolResponse(output=output)

    def give_up(self, request: Request) -> ToolResponse:
        """Give the game up."""
        game: WordleGame = self.episode(request)
        game.calls = 1000
        return ToolResponse(output="You have given up.")
'''


class Releases:
    """A template with several releases, and the changes that each brings."""

    def __init__(self, template: Template, folder: Path, archetype: str = "game") -> None:
        self.archetype = archetype
        self.path = folder / "nemo-env-template"
        run_ok("git", "clone", "-q", "--no-tags", template.path, self.path, cwd=folder)
        self.template = Template(self.path)

    def file(self, name: str) -> Path:
        """A file of the template, by its name in a generated environment."""
        template = self.path / "template"
        folders = [template / f"{{{{ {self.archetype} }}}}", template]
        paths = [folder / f"{name}{suffix}" for folder in folders for suffix in ("", ".jinja")]
        return next(path for path in paths if path.is_file())

    def change(self, name: str, old: str, new: str) -> None:
        path = self.file(name)
        text = path.read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{name} holds no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def release(self, tag: str) -> None:
        run_ok(sys.executable, self.path / "tools" / "template_files.py", cwd=self.path)
        self.template.release(tag)

    def release_before(self, tag: str = "v0.0.1") -> None:
        """A release that lacks what the present tree has, in each of the three kinds of files."""
        self.change(MIDDLEWARE, '"/health", "/healthz", ', '"/health", ')
        self.change("server.py", "from gymkit.serve import run\n", "from gymkit import serve\n")
        self.change("server.py", "    run({{ class_name }})\n", "    serve.run({{ class_name }})\n")
        self.change("Dockerfile", "EXPOSE 11000 ", "EXPOSE ")
        self.change("configs/{{ env_name }}.yaml", "max_steps: {{", "max_steps: 10 # {{")
        self.change(f"{SAMPLE[self.archetype]}.py", '"""', '"""As it was. ')
        self.release(tag)

    def release_this_tree(self, tag: str = "v0.1.0") -> None:
        run_ok("git", "checkout", "-q", "HEAD~1", "--", ".", cwd=self.path)
        self.release(tag)


class Project:
    """An environment in git, as its user has it."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        self.path = path
        self.env = env

    def file(self, name: str) -> Path:
        return self.path / name

    def read(self, name: str) -> str:
        return self.file(name).read_text(encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        assert old in self.read(name), f"{name} holds no {old!r}"
        self.file(name).write_text(self.read(name).replace(old, new, 1), encoding="utf-8")

    def commit(self) -> None:
        run_ok("git", "add", "-A", cwd=self.path)
        author = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
        run_ok("git", *author, "commit", "-q", "-m", "work", cwd=self.path)

    def update(self, *arguments: str) -> Done:
        return run(*copier(), "update", "--trust", "--defaults", *arguments, cwd=self.path, env=self.env)

    def update_ok(self, *arguments: str) -> Done:
        done = self.update(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def changed(self) -> list[str]:
        return run_ok("git", "status", "--porcelain", cwd=self.path).splitlines()

    def tree(self) -> dict[str, bytes]:
        names = run_ok("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=self.path).splitlines()
        return {name: self.file(name).read_bytes() for name in names if self.file(name).is_file()}


@pytest.fixture
def uv_log(tmp_path: Path) -> Path:
    return tmp_path / "uv.log"


@pytest.fixture
def env(tmp_path: Path, uv_log: Path) -> dict[str, str]:
    """Variables with a uv that notes what it was asked and does nothing."""
    fake = tmp_path / "bin" / "uv"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> "{uv_log}"\n')
    fake.chmod(0o755)
    return {"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}", "UV_PYTHON": sys.executable, "UV": str(fake)}


@pytest.fixture
def releases(template: Template, tmp_path: Path) -> Releases:
    return Releases(template, tmp_path)


def generate(releases: Releases, path: Path, env: dict[str, str], tag: str, *arguments: str) -> Project:
    command = [*copier(), "copy", "--trust", "--defaults", "--vcs-ref", tag, *arguments, str(releases.path), path.name]
    run_ok(*command, cwd=path.parent, env=env)
    project = Project(path, env)
    run_ok("git", "init", "-q", cwd=path)
    project.commit()
    return project


def own_tests(project: Environment, *tests: str) -> Done:
    """The environment's tests, or those named.

    Those that take long and are about files that no test here changes are left out: they pass elsewhere.
    """
    long = [f"--ignore=tests/test_{name}.py" for name in ("access", "check", "page", "rollout")]
    return project.run(project.python, "-m", "pytest", "-q", *(tests or ["tests", *long]))


Installed = Callable[[Project], Environment]


@pytest.fixture(scope="session")
def installed(attach: Attach) -> Installed:
    """A function that gives a project the means to run. The line does not matter: an update is about files."""
    return lambda project: attach(project.path, LINES[0])


def seconds_of_work() -> float:
    """The processor's time that programs started here have taken, which a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --------------------------------------------------------------------------------------------- from release to release


def of_archetype(archetype: str) -> list[pytest.MarkDecorator]:
    """The marks of an update's test: a game in CI; the others take their time."""
    needed = [pytest.mark.needs("a display")] if archetype == "computer_use" else []
    return needed if archetype == "game" else [*needed, pytest.mark.full]


@pytest.mark.parametrize("archetype", [pytest.param(each, marks=of_archetype(each)) for each in SAMPLE])
def test_an_update_equals_a_fresh_render_but_for_the_users_files(
    template: Template, tmp_path: Path, env: dict[str, str], uv_log: Path, installed: Installed, archetype: str
) -> None:
    releases = Releases(template, tmp_path, archetype)
    releases.release_before()
    project = generate(releases, tmp_path / "my_env", env, "v0.0.1", "-d", f"archetype={archetype}")
    before = project.tree()
    releases.release_this_tree()
    uv_log.unlink()
    started, worked = time.monotonic(), seconds_of_work()
    done = project.update_ok()
    seconds, worked = time.monotonic() - started, seconds_of_work() - worked
    print(f"\ncopier update, without uv sync: {seconds:.1f} s, {worked:.1f} s of them work")
    assert worked < 10
    # The hook has run once, at the end: `uv sync`, the gate, and what compiles beside that.
    commands = re.findall(r"^(sync|run) ", uv_log.read_text(), re.MULTILINE)
    assert commands in (["sync", "run"], ["sync", "run", "run"])

    (tmp_path / "fresh").mkdir()
    folder = tmp_path / "fresh" / "my_env"
    fresh = generate(releases, folder, env, "v0.1.0", "-d", f"archetype={archetype}").tree()
    after = project.tree()
    data = [name for name in before if name.startswith("data/")]
    assert len(data) == 4
    domain = SAMPLE[archetype]
    own = users_own(domain)
    for name in [*own, *data]:
        assert after[name] == before[name], name
    assert {n: t for n, t in after.items() if n not in own} == {n: t for n, t in fresh.items() if n not in own}
    assert after[f"{domain}.py"] != fresh[f"{domain}.py"]
    assert after["server.py"] != before["server.py"]
    assert "git diff\n  uv run pytest\n" in done.stdout
    tests = own_tests(installed(project), f"tests/test_{domain}.py", "tests/test_template_files.py")
    assert tests.returncode == 0, tests.stdout


def test_a_users_work_survives_two_releases(
    releases: Releases, tmp_path: Path, env: dict[str, str], installed: Installed
) -> None:
    releases.release_before()
    project = generate(releases, tmp_path / "my_env", env, "v0.0.1")
    # Tool bodies filled in, a renamed sample tool, a new tool, another config field.
    project.edit("server.py", "def guess(", "def guess_word(")
    project.edit(
        "server.py",
        'app.post("/guess")(self.guess)\n',
        'app.post("/guess_word")(self.guess_word)\n        app.post("/give_up")(self.give_up)\n',
    )
    project.edit("server.py", GUESS, FILLED_IN)
    # The sample domain replaced by a module of another name, with own tasks, rows, tests and player.
    project.file("puzzle.py").write_text(project.read("wordle.py").replace("MAX_GUESSES = 6", "MAX_GUESSES = 7"))
    project.edit("tasks.py", "the tool guess with", "the tool guess_word with")
    tests = project.read("tests/test_wordle.py").replace("6 tries", "7 tries").replace("of 6", "of 7")
    project.file("tests/test_puzzle.py").write_text(tests.replace("import wordle", "import puzzle as wordle"))
    project.edit("tests/test_puzzle.py", "from wordle import", "from puzzle import")
    for name in ("wordle.py", "tests/test_wordle.py", "tests/cheats.py"):
        project.file(name).unlink()
    for name in ("server.py", "tasks.py", "policy.py"):
        project.edit(name, "from wordle import", "from puzzle import")
    project.edit("policy.py", 'yield "guess"', 'yield "guess_word"')
    # Own dependency, README section, settings; a sample file deleted.
    project.edit("pyproject.toml", '  "rich>=13.0",\n', '  "rich>=13.0",\n  "packaging>=24.0",\n')
    project.edit("README.md", "\n## ", "\n## My own section\n\nMine.\n\n## ")
    project.edit("configs/my_env.yaml", "      # tool_seconds: 60\n", "      tool_seconds: 30\n")
    project.file("resources_servers/my_env/README.md").unlink()
    runs = installed(project)
    runs.run_ok(*DATA)
    runs.run_ok(*CASES)
    project.commit()
    mine = project.tree()

    releases.release_this_tree()
    project.update_ok()
    project.commit()
    releases.change(MIDDLEWARE, "RETRY_AFTER_SECONDS = 5", "RETRY_AFTER_SECONDS = 7")
    releases.change("server.py", "\nVERIFIER_FIXTURE", "\n# What `gym env test` runs.\nVERIFIER_FIXTURE")
    releases.change("Dockerfile", "USER 1000\n", "USER 1000:1000\n")
    releases.change("resources_servers/{{ env_name }}/server.py", "# In front of", "# Before")
    releases.change("resources_servers/{{ env_name }}/README.md", "The entry point", "This is the entry point")
    releases.release("v0.2.0")
    project.update_ok()

    assert not [line for line in project.changed() if line.startswith(("UU", "AA", "DU", "UD"))]
    after = project.tree()
    own = ["puzzle.py", "tasks.py", "policy.py", "tests/test_puzzle.py", "tests/verifier_cases.jsonl"]
    for name in [*own, *(name for name in mine if name.startswith("data/"))]:
        assert after[name] == mine[name], name
    assert not {"wordle.py", "tests/test_wordle.py", "tests/cheats.py"} & set(after)
    server = project.read("server.py")
    for text in (
        "guess_word",
        "give_up",
        "body.word.strip()",
        "from gymkit.serve import run",
        "# What `gym env test` runs.",
    ):
        assert text in server, text
    assert "packaging>=24.0" in project.read("pyproject.toml")
    assert "## My own section\n\nMine.\n" in project.read("README.md")
    config = project.read("configs/my_env.yaml")
    assert "tool_seconds: 30" in config
    assert "max_steps: 20" in config
    assert "USER 1000:1000" in project.read("Dockerfile")
    assert "RETRY_AFTER_SECONDS = 7" in project.read(MIDDLEWARE)
    assert "# Before" in project.read("resources_servers/my_env/server.py")
    assert not project.file("resources_servers/my_env/README.md").exists()
    tests_done = own_tests(runs)
    assert tests_done.returncode == 0, tests_done.stdout


def test_a_change_on_the_same_line_is_a_conflict_that_cannot_be_overlooked(
    releases: Releases, tmp_path: Path, env: dict[str, str], installed: Installed
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    project.edit("server.py", GUESS, "        return ToolResponse(output=game.guess(body.word).upper())\n")
    project.commit()
    releases.change("server.py", GUESS, "        return ToolResponse(output=game.guess(body.word) + '!')\n")
    releases.release("v0.2.0")
    done = project.update()
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    place = next(n for n, line in enumerate(project.read("server.py").splitlines(), 1) if line.startswith("<<<<<<<"))
    assert f"server.py:{place}" in said
    assert said.endswith("To give the update up: git reset --hard && git clean -fd")
    assert "UU server.py" in project.changed()
    server = project.read("server.py")
    assert ".upper()" in server
    assert "+ '!'" in server
    # It cannot be committed, and pytest names its place.
    runs = installed(project)
    hook = runs.run(*CONFLICTS, "server.py")
    assert (hook.returncode, hook.stdout.splitlines()[0]) == (1, f"conflict marker: server.py:{place}")
    tests = own_tests(runs)
    assert tests.returncode != 0
    assert f"server.py, line {place}" in tests.stdout + tests.stderr
    # The documented way out.
    run_ok("git", "reset", "--hard", "-q", cwd=project.path)
    assert project.changed() == []
    assert ".upper()" in project.read("server.py")


def test_the_commands_of_the_generated_readme(releases: Releases, tmp_path: Path, env: dict[str, str]) -> None:
    """By somebody whose git has no identity yet, as they stand there."""
    releases.release("v0.1.0")
    command = [*copier(), "copy", "--trust", "--defaults", str(releases.path), "my_env"]
    run_ok(*command, cwd=tmp_path, env=env)
    uvx = tmp_path / "bin" / "uvx"
    uvx.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m "$@"\n')
    uvx.chmod(0o755)
    project = Project(tmp_path / "my_env", env | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull})
    section = project.read("README.md").split("\n## Updates\n")[1].split("\n## ")[0]
    once, update = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    run_ok("bash", "-ec", once, cwd=project.path, env=project.env)
    assert project.changed() == []
    releases.change(MIDDLEWARE, "RETRY_AFTER_SECONDS = 5", "RETRY_AFTER_SECONDS = 7")
    releases.release("v0.2.0")
    run_ok("bash", "-ec", update, cwd=project.path, env=project.env)
    assert "RETRY_AFTER_SECONDS = 7" in project.read(MIDDLEWARE)


def test_edited_and_missing_template_files_are_named(
    releases: Releases, tmp_path: Path, env: dict[str, str], installed: Installed
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    runs = installed(project)
    test = "tests/test_template_files.py"
    assert own_tests(runs, test).returncode == 0
    project.file("rollout.py").write_text(project.read("rollout.py") + "# Edited.\n")
    project.file("tests/test_rollout.py").unlink()
    done = own_tests(runs, test)
    assert done.returncode == 1
    assert "edited: rollout.py; missing: tests/test_rollout.py" in done.stdout
    own = '\n[tool.gymkit]\nown = ["rollout.py", "tests/test_rollout.py"]\n'
    project.file("pyproject.toml").write_text(project.read("pyproject.toml") + own)
    assert own_tests(runs, test).returncode == 0


def test_ownership_that_is_broken_is_noticed(releases: Releases, tmp_path: Path, env: dict[str, str]) -> None:
    """The check above can fail: without its protection, an update overwrites the user's file."""
    text = (releases.path / "copier.yml").read_text(encoding="utf-8")
    guarded = "  - \"{% if _copier_operation == 'update' %}/{{ domain_module }}.py{% endif %}\"\n"
    assert guarded in text
    (releases.path / "copier.yml").write_text(text.replace(guarded, ""), encoding="utf-8")
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    before = project.read("wordle.py")
    releases.change("wordle.py", "MAX_CALLS = 20", "MAX_CALLS = 30")
    releases.release("v0.2.0")
    project.update_ok()
    assert project.read("wordle.py") != before


# ----------------------------------------------------------------------- what the user changes without a conflict


def check_no_conflict(project: Project) -> None:
    assert not [line for line in project.changed() if line.startswith(("UU", "AA", "DU", "UD"))], project.changed()
    assert not [name for name, text in project.tree().items() if b"\n<<<<<<< " in text or name.endswith(".rej")]


def test_a_renamed_class_and_added_packages(releases: Releases, tmp_path: Path, env: dict[str, str]) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    server = project.read("server.py").replace("MyEnvResourcesServer", "WordServer").replace("MyEnvConfig", "Settings")
    project.file("server.py").write_text(server)
    # `uv add`, as far as it concerns pyproject.toml.
    uv, offline = str(shutil.which("uv")), {"UV_OFFLINE": "1"}
    for arguments in (["packaging>=24"], ["aiohttp"], ["--dev", "black>=24"]):
        run_ok(uv, "add", "--frozen", *arguments, cwd=project.path, env=offline)
    project.commit()
    fixture = "from gymkit.fixture import"
    releases.change("server.py", fixture, f"from gymkit.errors import CommandError  # noqa: F401\n{fixture}")
    releases.change("server.py", "    # --- the tools ---\n", "    # --- tools ---\n")
    releases.change("pyproject.toml", '  "rich>=13.0",\n', '  "rich>=13.1",\n  "typing-extensions>=4",\n')
    releases.change("pyproject.toml", '  "ruff>=0.12",\n', '  "ruff>=0.13",\n')
    releases.change("pyproject.toml", "[project.scripts]\n", "[project.scripts]\n# Of the template.\n")
    releases.release("v0.2.0")
    project.update_ok()
    check_no_conflict(project)
    assert "class WordServer(" in project.read("server.py")
    assert "# --- tools ---" in project.read("server.py")
    text = project.read("pyproject.toml")
    for line in ("packaging>=24", "aiohttp", "black>=24", "rich>=13.1", "typing-extensions>=4", "ruff>=0.13"):
        assert f'  "{line}' in text, line


HOSTILE = """\
[core]
  autocrlf = true
  quotePath = true
[color]
  ui = always
[diff]
  noprefix = true
  mnemonicPrefix = true
[merge]
  conflictStyle = diff3
[grep]
  column = true
  fullName = true
[status]
  branch = true
[apply]
  whitespace = fix
"""
"""What people have in their git's settings."""


@pytest.mark.parametrize("conflict", [False, True], ids=["no conflict", "conflict"])
def test_whatever_git_is_set_to(releases: Releases, tmp_path: Path, env: dict[str, str], conflict: bool) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(HOSTILE)
    env = env | {"GIT_CONFIG_GLOBAL": str(config)}
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    for name in project.tree():
        project.file(name).unlink()
    # As in a clone: without .gitattributes, with other line endings than the template's.
    run_ok("git", "checkout", "-q", "--", ".", cwd=project.path, env=env)
    assert b"\r" not in project.file("server.py").read_bytes()
    project.edit("server.py", GUESS, "        return ToolResponse(output=game.guess(body.word).upper())\n")
    project.commit()
    releases.change(MIDDLEWARE, '"/livez", ', "")
    releases.change("server.py", '"""The environment: its', '"""This environment: its')
    if conflict:
        releases.change("server.py", GUESS, "        return ToolResponse(output=game.guess(body.word) + '!')\n")
    releases.release("v0.2.0")
    done = project.update()
    server = project.read("server.py")
    assert '"""This environment: its' in server
    assert ".upper()" in server
    if conflict:
        place = next(number for number, text in enumerate(server.splitlines(), 1) if text.startswith("<<<<<<<"))
        assert done.returncode != 0
        assert f" server.py:{place}, " in " ".join(done.stderr.split())
    else:
        assert done.returncode == 0, done.stdout + done.stderr
        check_no_conflict(project)


def test_a_formatter_of_another_style_leaves_the_templates_files(
    releases: Releases, tmp_path: Path, env: dict[str, str]
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    project.edit("pyproject.toml", "line-length = 120\n", "line-length = 79\n")
    project.edit("pyproject.toml", "[tool.ruff.format]\n", '[tool.ruff.format]\nquote-style = "single"\n')
    run_ok(sys.executable, "-m", "ruff", "format", "--no-cache", ".", cwd=project.path)
    formatted = [line[3:] for line in project.changed()]
    listed = project.file("gymkit/template_files").glob("*.sha256")
    templates = {
        line.split("  ")[1].replace("*", "my_env") for path in listed for line in path.read_text().splitlines()
    }
    assert "tasks.py" in formatted
    assert templates & set(formatted) == set()
    project.commit()
    releases.change(MIDDLEWARE, "RETRY_AFTER_SECONDS = 5", "RETRY_AFTER_SECONDS = 7")
    releases.change("server.py", "    # --- the tools ---\n", "    # --- tools ---\n")
    releases.release("v0.2.0")
    project.update_ok()
    check_no_conflict(project)


# --------------------------------------------------------------------------------------------------- a file that moves

MOVED = """\
_migrations:
  - version: v0.2.0
    when: "{{ _stage == 'after' }}"
    command:
      - "{{ _copier_python }}"
      - "{{ _copier_conf.src_path }}/hooks/move_file.py"
      - "{{ _copier_conf.src_path }}"
      - rollout.py
      - play.py
"""


def move_rollout(releases: Releases) -> None:
    """A release in which rollout.py is play.py, and has another line: by the recipe of docs/developing.md."""
    recipe = (releases.path / "docs" / "developing.md").read_text(encoding="utf-8")
    assert MOVED.removeprefix("_migrations:\n").replace("v0.2.0", "v0.3.0") in recipe
    releases.change("rollout.py", '"""Play episodes over HTTP', '"""Play whole episodes over HTTP')
    releases.file("rollout.py").rename(releases.file("rollout.py").with_name("play.py"))
    text = (releases.path / "copier.yml").read_text(encoding="utf-8")
    (releases.path / "copier.yml").write_text(text.replace("_migrations:\n", MOVED), encoding="utf-8")
    releases.release("v0.2.0")


@pytest.mark.parametrize("edit", ["none", "elsewhere", "the same line", "deleted"])
def test_a_file_that_moves_keeps_the_users_edits(
    releases: Releases, tmp_path: Path, env: dict[str, str], edit: str
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    if edit == "elsewhere":
        project.edit("rollout.py", 'help="per episode"', 'help="in an episode"')
    elif edit == "the same line":
        project.edit("rollout.py", '"""Play episodes over HTTP', '"""Play many episodes over HTTP')
    elif edit == "deleted":
        project.file("rollout.py").unlink()
    if edit != "none":
        project.commit()
    move_rollout(releases)
    done = project.update()
    assert not project.file("rollout.py").exists()
    assert (done.returncode != 0) == (edit == "the same line"), done.stdout + done.stderr
    if edit == "deleted":
        assert not project.file("play.py").exists()
        return
    played = project.read("play.py")
    assert '"""Play whole episodes over HTTP' in played
    assert ("in an episode" in played) == (edit == "elsewhere")
    conflict = '<<<<<<< before updating\n"""Play many episodes'
    assert (conflict in played) == (edit == "the same line")
    if edit == "none":
        (tmp_path / "fresh").mkdir()
        assert project.tree() == generate(releases, tmp_path / "fresh" / "my_env", env, "v0.2.0").tree()


# ---------------------------------------------------------------------------------------------- changing one's mind


def test_another_port_and_description_do_what_they_say(releases: Releases, tmp_path: Path, env: dict[str, str]) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    project.update_ok("--vcs-ref=:current:", "-d", "hf_space_port=8080", "-d", "description=Find the word.")
    for name in ("README.md", "Dockerfile"):
        assert "8080" in project.read(name)
        assert "7860" not in project.read(name)
    for name in ("README.md", "configs/my_env.yaml", "environments/my_env/manifest.yaml"):
        assert "Find the word." in project.read(name)


@pytest.mark.parametrize("answer", ["env_name=other", "archetype=sandbox"])
def test_an_answer_that_cannot_change_is_refused_before_anything_is_written(
    releases: Releases, tmp_path: Path, env: dict[str, str], answer: str
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    before = project.tree()
    done = project.update("--vcs-ref=:current:", "-d", answer)
    assert done.returncode != 0
    assert f"{answer.split('=')[0]} cannot be changed from" in done.stderr
    assert done.stderr.rstrip().endswith("Nothing was changed.")
    assert project.changed() == []
    assert project.tree() == before


# ---------------------------------------------------------------------------------------------------------- bad input


def spoil(project: Project, releases: Releases, how: str) -> None:
    answers = project.file(".copier-answers.yml")
    if how == "dirty":
        project.edit("server.py", GUESS, GUESS + "\n")
        return
    if how == "no_git":
        shutil.rmtree(project.file(".git"))
        return
    if how == "no_answers":
        answers.unlink()
    elif how == "edited_answers":
        answers.write_text("{ this is no yaml: [")
    elif how == "lost_commit":
        answers.write_text(re.sub(r"_commit: .*", "_commit: v9.9.9", answers.read_text()))
    elif how == "invalid_answer":
        answers.write_text(re.sub(r"hf_space_port: .*", "hf_space_port: 80", answers.read_text()))
    elif how == "moved_template":
        releases.path.rename(releases.path.with_name("moved"))
    elif how == "old_copier":
        text = (releases.path / "copier.yml").read_text(encoding="utf-8")
        (releases.path / "copier.yml").write_text(text.replace('"9.13.0"', '"99.0.0"'), encoding="utf-8")
        releases.release("v0.3.0")
    if how not in ("moved_template", "old_copier"):
        project.commit()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("dirty", "Destination repository is dirty"),
        ("no_git", "only supported in git-tracked"),
        ("no_answers", "Cannot update because cannot obtain old template references"),
        ("edited_answers", ""),
        ("lost_commit", "v9.9.9"),
        ("invalid_answer", "1024 to 65535"),
        ("moved_template", "only supported in git-tracked templates"),
        ("old_copier", "99.0.0"),
    ],
)
def test_what_cannot_be_updated_stays_as_it_was(
    releases: Releases, tmp_path: Path, env: dict[str, str], how: str, says: str
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    releases.change(MIDDLEWARE, '"/livez", ', "")
    releases.release("v0.2.0")
    spoil(project, releases, how)
    before = project.tree() if how != "no_git" else {"server.py": project.file("server.py").read_bytes()}
    done = project.update()
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    for name, content in before.items():
        assert project.file(name).read_bytes() == content, name


PRESSES_CTRL_C = """\
#!/bin/sh
case " $* " in *" {mark} "*) kill -INT $PPID; sleep 1 ;; esac
exec {git} "$@"
"""


@pytest.mark.parametrize(
    ("moment", "changes"), [("write-tree", False), ("diff-tree", True), ("apply", True), ("merge-file", True)]
)
def test_an_interrupted_update_can_be_taken_back(
    releases: Releases, tmp_path: Path, env: dict[str, str], moment: str, changes: bool
) -> None:
    """Ctrl+C while Copier runs a command of git: before anything is written, and in the middle of it."""
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    project.edit("server.py", GUESS, "        return ToolResponse(output=game.guess(body.word).upper())\n")
    project.commit()
    releases.change(MIDDLEWARE, '"/livez", ', "")
    releases.change("server.py", GUESS, "        return ToolResponse(output=game.guess(body.word) + '!')\n")
    releases.release("v0.2.0")
    before = project.tree()
    mark = "--inter-hunk-context=-1" if moment == "diff-tree" else moment
    git = tmp_path / "bin" / "git"
    git.write_text(PRESSES_CTRL_C.format(mark=mark, git=shutil.which("git")))
    git.chmod(0o755)
    done = project.update()
    assert done.returncode != 0
    assert "Execution stopped by user" in done.stderr
    assert "To take this update back, finished or interrupted: git reset --hard && git clean -fd" in done.stderr
    assert (project.changed() != []) == changes
    take_back(project, before)


def test_an_update_that_is_interrupted_in_the_hook_says_how_to_go_on(
    releases: Releases, tmp_path: Path, env: dict[str, str]
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    releases.change(MIDDLEWARE, '"/livez", ', "")
    releases.release("v0.2.0")
    before = project.tree()
    # At its very end, in `uv sync`, with all files changed.
    uv = Path(env["UV"])
    uv.write_text('#!/bin/sh\ncase "$1" in sync) kill -INT $PPID; kill -INT $$; sleep 5 ;; esac\n')
    done = project.update()
    assert done.returncode != 0
    assert project.changed() != []
    assert (
        "The files are updated, the installed packages are not.\nGo on:\n  uv sync\nTake it back:\n  git reset"
        in done.stderr
    )
    take_back(project, before)


def take_back(project: Project, before: dict[str, bytes]) -> None:
    run_ok("git", "reset", "--hard", "-q", cwd=project.path)
    run_ok("git", "clean", "-fdq", cwd=project.path)
    assert project.tree() == before


def test_copier_check_update_says_whether_there_is_news(
    releases: Releases, tmp_path: Path, env: dict[str, str]
) -> None:
    releases.release("v0.1.0")
    project = generate(releases, tmp_path / "my_env", env, "v0.1.0")
    assert run(*copier(), "check-update", "--quiet", cwd=project.path).returncode == 0
    releases.change(MIDDLEWARE, '"/livez", ', "")
    releases.release("v0.2.0")
    assert run(*copier(), "check-update", "--quiet", cwd=project.path).returncode == 2
    answers = yaml.safe_load(project.read(".copier-answers.yml"))
    assert answers["_commit"] == "v0.1.0"
