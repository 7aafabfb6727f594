"""Environments generated as a user generates them: each archetype, on each line of NeMo Gym.

And which tests are run here, in which order.
"""

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from generated import FULL, LINES, ROOT, Environment, Template, copy_command, interpreter_for, run_ok
from gym_servers import MODEL_TYPES, standin
from locks import Quiet, locked
from needs import LONG_TOO, NOTHING_IS_LEFT_OUT, left_out, missing_needs
from venvs import shared_venv

Attach = Callable[[Path, str], Environment]
Environments = Callable[..., Environment]

STANDIN = ROOT / "standins" / "standin_model.py"

# A job in the background of a shell ignores Ctrl+C, and so would the programs that are interrupted here.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Without bytecode, each of the hundreds of programs that are started here would take seconds more.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What is served here is served on loopback: no proxy leads there.
for variable in ("no_proxy", "NO_PROXY"):
    others = os.environ.get(variable) or os.environ.get(variable.swapcase()) or ""
    os.environ[variable] = ",".join([*filter(None, [others]), "localhost", "127.0.0.1", "::1"])


# ------------------------------------------------------------------------------------------------- which, and when

collect_ignore = ["of_gymkit"]
"""What runs inside of an environment (test_gymkit.py)."""

LONGEST_FIRST = (
    *(
        "nemo_gym",
        "attacks",
        "computer_use",
        "sandbox",
        "question",
        "tools",
        "conversation",
        "user_environments",
        "gymkit",
        "container",
        "environment",
        "readme",
    ),
    *("page", "view", "update", "adopting", "deploy", "hook"),
)
"""The files of tests in the order in which they are handed to the workers, so that all end at about the same time.

Before them come those that are alone, in one block: nobody then waits for another's test to end."""


def pytest_configure(config: pytest.Config) -> None:
    """Where nothing may be left out, fail before the start for what is missing."""
    if NOTHING_IS_LEFT_OUT and left_out(LINES):
        raise pytest.UsageError(f"Missing here: {left_out(LINES)}")


def pytest_report_header(config: pytest.Config) -> str:
    return f"left out: {left_out(LINES) or 'nothing'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if left_out(LINES):
        terminalreporter.write_line(f"Left out: {left_out(LINES)}.")


@pytest.hookimpl(trylast=True)  # after pytest itself has sorted by fixtures
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not for this run, and what is missing: it is not run, and so not counted, nor as skipped."""
    out = [item for item in items if takes_too_long(item) or lacks(item)]
    items[:] = sorted((item for item in items if item not in out), key=place)
    config.hook.pytest_deselected(items=out)


def takes_too_long(item: pytest.Item) -> bool:
    if item.get_closest_marker("full") and not FULL:
        return True
    return item.get_closest_marker("long") is not None and not LONG_TOO


def lacks(item: pytest.Item) -> bool:
    """Whether something that a test needs is missing here."""
    return any(need in missing_needs() for mark in item.iter_markers("needs") for need in mark.args)


def place(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    if item.get_closest_marker("alone") and group and group.args == ("alone",):
        return -1
    name = item.path.stem.removeprefix("test_")
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


quiet = pytest.StashKey[Quiet]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Run what is marked as `alone` while no other worker runs a test."""
    config = item.config
    if not hasattr(config, "workerinput"):
        return (yield)
    if quiet not in config.stash:
        factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
        config.stash[quiet] = Quiet(factory.getbasetemp().parent)
    config.stash[quiet].enter(alone=item.get_closest_marker("alone") is not None)
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.get_closest_marker("alone") is None:
            config.stash[quiet].leave()


# ----------------------------------------------------------------------------------------------------- environments


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all workers of this run have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(request.config, "workerinput") else folder


@pytest.fixture(scope="session")
def template(common: Path) -> Template:
    """A clone of the working tree, committed and tagged: Copier records a commit that exists. Not to be changed."""
    path = common / "template" / "nemo-env-template"
    with locked(common / "template.lock"):
        return Template(path) if path.exists() else Template.clone(path)


@pytest.fixture(scope="session")
def attach(common: Path, pytestconfig: pytest.Config) -> Attach:
    """A function that gives an environment without a virtual environment that of its line, which all share."""
    store: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # None with `-p no:cacheprovider`
    venvs = store.mkdir("venvs") if store else common

    @cache
    def venv(line: str) -> Path:
        return shared_venv(line, venvs, common)

    def to(folder: Path, line: str) -> Environment:
        (folder / ".venv").symlink_to(venv(line))
        return Environment(folder, line, interpreter_for(line), shares_venv=True)

    return to


@pytest.fixture(scope="session")
def environments(template: Template, attach: Attach, tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """A function that gives an environment called my_env, rendered when this worker first asks for it."""

    @cache
    def get(archetype: str, line: str, *answers: str) -> Environment:
        folder = tmp_path_factory.mktemp(f"{archetype}_{line.replace('.', '_')}") / "my_env"
        copy = copy_command(template, folder, f"archetype={archetype}", *answers)
        run_ok(*copy, "--skip-tasks", cwd=folder.parent)
        return attach(folder, line)

    return get


@pytest.fixture(scope="session", params=LINES)
def environment(request: pytest.FixtureRequest, environments: Environments) -> Environment:
    """The environment of the parameter: a NeMo Gym line for a game, `sandbox 0.7` for another archetype, and answers in
    between, as in `question use_judge=true 0.7`."""
    *kind, line = request.param.split()
    archetype, *answers = kind or ["game"]
    return environments(archetype, line, *answers)


# --------------------------------------------------------------------------------------------- around an environment


@pytest.fixture
def policy(environment: Environment, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The stand-in model: its base URL, and the log of all requests that it got."""
    log = tmp_path / "requests.jsonl"
    with standin(STANDIN, environment, log) as url:
        yield url, log


@pytest.fixture
def venv_of_servers(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides by which all of NeMo Gym's servers use the environment's virtual environment."""
    root = tmp_path_factory.mktemp("venvs")
    servers = [
        "resources_servers/my_env",
        "responses_api_agents/simple_agent",
        "responses_api_agents/my_env_agent",
        "environment_servers/single_agent_turn_legacy",
        "environment_servers/legacy_agent",
        *(f"responses_api_models/{name}" for name in MODEL_TYPES),
    ]
    for server in servers:
        (root / server).mkdir(parents=True)
        (root / server / ".venv").symlink_to(environment.path / ".venv")
    return ["+skip_venv_if_present=true", f"+uv_venv_dir={root}", "+uvicorn_logging_show_200_ok=true"]
