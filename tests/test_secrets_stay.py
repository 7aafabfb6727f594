"""Secrets stay at home: keys, credentials, links and copies of answers, in what a deploy and a build take along."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Attach
from generated import DEPLOY, LINES, Environment, Template, copy_command, free_port, run_ok, user_environ
from standin_hub import Hub
from test_answers_stay import in_the_context, names_in

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


pytestmark = pytest.mark.needs("a container builder")


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
    would_go = names_in(said)
    assert not names & would_go and "server.py" in would_go
    for name in names:
        # A folder that stays as a whole is named once.
        stays = ".aws/" if name == ".aws/credentials" else name
        assert f"  - {stays}: it " in said, name
    assert "  - .env: it may hold a secret\n" in said
    assert "  - notes.txt: it is a link out of the environment\n" in said

    hub = Hub(tmp_path, planted.python, user_environ(), [free_port()])
    try:
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_writer"}
        planted.run_ok(*DEPLOY, "--include", "secrets.yaml", env=variables)
        files = hub.spaces["ada/my-env"].files
    finally:
        hub.close()
    assert names & set(files) == {"secrets.yaml"} and "server.py" in files  # What is named as an exception goes along.
    assert [name for name, content in files.items() if MARKER.encode() in content] == ["secrets.yaml"]
    assert files[".dockerignore"].endswith(b"!/secrets.yaml\n")

    # A link is sent as a link: what it leads to is not in the image.
    shutil.rmtree(tmp_path / "outside")
    context = in_the_context(planted, tmp_path)
    assert len(context) > 30
    assert not [path for path in context if path.name in {Path(name).name for name in names} - {"notes.txt"}]
    assert not [path for path in context if MARKER.encode() in path.read_bytes()]
