"""Secrets stay at home: keys, credentials, links and copies of answers, in what a deploy and a build take along."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Attach
from generated import DEPLOY, LINES, Environment, Template, copy_command, free_port, run_ok, user_environ
from standin_hub import Hub
from test_answers_stay import in_the_context, uploaded

MARKER = "marker-5f0e1d2c3b4a"

PLANTED = {
    ".env": "HF_TOKEN={marker}",
    "settings/.env.production": "OPENAI_API_KEY={marker}",
    "certificates/server.key": "{marker}",
    ".netrc": "machine example password {marker}",
    ".aws/credentials": "aws_secret_access_key = {marker}",
    "secrets.yaml": "key: {marker}",
    "service-account-prod.json": '{{"private_key": "{marker}"}}',
    "old/rows.jsonl": '{{"ground_truth": "{marker}"}}',
    "tasks_before.py.bak": "ANSWER = '{marker}'",
}
LINKS = ("id_rsa", "notes.txt", "wordlists")
"""Links out of the environment: a file by a name of the list, a file by any name, a folder."""
SAME = ("words.dat", "data/train.jsonl")
"""A copy of a file that tells answers, under a name that says nothing."""


@pytest.fixture
def planted(template: Template, attach: Attach, tmp_path: Path) -> Iterator[Environment]:
    """An environment with all of these."""
    folder = tmp_path / "my_env"
    run_ok(*copy_command(template, folder), "--skip-tasks", cwd=tmp_path)
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    for name in ("file", "folder/file"):
        (outside / name).write_text(MARKER)
    for name, text in PLANTED.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(marker=MARKER))
    (folder / LINKS[0]).symlink_to(outside / "file")
    (folder / LINKS[1]).symlink_to(outside / "file")
    (folder / LINKS[2]).symlink_to(outside / "folder")
    yield attach(folder, LINES[-1])


def test_none_of_them_goes_along(planted: Environment, tmp_path: Path) -> None:
    names = {*PLANTED, *LINKS}
    assert len(names) == 12

    said = planted.run_ok(*DEPLOY, "--dry-run")
    would_go = {path.relative_to(planted.path).as_posix() for path in uploaded(planted)}
    assert not names & would_go and "server.py" in would_go
    for line in (".env: it may hold a secret", "id_rsa: it may hold a secret", "old/rows.jsonl: it tells the answers"):
        assert f"  - {line}\n" in said
    assert "  - notes.txt: it is a link out of the environment\n" in said
    assert "  - tasks_before.py.bak: it tells the answers\n" in said

    hub = Hub(tmp_path, planted.python, user_environ(), [free_port()])
    try:
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_writer"}
        planted.run_ok(*DEPLOY, env=variables)
        files = hub.spaces["ada/my-env"].files
    finally:
        hub.close()
    assert not names & set(files) and "server.py" in files
    assert not [name for name, content in files.items() if MARKER.encode() in content]

    # A link is sent as a link: what it leads to is not in the image.
    shutil.rmtree(tmp_path / "outside")
    context = in_the_context(planted, tmp_path)
    assert len(context) > 30
    assert not [path for path in context if path.name in {Path(name).name for name in names} - {"notes.txt"}]
    assert not [path for path in context if MARKER.encode() in path.read_bytes()]


def test_exceptions_are_named_and_reach_the_image_of_the_space(planted: Environment, tmp_path: Path) -> None:
    said = planted.run_ok(*DEPLOY, "--dry-run", "--include", "secrets.yaml", "--include", "old/rows.jsonl")
    assert "  - secrets.yaml" not in said and "secrets.yaml\n" in said and "old/rows.jsonl\n" in said
    refused = planted.run(*DEPLOY, "--dry-run", "--include", "no_such_file")
    assert refused.returncode == 1 and "--include no_such_file: there is no such file here" in refused.stderr
    hub = Hub(tmp_path, planted.python, user_environ(), [free_port()])
    try:
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_writer"}
        planted.run_ok(*DEPLOY, "--include", "secrets.yaml", env=variables)
        files = hub.spaces["ada/my-env"].files
    finally:
        hub.close()
    assert MARKER.encode() in files["secrets.yaml"]
    assert files[".dockerignore"].endswith(b"!/secrets.yaml\n")


def test_a_copy_of_answers_under_another_name_stays(planted: Environment) -> None:
    copy, original = SAME
    (planted.path / copy).write_bytes((planted.path / original).read_bytes())
    (planted.path / "more.txt").symlink_to("data/train.jsonl")
    said = planted.run_ok(*DEPLOY, "--dry-run")
    assert f"  - {copy}: it is a copy of {original}\n" in said
    assert "  - more.txt: it is a link to what stays here\n" in said
    rows = [json.loads(line) for line in (planted.path / original).read_text().splitlines()]
    (planted.path / "hints.csv").write_text(f"{rows[0]['task_id']},something\n")
    refused = planted.run(*DEPLOY, "--dry-run")
    assert refused.returncode == 1 and "hints.csv tells answers" in refused.stderr


def test_a_list_with_gaps_is_refused(planted: Environment) -> None:
    """Whether the first test could fail: without its line, the file goes along."""
    ignored = planted.path / ".dockerignore"
    text = ignored.read_text()
    ignored.write_text(text.replace("**/service?account*\n", "").replace("**/*?key.json\n", ""))
    assert "service-account-prod.json" in {path.name for path in uploaded(planted)}
    ignored.write_text(text.replace("**/.env*\n", ""))
    refused = planted.run(*DEPLOY, "--dry-run")
    assert refused.returncode == 1 and ".dockerignore lacks the line **/.env*" in refused.stderr
