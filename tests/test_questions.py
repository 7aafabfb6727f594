"""The questions: every combination of answers renders into something whole, bad answers are refused, and so on."""

import json
import keyword
import os
import re
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from copier import run_copy
from generated import (
    ARCHETYPES,
    ASKS_JUDGE,
    FULL,
    LINES,
    ROOT,
    SAMPLE,
    Template,
    as_on_github,
    copier,
    interpreter_for,
    run,
    run_ok,
)

QUESTIONS: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
ASKED = [name for name, q in QUESTIONS.items() if not name.startswith("_") and q.get("when") is not False]

NASTY = """It's "quoted" \\ back: # slash, {{ braces }} {% raw %} <tag> & ümlaut – 100 % 🎯"""
THE_WORST = {"env_name": "wordle", "description": NASTY, "user_name": NASTY[:80]}
AT_E2B = {"use_e2b": True}  # Where it is not asked, it changes nothing,
WITH_JUDGE = {"use_judge": True}  # nor does this.
ANSWERS = [
    {},
    {"env_name": "a"},
    {"env_name": "x1_2__3_", "hf_space_port": 1024},
    {"env_name": "a" * 40, "description": "d" * 300, "user_name": "n" * 100, "hf_space_port": 65535},
    THE_WORST,
    {"description": "- yes: no", "user_name": "null"},
    AT_E2B,
    WITH_JUDGE,
]


def render(template: Template, folder: Path, **answers: Any) -> Path:
    run_copy(
        str(template.path),
        folder,
        data=answers,
        defaults=True,
        skip_tasks=True,
        unsafe=True,
        quiet=True,
        vcs_ref="HEAD",
    )
    return folder


RENDERED = [
    pytest.param((archetype, number), marks=pytest.mark.xdist_group(f"rendered {archetype} {number}"))
    for archetype in ARCHETYPES
    for number, answers in enumerate(ANSWERS)
    # Of names and numbers an archetype makes nothing of its own.
    if FULL or archetype == "game" or answers in ({}, THE_WORST, WITH_JUDGE if archetype in ASKS_JUDGE else AT_E2B)
]


@pytest.fixture(scope="module", params=RENDERED)
def rendered(
    request: pytest.FixtureRequest, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A rendered environment, and all of its answers."""
    archetype, number = request.param
    folder = render(template, tmp_path_factory.mktemp("render") / "my_env", archetype=archetype, **ANSWERS[number])
    stored = yaml.safe_load((folder / ".copier-answers.yml").read_text(encoding="utf-8"))
    return folder, {**stored, **ANSWERS[number]}


def text_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and ".ruff_cache" not in path.parts]


# ------------------------------------------------------------------------------------------------- what is rendered


def test_nothing_is_empty_or_left_over(rendered: tuple[Path, dict[str, Any]]) -> None:
    folder, answers = rendered
    for path in text_files(folder):
        name = str(path.relative_to(folder))
        assert not set(name) & set('"<>|:?*{}%'), name
        assert not name.endswith(".jinja")
        text = path.read_text(encoding="utf-8")
        assert text.strip(), f"{name} is empty"
        if name == ".copier-answers.yml" or name.startswith(".github"):  # GitHub's expressions have braces too
            continue
        for answer in (answers["description"], answers["description"][:57].rstrip(), answers["user_name"]):
            text = text.replace(answer, "").replace(json.dumps(answer, ensure_ascii=False)[1:-1], "")
        assert "{%" not in text or name == "train/tiny.py", name  # a chat template
        assert "{{" not in text or path.suffix == ".py", name  # f-strings have braces


def test_headings_have_something_under_them(rendered: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = rendered
    lines = [line for line in (folder / "README.md").read_text(encoding="utf-8").splitlines() if line.strip()]
    for line, following in zip(lines, [*lines[1:], "# end"], strict=True):
        if line.startswith("#"):
            level, next_level = len(line) - len(line.lstrip("#")), len(following) - len(following.lstrip("#"))
            assert next_level == 0 or next_level > level, line


def test_python_compiles_and_is_linted_and_formatted(rendered: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = rendered
    # By a Python of the environment's: that of these tests may be too old for its syntax.
    parse = "import ast, pathlib; [ast.parse(path.read_text('utf-8')) for path in pathlib.Path('.').rglob('*.py')]"
    run_ok(interpreter_for(LINES[0]), "-c", parse, cwd=folder)
    # With the template's own files, which the environment's settings leave out. (`--config` on the command line adds to
    # these settings, and cannot take anything out of them.)
    settings = (folder / "pyproject.toml").read_text("utf-8")
    start = settings.index("extend-exclude = [")
    everything = tmp_path / "pyproject.toml"
    everything.write_text(settings[:start] + settings[settings.index("]\n", start) + 2 :], "utf-8")
    for command in (["check"], ["format", "--check"]):
        run_ok(sys.executable, "-m", "ruff", *command, "--no-cache", "--config", everything, ".", cwd=folder)


def test_ruff_leaves_the_templates_files_to_the_template(rendered: tuple[Path, dict[str, Any]]) -> None:
    """And no others: a user's style applies to his own."""
    folder, answers = rendered
    ruff = [sys.executable, "-m", "ruff", "check", "--show-files", "."]
    own = {Path(line).relative_to(folder).as_posix() for line in run_ok(*ruff, cwd=folder).splitlines()}
    lists = (folder / "gymkit" / "template_files").glob("*.sha256")
    lines = [line.split("  ")[1] for path in lists for line in path.read_text().splitlines()]
    templates = {name.replace("*", answers["env_name"]) for name in lines}
    python = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    assert {name for name in own if name.endswith(".py")} == python - templates


def test_answers_arrive_as_they_were_given(rendered: tuple[Path, dict[str, Any]]) -> None:
    folder, answers = rendered
    name, description, author = answers["env_name"], answers["description"], answers["user_name"]
    config = yaml.safe_load((folder / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert config[f"{name}_resources_server"]["resources_servers"][name]["description"] == description
    manifest = yaml.safe_load((folder / "environments" / name / "manifest.yaml").read_text(encoding="utf-8"))
    assert (manifest["name"], manifest["description"], manifest["authors"]) == (name, description, [author])
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", project["name"])
    head = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert head["app_port"] == answers["hf_space_port"]
    assert 0 < len(head["short_description"]) <= 60
    assert head["title"]
    assert description in (folder / "README.md").read_text(encoding="utf-8")
    assert str(answers["hf_space_port"]) in (folder / "Dockerfile").read_text(encoding="utf-8")
    classes = re.findall(r"^class (\w+)\(EnvironmentServer\)", (folder / "server.py").read_text(), re.M)
    assert len(classes) == 1
    assert classes[0].isidentifier()


def test_data_files_hold_one_object_a_line(rendered: tuple[Path, dict[str, Any]]) -> None:
    folder, answers = rendered
    rows = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in (folder / "data").glob("*.jsonl")}
    assert len(rows["example"]) >= 5
    assert len(rows["demo"]) == 1
    assert len(rows["validation"]) + len(rows["example"]) >= 50
    for line in [line for lines in rows.values() for line in lines]:
        row = json.loads(line)
        assert row["responses_create_params"].get("tools") or answers["archetype"] == "question"
        assert list(row["ground_truth"][0]) == ["expected_output"]


def test_only_answers_to_questions_are_stored(rendered: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = rendered
    stored = yaml.safe_load((folder / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name for name in stored if not name.startswith("_")} <= set(ASKED)
    assert {name for answers in ANSWERS for name in answers} <= set(ASKED)


@pytest.mark.filterwarnings("ignore::copier.errors.DirtyLocalWarning")
def test_every_file_that_is_written_is_looked_for(rendered: tuple[Path, dict[str, Any]]) -> None:
    """Before anything is written, `copier copy` looks whether one of these files is there."""
    folder, answers = rendered
    written = {path.relative_to(folder).as_posix() for path in text_files(folder)} - {".copier-answers.yml"}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT))
    module: Any = environment.get_template("includes/written_files.jinja").module
    assert set(module.archetypes) == set(ARCHETYPES)
    others = set(ARCHETYPES) - {answers["archetype"]}
    looked_for = {name for overlay, names in module.written_files.items() if overlay not in others for name in names}
    assert written - {name.replace("ENV_NAME", answers["env_name"]) for name in looked_for} == set()


def test_the_users_files_are_those_that_an_update_leaves_alone(rendered: tuple[Path, dict[str, Any]]) -> None:
    """Every pattern of `_exclude` that an update obeys names files that exist."""
    folder, answers = rendered
    archetype = answers["archetype"]
    made = {"_copier_operation": "update", "domain_module": SAMPLE[archetype], archetype: ".", "judge": ""}
    patterns = {jinja2.Template(pattern).render(made) for pattern in QUESTIONS["_exclude"] if "update" in pattern}
    patterns.discard("")
    assert len(patterns) >= 4
    assert [pattern for pattern in patterns if not list(folder.glob(pattern.lstrip("/")))] == []


@pytest.mark.filterwarnings("ignore:Dirty template changes")  # They are what it is about.
def test_an_undefined_variable_is_an_error(template: Template, tmp_path: Path) -> None:
    copy = tmp_path / "template"
    run_ok("git", "clone", "-q", template.path, copy, cwd=tmp_path)
    (copy / "template" / "NEW.md.jinja").write_text("{{ env_nmae }}\n")
    with pytest.raises(jinja2.UndefinedError, match="env_nmae"):
        render(Template(copy), tmp_path / "my_env")


# ------------------------------------------------------------------------------------------- defaults and destinations


def test_every_question_has_a_default_and_a_help() -> None:
    for name in ASKED:
        assert "default" in QUESTIONS[name], name
        assert QUESTIONS[name]["help"].strip(), name


@pytest.mark.parametrize(
    ("destination", "env_name"),
    [
        ("my_game", "my_game"),
        ("envs/wordle/nemo_gym", "wordle"),
        ("nemo_gym", "my_env"),
        ("My Env 2", "my_env_2"),
        ("json", "my_env"),
        ("server", "my_env"),
        ("123", "my_env"),
        ("--", "my_env"),
        ("spiel-für-zwei", "spiel_f_r_zwei"),
        ("x" * 60, "my_env"),
        (".", "here"),
    ],
)
def test_the_defaults_work_in_every_destination(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destination: str, env_name: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    render(template, Path(destination))
    answers = yaml.safe_load((folder / destination / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert answers["env_name"] == env_name
    assert answers["_commit"] == "v0.1.0"


def test_a_destination_called_nemo_gym_does_not_hide_the_package(template: Template, tmp_path: Path) -> None:
    """The root has no `__init__.py`: with one, pytest would import the folder as `nemo_gym`."""
    folder = render(template, tmp_path / "envs" / "wordle" / "nemo_gym")
    assert not (folder / "__init__.py").exists()
    assert not (folder / "tests" / "__init__.py").exists()


# ------------------------------------------------------------------------------------------------------ bad answers


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("env_name=My-Env", "Use a-z, 0-9, _"),
        ("env_name=", "Use a-z, 0-9, _"),
        ("env_name=1st", "begins with a lower-case letter"),
        ("env_name=class", "Try 'class_env'"),
        ("env_name=nemo_gym", "Try 'nemo_gym_env'"),
        ("env_name=server", "Try 'server_env'"),
        ("env_name=tests", "Try 'tests_env'"),
        ("env_name=json", "Try 'json_env'"),
        ("env_name=" + "a" * 41, "Use at most 40 characters"),
        ("env_name=a\nb", "Use a-z, 0-9, _"),
        ("env_name=my_env\n", "Use a-z, 0-9, _"),  # `$` matches before a line break at the end
        ("env_name=yes", "Try 'yes_env'"),  # YAML 1.1 reads a bool
        ("env_name=pipes", "Try 'pipes_env'"),  # in the standard library up to 3.12
        ("env_name=ruff", "Try 'ruff_env'"),  # the project would depend on itself
        ("env_name=nemo__gym_", "Try 'nemo__gym__env'"),  # the project would be called nemo-gym
        ("hf_space_port=80", "Use 1024 to 65535"),
        ("hf_space_port=0", "1024 to 65535"),
        ("hf_space_port=70000", "1024 to 65535"),
        ("hf_space_port=11000", "Use another one, as 7860"),
        ("hf_space_port=many", "invalid literal for int"),
        ("description= ", "Write one sentence"),
        ("description=two\nlines", "Use one line"),
        ("description=\u007f", "control characters"),  # TOML and YAML know no way to hold it raw
        ("description=a\u2028b", "Use one line"),
        ("description=" + "d" * 301, "Use at most 300 characters"),
        ("user_name=", "1-100 characters"),
        ("user_name=two\nlines", "Use one line"),
        ("user_name=Ada\u0085", "control characters"),
        ("archetype=board_game", "archetype"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_answer_is_refused_with_what_would_do(template: Template, tmp_path: Path, answer: str, says: str) -> None:
    name, value = answer.split("=", 1)
    with pytest.raises(ValueError, match=re.escape(says)):
        render(template, tmp_path / "my_env", **{name: value})
    assert not (tmp_path / "my_env").exists()


def test_what_to_do_stands_where_copier_does_not_cut_it() -> None:
    """Of 80 columns, Copier's own words take up to 47: "Validation error for question 'hf_space_port': "."""
    for name in ASKED:
        if isinstance(QUESTIONS[name].get("choices"), dict):
            assert all(len(label) <= 76 for label in QUESTIONS[name]["choices"]), name
        for archetype in ARCHETYPES:
            assert len(jinja2.Template(QUESTIONS[name]["help"]).render(archetype=archetype)) < 78, name
        parts = re.split(r"\{[%#].*?[%#]\}", QUESTIONS[name].get("validator", ""), flags=re.DOTALL)
        texts = [part.strip() for part in parts if part.strip()]
        assert texts or "validator" not in QUESTIONS[name]
        for text in texts:
            does = text.split(":")[0].replace("{{ env_name }}", "my_env")
            assert does.startswith(("Use ", "Try ", "Write ")), text
            assert len(does) <= 33, text


def test_a_bad_answer_from_the_command_line_ends_with_what_would_do(template: Template, tmp_path: Path) -> None:
    """At a prompt Copier shows the sentence and asks again; of `-d` it makes a traceback, whose last line it is."""
    command = [*copier(), "copy", "--trust", "--defaults", "--skip-tasks", "-d", "env_name=json"]
    done = run(*command, template.path, "my_env", cwd=tmp_path)
    assert done.returncode == 1
    assert "Try 'json_env'" in done.stderr.rstrip().splitlines()[-1]
    assert not (tmp_path / "my_env").exists()


def test_names_that_hide_a_module_are_reserved() -> None:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT))
    module: Any = environment.get_template("includes/reserved_names.jinja").module
    reserved = set(module.reserved_names)
    standard_library = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    own = {path.name.removesuffix(".py") for path in (ROOT / "template").iterdir() if "{" not in path.name}
    own = {name for name in own if name.isidentifier()}
    for names in (standard_library, set(map(str.lower, keyword.kwlist)), set(keyword.softkwlist) - {"_"}, own):
        assert {name for name in names if re.fullmatch("[a-z][a-z0-9_]*", name)} - reserved == set()


# ------------------------------------------------------------------------------------------- destinations in the way


IN_THE_WAY = [
    ("game", "server.py"),
    ("game", ".gitignore"),
    ("game", "configs/my_env.yaml"),
    ("game", "data/example.jsonl"),
    ("sandbox", "analysis.py"),
    ("computer_use", "tests/test_desktop.py"),
]


@pytest.mark.parametrize(("archetype", "name"), IN_THE_WAY)
def test_nothing_is_written_where_a_file_is_in_the_way(
    template: Template, tmp_path: Path, archetype: str, name: str
) -> None:
    folder = tmp_path / "my_env"
    mine = folder / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine\n")
    command = [*copier(), "copy", "--trust", "--defaults", "-d", f"archetype={archetype}", template.path, "my_env"]
    everywhere = FULL or name == IN_THE_WAY[0][1]
    for flags in ([], ["--skip-tasks"])[: 2 if everywhere else 1]:
        done = run(*command, *flags, cwd=tmp_path)
        assert [path for path in folder.rglob("*") if path.is_file()] == [mine]
        assert mine.read_text() == "mine\n"
        assert "Nothing was written" in done.stderr
        assert name in done.stderr
        assert (done.returncode != 0) == (flags == [])
    if not everywhere:
        return
    # His word.
    done = run(*command, "--skip-tasks", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert mine.read_text() != "mine\n"
    assert (folder / "server.py").exists()


def test_files_that_are_not_in_the_way_stay(template: Template, tmp_path: Path) -> None:
    folder = tmp_path / "my_env"
    for name in ("analysis.py", "my_domain.py", "data/mine.jsonl", "tests/test_mine.py", ".git/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine\n")
    render(template, folder)
    assert (folder / "server.py").exists()
    assert (folder / "analysis.py").read_text() == (folder / "data/mine.jsonl").read_text() == "mine\n"


def test_of_many_files_in_the_way_a_few_are_named(template: Template, tmp_path: Path) -> None:
    render(template, tmp_path / "my_env")
    done = run(*copier(), "copy", "--trust", "--defaults", "--skip-tasks", template.path, "my_env", cwd=tmp_path)
    assert re.search(r"there already: (\S+, ){5}\S+ and \d+ more\. Move them away", done.stderr), done.stderr


def test_an_answer_that_is_not_asked_has_no_effect(template: Template, tmp_path: Path) -> None:
    """A game has neither a sandbox nor a desktop that could be at E2B."""
    plain, at_e2b = (
        {
            path.relative_to(folder): path.read_bytes()
            for path in text_files(render(template, folder, **answers))
            if path.name != ".copier-answers.yml"
        }
        for folder, answers in ((tmp_path / "1" / "my_env", {}), (tmp_path / "2" / "my_env", AT_E2B))
    )
    assert plain == at_e2b
    assert "use_e2b" not in (tmp_path / "2" / "my_env" / ".copier-answers.yml").read_text()


@pytest.mark.parametrize("destination", ["my_env", "my_env/below"])
def test_a_destination_at_or_below_a_file_is_refused(template: Template, tmp_path: Path, destination: str) -> None:
    """By Copier's own error, which is a traceback (9.19): the template has no say before it."""
    (tmp_path / "my_env").write_text("mine\n")
    with pytest.raises(NotADirectoryError), warnings.catch_warnings(action="ignore"):
        render(template, tmp_path / destination)
    assert (tmp_path / "my_env").read_text() == "mine\n"


# --------------------------------------------------------------------------------------------- trust and ownership


def test_without_trust_nothing_is_run_or_written(template: Template, tmp_path: Path) -> None:
    env = as_on_github(template, tmp_path) | {"COPIER_SETTINGS_PATH": os.devnull}
    done = run(*copier(), "copy", "--defaults", "gh:org/nemo-env-template", "my_env", cwd=tmp_path, env=env)
    assert done.returncode == 4
    assert not (tmp_path / "my_env").exists()


def test_the_list_of_the_templates_own_files_is_up_to_date() -> None:
    run_ok(sys.executable, "tools/template_files.py", "--check", cwd=ROOT)
