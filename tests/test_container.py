"""The container, built from the generated Dockerfile by buildah and run as a Space runs it.

Needs root, Debian, buildah and debootstrap. This is the short form of `python tools/images.py`, which does it for every
archetype.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from generated import BEHIND_A_PROXY, CHECK, LINES, Environment, run
from images import Buildah, Container

pytestmark = [
    pytest.mark.parametrize("environment", LINES[-1:], indirect=True),
    pytest.mark.xdist_group("container"),
    pytest.mark.needs("a container builder"),
]

ON_PORT_11000 = pytest.mark.alone
"""There rollout.py looks for a running environment, in the tests of others too."""


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    buildah = Buildah(tmp_path_factory.mktemp("buildah"))
    yield buildah
    buildah.remove()


@pytest.fixture(scope="module")
def container(environment: Environment, buildah: Buildah) -> Iterator[Container]:
    """A container of the environment's image."""
    buildah.base_image(environment.line)
    # Files as a careful or careless user may have them.
    secret = environment.path / ".env"
    secret.write_text("HF_TOKEN=hf_secret\n")
    os.chmod(environment.path / "server.py", 0o600)
    try:
        buildah.build(environment.path, "my_env")
    finally:
        os.chmod(environment.path / "server.py", 0o644)
        secret.unlink()
    with buildah.container("my_env") as container:
        yield container


def test_it_is_small_and_holds_nothing_that_it_does_not_need(buildah: Buildah, container: Container) -> None:
    layers = buildah.layers("my_env")[1:]
    for layer in layers:
        print(f"{layer.size / 1e6:8.1f} MB  {layer.made_by[:90]}")
    # The seed's way comes to 1.5 GB.
    assert sum(layer.size for layer in layers) < 1_000_000_000
    files = container.run(
        "find", "/app", "-path", "/app/.venv/lib", "-prune", "-o", "-type", "f", "-print"
    ).splitlines()
    assert "/app/server.py" in files and "/app/data/demo.jsonl" in files
    assert not [name for name in files if name.startswith("/app/tests/") or name.endswith("/.env")]
    assert not {"/app/data/train.jsonl", "/app/data/validation.jsonl", "/app/policy.py"} & set(files)
    for path in ("~root/.cache", "~user/.cache", "/opt/uv", "/app/.venv/bin/pytest"):
        assert container.run_as_root("sh", "-c", f"test -e {path} && echo there || true") == "", path
    assert container.run_as_root("sh", "-c", "test -e ~root && echo there") == "there"
    environment = " ".join(container.settings["Env"])
    assert "KEY" not in environment and "TOKEN" not in environment and "SECRET" not in environment


@ON_PORT_11000
def test_it_runs_as_uid_1000_with_a_health_check(container: Container) -> None:
    assert container.run("id", "-u") == "1000"
    assert container.settings["User"] == "1000"
    owners = container.run("sh", "-c", "find /app ! -user 1000 | head")
    assert owners == ""
    with container.serving(11000, **BEHIND_A_PROXY):
        container.run("sh", "-c", container.settings["Healthcheck"]["Test"][1], **BEHIND_A_PROXY)
    healthy = container.command("sh", "-c", container.settings["Healthcheck"]["Test"][1])
    refused = run(*healthy, cwd=container.buildah.folder, env=container.buildah.env)
    assert refused.returncode != 0


@pytest.mark.parametrize(
    ("port", "env"),
    [
        pytest.param(11000, {}, marks=ON_PORT_11000),
        (7860, {"SPACE_ID": "ada/my-env"}),
        (8123, {"PORT": "8123"}),
    ],
)
def test_it_passes_check(environment: Environment, container: Container, port: int, env: dict[str, str]) -> None:
    with container.serving(port, ENV_API_KEY="sesame", **env) as seconds:
        print(f"first 200 after {seconds:.1f} s")
        output = environment.run_ok(*CHECK, f"http://127.0.0.1:{port}", env={"ENV_API_KEY": "sesame"})
        assert "0 failed" in output


def test_on_a_space_a_single_caller_is_limited(container: Container) -> None:
    with container.serving(7860, SPACE_ID="ada/my-env"):
        with requests.Session() as session:
            statuses = [session.get("http://127.0.0.1:7860/tools", timeout=10).status_code for _ in range(1000)]
        assert 429 in statuses
        assert requests.get("http://127.0.0.1:7860/health", timeout=10).status_code == 200


@ON_PORT_11000
def test_listening_on_loopback_alone_is_said(container: Container, buildah: Buildah) -> None:
    with container.serving(11000, ENV_HOST="127.0.0.1"):
        pass
    log = Path(buildah.folder / f"{container.name}.log").read_text()
    assert "ENV_HOST=127.0.0.1 inside a container" in log
