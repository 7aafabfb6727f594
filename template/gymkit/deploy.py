# Part of the template: changes belong there (`copier update` merges this file).
"""`gymkit deploy`: put the environment on a Hugging Face Space: create or update it, wait until it answers, check it.

The token is that of `hf auth login`, or HF_TOKEN. Answers stay here: what .dockerignore names does not go there.
"""

import argparse
import os
import re
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import httpx2
import yaml
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import SpaceInfo

from gymkit.check import run_checks
from gymkit.errors import CommandError
from gymkit.fixture import make_server
from gymkit.players import Player
from gymkit.project import ROOT, environment_name
from gymkit.terminal import console, shown
from gymkit.upload import DEMO_ROW, IGNORE_FILE, Selection, ignore_file, select

FAILED_STAGES = {"BUILD_ERROR", "CONFIG_ERROR", "RUNTIME_ERROR", "NO_APP_FILE"}
STOPPED_STAGES = {"PAUSED", "STOPPED", "DELETING"}
LOG_LINES = 25


class DeployError(CommandError):
    """The deploy cannot go on; the message is for the person who started it, and says what has been done so far."""


# --------------------------------------------------------------------------------------------------- before it begins


def check_port() -> None:
    """The port that the Space asks for must be the one on which the container answers there."""
    front_matter = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    wanted = yaml.safe_load(front_matter).get("app_port", 7860)
    found = re.search(r"SPACE_ID:\+(\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    if found is None or int(found[1]) != wanted:
        raise DeployError(
            f"README.md says app_port: {wanted}, but on a Space the Dockerfile starts the server on "
            f"{found[1] if found else 'no port of its own'}: make them agree. Nothing was uploaded."
        )


def refuse_strangers(server_class: Any, secrets: Collection[str]) -> None:
    """A server that runs its callers' code would not start on a Space without one of two variables."""
    if make_server(server_class).runs_code and not {"ENV_API_KEY", "ENV_ALLOW_CODE_WITHOUT_KEY"} & set(secrets):
        raise DeployError(
            "This environment runs its callers' code, and will not do so for strangers: set ENV_API_KEY here, and say "
            "--secret ENV_API_KEY. (On a private Space, which lets in only its owner: ENV_ALLOW_CODE_WITHOUT_KEY=1.) "
            "Nothing was changed."
        )


# ------------------------------------------------------------------------------------------------------- the deploy


class Deploy:
    """One deploy to one Space. `done` says, at any moment, what has been changed there."""

    def __init__(self, server_class: Any, api: HfApi, space: str, private: bool) -> None:
        self.server_class = server_class
        self.api = api
        self.space = space
        self.private = private
        self.done = "Nothing was changed."

    def prepare(self, secrets: Collection[str], force: bool) -> SpaceInfo:
        """Find the Space, or create it; `secrets` are the names of those that it will have."""
        try:
            info = self.api.space_info(self.space)
        except RepositoryNotFoundError:
            refuse_strangers(self.server_class, secrets)
            self.api.create_repo(self.space, repo_type="space", space_sdk="docker", private=self.private)
            self.done = f"The Space {self.space} was created, and is empty."
            console.print(f"Created the Space {self.space} ({'private' if self.private else 'public'})")
            return self.api.space_info(self.space)
        names = {sibling.rfilename for sibling in info.siblings or []}
        ours = f"resources_servers/{environment_name()}/server.py"
        if names - {".gitattributes", "README.md"} and ours not in names and not force:
            raise DeployError(
                f"The Space {self.space} exists and holds something else: choose another name (--space), or say "
                f"--force to replace it. {self.done}"
            )
        stage = info.runtime.stage if info.runtime else ""
        if stage.endswith("BUILDING") and not force:
            raise DeployError(
                f"The Space {self.space} is being built from an earlier upload ({stage}): wait until it is done, or "
                f"say --force to build anew. {self.done}"
            )
        return info

    def upload(self, info: SpaceInfo, files: list[str], include: Sequence[str]) -> str:
        """Make the Space hold these files and no others, in one commit; its id."""
        gone = {sibling.rfilename for sibling in info.siblings or []} - {*files, ".gitattributes"}
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(
                path_in_repo=name,
                path_or_fileobj=ignore_file(include) if name == IGNORE_FILE else str(ROOT / name),
            )
            for name in files
        ]
        operations += [CommitOperationDelete(path_in_repo=name) for name in sorted(gone)]
        commit = self.api.create_commit(
            self.space,
            operations,
            repo_type="space",
            commit_message=f"Deploy {environment_name()}",
            # The Hub refuses it if somebody else has deployed in the meantime.
            parent_commit=info.sha,
        )
        self.done = f"All files are on the Space {self.space} (commit {commit.oid[:8]})."
        return commit.oid

    def wait(self, commit: str, seconds: float) -> str:
        """Wait until the Space runs that commit; its URL."""
        deadline = time.monotonic() + seconds
        started = time.monotonic()
        with console.status("Waiting for the Space ...") as status:
            while True:
                runtime = self.api.get_space_runtime(self.space)
                stage = str(runtime.stage)
                status.update(
                    f"The Space is {stage.lower().replace('_', ' ')} ({time.monotonic() - started:.0f} s) ..."
                )
                running = runtime.raw.get("sha", commit)
                if stage in FAILED_STAGES and running == commit:
                    raise DeployError(
                        f"The Space failed: {stage}. The end of its log:\n{self._log(stage)}\n{self.done}"
                    )
                if stage in STOPPED_STAGES:
                    raise DeployError(f"The Space is {stage.lower()}: restart it in its settings. {self.done}")
                if stage in ("RUNNING", "SLEEPING") and running == commit:
                    return self.api.space_info(self.space).host or f"{self.api.endpoint}/spaces/{self.space}"
                if time.monotonic() > deadline:
                    raise DeployError(f"After {seconds:g} s the Space is still {stage.lower()}. {self.done}")
                time.sleep(2)

    def _log(self, stage: str) -> str:
        build = stage != "RUNTIME_ERROR"
        try:
            lines = [line.rstrip("\n") for line in self.api.fetch_space_logs(self.space, build=build)]
        except (HfHubHTTPError, httpx2.HTTPError) as error:
            return f"  (it cannot be had: {error})"
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES:])


def reason_of(error: HfHubHTTPError) -> str:
    """One line for an answer of the Hub that is not a success."""
    status = error.response.status_code if error.response is not None else 0
    what = (error.server_message or str(error).splitlines()[0]).strip()
    if status == 401:
        return f"Hugging Face does not accept this token ({what}): `hf auth login` stores a new one."
    if status == 402:
        return f"Hugging Face wants a paid plan for this Space ({what}). The container runs anywhere else for free."
    if status == 403:
        return f"This token may not do that ({what}): it needs write access to the Space's owner."
    if status == 409:
        return f"That name is taken ({what}): choose another with --space."
    if status == 412:
        return f"Somebody else has changed the Space in the meantime ({what}): run this again."
    if status == 429:
        return f"Hugging Face wants fewer requests ({what}): try again later."
    return f"Hugging Face answered {status}: {what}"


# ------------------------------------------------------------------------------------------------------------- main


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", help="OWNER/NAME, or a name of yours (default: the environment's)")
    parser.add_argument("--private", action="store_true", help="when the Space is created: only you can reach it")
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME", help="pass on this variable as a secret"
    )
    parser.add_argument(
        "--with-answers", action="store_true", help="upload data/, tests/, tasks.py and policy.py as well"
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="PATH", help="take this file along, whatever the lists say"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be uploaded and what would not, with the reason, and upload nothing")
    parser.add_argument(
        "--force", action="store_true", help="even if the Space holds something else, or is being built"
    )
    parser.add_argument(
        "--timeout", type=float, default=1800, help="seconds to wait for the Space (default: %(default)s)"
    )


def show(selection: Selection) -> None:
    """Print the files that go along, with their sizes, and what stays here, with the reason."""
    total = 0
    for name in selection.files:
        size = (ROOT / name).stat().st_size
        total += size
        console.print(f"  {size:>9,}  {shown(name)}", soft_wrap=True)
    console.print(f"  {total:>9,}  bytes in all")
    console.print("Not among them:")
    for name, reason in sorted(selection.left_out.items(), key=lambda each: (each[1], each[0])):
        console.print(f"  - {shown(name)}: {shown(reason)}", soft_wrap=True)


def secrets_from_environ(names: Iterable[str]) -> dict[str, str]:
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise DeployError(f"--secret {missing[0]}: that variable is not set here. Nothing was changed.")
    return {name: os.environ[name] for name in names}


def run(options: argparse.Namespace, server_class: Any, player: Player) -> int:
    """Deploy; the exit status.

    Raises:
        DeployError: it cannot go on.
    """
    check_port()
    selection = select(options.with_answers, options.include)
    if options.dry_run:
        console.print(f"To the Space {options.space or f'<you>/{default_name()}'} would go:")
        show(selection)
        return 0
    secrets = secrets_from_environ(options.secret)
    token = get_token()
    if token is None:
        raise DeployError("There is no Hugging Face token here: run `hf auth login`, or set HF_TOKEN.")
    api = HfApi(token=token)
    name = options.space or default_name()
    deploy = None
    try:
        user = api.whoami()["name"]
        deploy = Deploy(server_class, api, name if "/" in name else f"{user}/{name}", options.private)
        info = deploy.prepare(secrets, options.force)
        for key, value in secrets.items():
            api.add_space_secret(deploy.space, key, value)
            console.print(f"Set the secret {key}")
        stay = len(selection.left_out)
        console.print(f"Uploading {len(selection.files)} files ({stay} stay here: --dry-run says which, and why) ...")
        commit = deploy.upload(info, selection.files, options.include)
        url = deploy.wait(commit, options.timeout)
    except HfHubHTTPError as error:
        raise DeployError(f"{reason_of(error)} {deploy.done if deploy else 'Nothing was changed.'}") from None
    except (httpx2.HTTPError, OSError) as error:
        text = f"The connection to Hugging Face broke off ({type(error).__name__}: {error})."
        raise DeployError(f"{text} {deploy.done if deploy else 'Nothing was changed.'}") from None
    except KeyboardInterrupt:
        raise DeployError(f"Interrupted. {deploy.done if deploy else 'Nothing was changed.'}") from None
    if info.private:
        # The Hub lets in who bears the owner's token; the environment itself has no key then.
        os.environ.setdefault("ENV_API_KEY", token)
    failed = run_checks(url, ROOT / DEMO_ROW, player, wait_seconds=300)
    console.print(f"[bold]{url}[/bold]  (settings, logs: {api.endpoint}/spaces/{deploy.space})")
    return 1 if failed else 0


def default_name() -> str:
    """The environment's name, as the Hub likes names."""
    return environment_name().strip("_").replace("_", "-")
