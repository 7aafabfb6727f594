"""The README's commands, as they stand there, by a user who has Python and git and nothing else.

`tools/fresh_machine.py` types them on whole Debians.
"""

import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from generated import LINES, ROOT, Template, as_on_github, copier, interpreter_for, run, run_ok, user_environ

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(section: str) -> list[str]:
    """The code blocks of a section."""
    text = README.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)


GET_UV = "python3 -m venv ~/.uv && ~/.uv/bin/pip install -q --disable-pip-version-check uv && "


@pytest.fixture
def fresh_machine(template: Template, tmp_path: Path) -> dict[str, str]:
    """A home of its own and no uv, where the template's address leads to the clone."""
    home = tmp_path / "home"
    home.mkdir()
    # What a user has on PATH, without uv and Copier.
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in user_environ()["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if program.name not in ("uv", "uvx", "copier") and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    # The package cache stays: what is tested is the commands, not the download of a gigabyte.
    cache = run_ok("uv", "cache", "dir", cwd=tmp_path).strip()
    path = [str(programs), str(interpreter_for(LINES[-1]).parent)]
    github = as_on_github(template, tmp_path)
    return {"HOME": str(home), "PATH": os.pathsep.join(path), "UV_CACHE_DIR": cache, **github}


def test_the_commands_for_python_alone_are_those_for_uv_after_a_line_that_gets_it() -> None:
    generate, play, generate_by_python, play_by_python, test, test_by_python = commands("On a fresh machine")
    for by_uv, by_python in ((generate, generate_by_python), (test, test_by_python)):
        assert by_python.startswith(GET_UV)
        assert by_python.removeprefix(GET_UV).replace("~/.uv/bin/", "") == by_uv
    assert play_by_python.replace("~/.uv/bin/", "") == play


def test_the_first_command_leaves_an_environment_whose_player_wins(
    fresh_machine: dict[str, str], tmp_path: Path
) -> None:
    _, _, generate, play, _, _ = commands("On a fresh machine")
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    # Each in a shell of its own.
    output = run_ok("bash", "-c", generate, cwd=folder, env=fresh_machine)
    assert output.rstrip().endswith(textwrap.indent(play, "  "))
    output = run_ok("bash", "-c", play, cwd=folder, env=fresh_machine)
    assert output.rstrip().endswith("Reward: 1"), output
    assert (folder / "my_env" / ".venv" / "bin" / "python").exists()


def test_the_second_command_runs_these_tests(fresh_machine: dict[str, str], tmp_path: Path) -> None:
    """All but their running, which is what happens just now: a test among them is named instead."""
    *_, test = commands("On a fresh machine")
    assert test.endswith("uv run pytest")
    one = f"{test} tests/test_readme.py::test_the_readme_shows_the_tree_that_is_generated"
    plain = {"CI": "", "NEMO_GYM_LINES": ""}
    output = run_ok("bash", "-c", one, cwd=tmp_path, env=fresh_machine | plain)
    assert re.search(r"^=+ 1 passed", output, re.MULTILINE), output
    assert re.search("^left out: .*NeMo Gym", output, re.MULTILINE)


def test_ci_runs_the_readmes_test_command() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("~/.uv/bin/uv run pytest")


def test_once_trusted_the_plain_command_does_it_all(template: Template, tmp_path: Path) -> None:
    """With the settings that the README shows. uv itself is a stand-in here."""
    settings = re.search(r"```yaml\n(trust:.*?)```", README, re.DOTALL)
    plain = re.search(r"plain `copier (copy gh:\S+ my_env)` does it all", README)
    assert settings
    assert plain
    (tmp_path / "settings.yml").write_text(settings[1])
    log = tmp_path / "uv.log"
    fake_uv = tmp_path / "bin" / "uv"
    fake_uv.parent.mkdir()
    fake_uv.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    fake_uv.chmod(0o755)
    env = as_on_github(template, tmp_path) | {
        "COPIER_SETTINGS_PATH": str(tmp_path / "settings.yml"),
        "PATH": f"{fake_uv.parent}{os.pathsep}{user_environ()['PATH']}",
        "UV_PYTHON": sys.executable,
    }
    # --defaults, because nobody sits at a terminal here.
    command = [*copier(), *plain[1].split(), "--defaults"]
    done = run(*command, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sync" in log.read_text()
    answers = yaml.safe_load((tmp_path / "my_env" / ".copier-answers.yml").read_text())
    assert answers["user_name"] == "Your Name"
    shutil.rmtree(tmp_path / "my_env")
    refused = run(*command, cwd=tmp_path, env=env | {"COPIER_SETTINGS_PATH": os.devnull})
    assert refused.returncode == 4
    assert not (tmp_path / "my_env").exists()


def test_the_readme_shows_the_tree_that_is_generated(template: Template, tmp_path: Path) -> None:
    run_ok(*copier(), "copy", "--trust", "--defaults", "--skip-tasks", template.path, "my_env", cwd=tmp_path)
    tree = commands("What you get")[0].splitlines()[1:]
    # Names stand left of the first wide gap; the last line holds nothing else.
    names = [line.strip().split("   ")[0].strip() for line in tree[:-1]] + tree[-1].split()
    for name in names:
        assert (tmp_path / "my_env" / name).exists(), name


def test_every_question_stands_in_the_documentation() -> None:
    questions = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    asked = [name for name, q in questions.items() if not name.startswith("_") and q.get("when") is not False]
    for page in ("README.md", "docs/questions.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert [name for name in asked if f"| `{name}` |" not in text] == [], page


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
