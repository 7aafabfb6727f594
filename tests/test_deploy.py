"""deploy.py, through the real huggingface_hub client, against a stand-in of the Hub whose Spaces really run."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from generated import DEPLOY, LINES, Environment, edited, free_port, user_environ
from standin_hub import Hub, Space

Deploy = Callable[..., subprocess.CompletedProcess[str]]

# Either line would do: huggingface_hub is the same on both.
pytestmark = pytest.mark.parametrize("environment", LINES[-1:], indirect=True)


@pytest.fixture
def hub(environment: Environment, tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path, environment.python, user_environ(), [free_port(), free_port()])
    yield hub
    hub.close()


@pytest.fixture
def deploy(environment: Environment, hub: Hub, tmp_path: Path) -> Deploy:
    """The command for deploying, as a user of the stand-in called ada."""

    def start(*options: str, **env: str) -> subprocess.CompletedProcess[str]:
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_writer", "COLUMNS": "120"}
        return environment.run(*DEPLOY, *options, env=variables | env)

    return start


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed deploy said, on one line; no traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_create_wait_and_check_then_update(environment: Environment, hub: Hub, deploy: Deploy) -> None:
    done = deploy("--secret", "ENV_API_KEY", ENV_API_KEY="sesame")
    assert done.returncode == 0, done.stdout + done.stderr
    space = hub.spaces["ada/my-env"]
    assert "12 passed, 0 failed" in done.stdout
    assert f"http://127.0.0.1:{space.port}" in done.stdout
    assert "sesame" not in done.stdout + done.stderr
    assert space.secrets == {"ENV_API_KEY": "sesame"}
    assert requests.get(f"http://127.0.0.1:{space.port}/tools", timeout=10).status_code == 401

    # What tells the answers has stayed here; what runs has not.
    assert [name for name in space.files if name.startswith("data/")] == ["data/demo.jsonl"]
    assert not [name for name in space.files if name.startswith(("tests/", ".venv/", ".git/"))]
    assert not {"policy.py", "make_data.py", ".env"} & set(space.files)
    assert {"README.md", "Dockerfile", "server.py", "wordle.py", "gymkit/server.py", ".dockerignore"} <= set(
        space.files
    )

    # The second time: a file less, a file changed; and the Space is waited for anew.
    space.files["old.py"] = b"# of an earlier deploy"
    first = space.sha
    readme = environment.path / "README.md"
    with edited(readme, readme.read_text(encoding="utf-8") + "\nOne more line.\n"):
        done = deploy(ENV_API_KEY="sesame")
    assert done.returncode == 0, done.stdout + done.stderr
    assert space.sha != first and space.running == space.sha
    assert "old.py" not in space.files
    assert space.files["README.md"].endswith(b"One more line.\n")
    assert hub.requests.count("POST /api/repos/create") == 1


def test_a_dry_run_shows_the_files_and_needs_no_token(hub: Hub, deploy: Deploy) -> None:
    done = deploy("--dry-run", HF_TOKEN="")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("   ")]
    assert "data/demo.jsonl" in shown and "data/train.jsonl" not in shown and "tests/test_wordle.py" not in shown
    assert "data/train.jsonl" in deploy("--dry-run", "--with-answers").stdout
    assert hub.requests == []


def test_answers_in_another_file_are_refused(environment: Environment, hub: Hub, deploy: Deploy) -> None:
    copy = environment.path / "more" / "rows.json"
    copy.parent.mkdir()
    rows = (environment.path / "data" / "validation.jsonl").read_text().splitlines()
    copy.write_text(f"[{','.join(rows)}]")
    try:
        for options in ([], ["--dry-run"]):
            assert "more/rows.json tells answers" in said(deploy(*options))
    finally:
        copy.unlink()
        copy.parent.rmdir()
    assert hub.requests == []


def test_without_a_token_it_says_how_to_get_one(hub: Hub, deploy: Deploy) -> None:
    assert "There is no Hugging Face token here: run `hf auth login`" in said(deploy(HF_TOKEN=""))
    assert hub.requests == []


@pytest.mark.parametrize(
    ("token", "sentence"),
    [("hf_unknown", "does not accept this token"), ("hf_reader", "it needs write access to the Space's owner")],
)
def test_a_token_that_will_not_do(hub: Hub, deploy: Deploy, token: str, sentence: str) -> None:
    output = said(deploy(HF_TOKEN=token))
    assert sentence in output and output.endswith("Nothing was changed.")
    assert token not in output
    assert hub.spaces == {}


def test_a_space_that_must_be_paid_for(hub: Hub, deploy: Deploy) -> None:
    hub.wants_payment = True
    assert "wants a paid plan for this Space" in said(deploy())


def test_a_name_that_is_taken(hub: Hub, deploy: Deploy) -> None:
    hub.spaces["ada/my-env"] = Space("ada/my-env", False, free_port(), {"app.py": b"print()"})
    assert "exists and holds something else" in said(deploy())
    assert hub.spaces["ada/my-env"].files == {"app.py": b"print()"}


def test_a_second_deploy_while_one_runs(hub: Hub, deploy: Deploy) -> None:
    files = {"resources_servers/my_env/server.py": b""}
    hub.spaces["ada/my-env"] = space = Space("ada/my-env", False, free_port(), dict(files), stage="BUILDING")
    assert "is being built from an earlier upload (BUILDING)" in said(deploy())

    # Seen too late to be asked for: both have looked, and the other one was first.
    def overtake(space: Space) -> None:
        space.sha = "1" * 40

    space.stage = "RUNNING"
    hub.meanwhile = overtake
    output = said(deploy())
    assert "Somebody else has changed the Space in the meantime" in output
    assert output.endswith("Nothing was changed.")
    assert space.files == files


def test_a_build_that_fails_shows_the_end_of_its_log(hub: Hub, deploy: Deploy) -> None:
    hub.build_fails = True
    done = deploy()
    output = said(done)
    for text in ("BUILD_ERROR", "ERROR: no matching distribution", "--> step 59"):
        assert text in output
    assert "--> step 10" not in output
    assert "All files are on the Space ada/my-env" in output


def test_a_server_that_does_not_start_shows_its_log(environment: Environment, hub: Hub, deploy: Deploy) -> None:
    entry_point = environment.path / "server.py"
    main = 'if __name__ == "__main__":'
    text = entry_point.read_text(encoding="utf-8")
    with edited(entry_point, text.replace(main, f'{main}\n    raise SystemExit("no luck")')):
        output = said(deploy())
    assert "RUNTIME_ERROR" in output and "no luck" in output


def test_an_upload_that_breaks_off_changes_nothing(hub: Hub, deploy: Deploy) -> None:
    hub.breaks_off_at = "/commit/"
    output = said(deploy())
    assert "The connection to Hugging Face broke off" in output
    assert "The Space ada/my-env was created, and is empty." in output
    assert list(hub.spaces["ada/my-env"].files) == [".gitattributes"]


def test_ports_that_do_not_agree_are_refused(environment: Environment, hub: Hub, deploy: Deploy) -> None:
    readme = environment.path / "README.md"
    with edited(readme, readme.read_text(encoding="utf-8").replace("app_port: 7860", "app_port: 7861")):
        assert "README.md says app_port: 7861" in said(deploy())
    assert hub.requests == []


def test_a_space_that_never_comes_up_is_given_up(hub: Hub, deploy: Deploy) -> None:
    started = time.monotonic()
    output = said(deploy("--timeout", "0"))
    assert "After 0 s the Space is still" in output
    assert time.monotonic() - started < 60
