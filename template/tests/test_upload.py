# Part of the template: changes belong there (`copier update` merges this file).
"""What `gymkit deploy` takes along, and what stays at home; the same list serves the images."""

import shutil
from pathlib import Path

import pytest

from gymkit import project, upload
from gymkit.rows import read_rows
from gymkit.upload import WouldLeak, ignore_file, select

OWN = shutil.ignore_patterns(".venv", ".git", "cache", "outputs", "results", "__pycache__", ".*_cache", "uv.lock")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this environment."""
    root = tmp_path / "copy"
    shutil.copytree(project.ROOT, root, ignore=OWN, symlinks=True)
    for module in ("upload", "rows"):
        monkeypatch.setattr(f"gymkit.{module}.ROOT", root)
    return root


def test_what_the_server_needs_goes_along_and_no_answers(root: Path) -> None:
    selection = select()
    assert {"server.py", "Dockerfile", "README.md", ".dockerignore", "gymkit/answers.py"} <= set(selection.files)
    assert [name for name in selection.files if name.startswith("data/")] == ["data/demo.jsonl"]
    needed = {path.relative_to(root).as_posix() for path in (root / "gymkit").rglob("*") if path.is_file()}
    assert needed <= set(selection.files)
    for name in ("tasks.py", "policy.py", "tests/", "data/train.jsonl"):
        assert selection.left_out[name] == "it tells the answers"
    assert {"tasks.py", "policy.py", "data/train.jsonl"} <= set(select(with_answers=True).files)


@pytest.mark.parametrize(
    "name",
    [
        *(
            ".env",
            "a/.env.local",
            "a/b/server.key",
            "key.pem",
            ".netrc",
            ".aws/credentials",
            ".config/gcloud/token.json",
        ),
        *("secrets.toml", "a/secrets.json", "service_account.json", "credentials.json", ".ssh/id_ed25519", "id_rsa"),
        *("a/.git-credentials", ".pypirc", "private.p12", "terraform.tfvars", ".kube/config", "a/hf.token"),
    ],
)
def test_secrets_stay(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("secret")
    selection = select()
    assert name not in selection.files
    folder = next((stays for stays in selection.left_out if stays.endswith("/") and name.startswith(stays)), name)
    assert selection.left_out[folder] == "it may hold a secret"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "rows.jsonl",
            "old/train.jsonl.gz",
            "tasks_old.py",
            "tasks.py~",
            "tasks.json",
            "my_tasks.py",
            "policy.py.orig",
        ),
        *("policy-2.py", "answers.csv", "solutions.py", "train.csv", "a/ground_truth.yaml", "a.parquet", "a/backup/x"),
    ],
)
def test_copies_of_answers_stay(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("zebra")
    assert name not in select().files


def test_modules_of_ones_own_go_along(root: Path) -> None:
    names = ["subtasks.py", "policyholder.py", "training.py", "data_model.py", "keys.py", "environ.py", "copying.py"]
    for name in names:
        (root / name).write_text("x = 1\n")
    assert set(names) <= set(select().files)


def test_links_are_not_followed_out_of_the_environment(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    (root / "notes.txt").symlink_to(tmp_path / "outside" / "file")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "hints.txt").symlink_to("data/train.jsonl")
    (root / "gone.txt").symlink_to("nowhere")
    (root / "more.md").symlink_to("README.md")
    selection = select()
    assert selection.left_out["notes.txt"] == "it is a link out of the environment"
    assert selection.left_out["folder"] == "it is a link to a folder"
    assert selection.left_out["hints.txt"] == selection.left_out["gone.txt"] == "it is a link to what stays here"
    assert "more.md" in selection.files


def test_a_copy_under_another_name_stays_and_what_tells_answers_is_refused(root: Path) -> None:
    (root / "words.dat").write_bytes((root / "data" / "train.jsonl").read_bytes())
    assert select().left_out["words.dat"] == "it is a copy of data/train.jsonl"
    task = read_rows(root / "data" / "train.jsonl")[0]["task_id"]
    (root / "hints.csv").write_text(f"{task},something\n")
    with pytest.raises(WouldLeak, match=r"hints.csv tells answers .* say --include hints.csv"):
        select()
    assert "hints.csv" in select(include=["hints.csv"]).files


def test_exceptions_are_named_and_reach_the_image(root: Path) -> None:
    (root / "secrets.yaml").write_text("none: really")
    assert "secrets.yaml" in select(include=["secrets.yaml"]).files
    assert ignore_file(["secrets.yaml"]).endswith(b"\n!/secrets.yaml\n")
    with pytest.raises(WouldLeak, match="--include nothing: there is no such file"):
        select(include=["nothing"])


@pytest.mark.parametrize("line", upload.WANTED_LINES)
def test_a_list_with_gaps_is_refused(root: Path, line: str) -> None:
    path = root / ".dockerignore"
    path.write_text("".join(each for each in path.read_text().splitlines(True) if each != f"{line}\n"))
    with pytest.raises(WouldLeak, match="lacks the line"):
        select()
