"""Building and running a generated environment's Dockerfile where there is no Docker: buildah, on a base of our own.

As a command it builds the image of every archetype, or of those that are named, with E2B and without, and reports
sizes, layers and start times. As root, on Debian, with buildah and debootstrap; two minutes for each:

    python tools/images.py [ARCHETYPE ...]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from generated import ARCHETYPES, CHECK, USES_E2B, Environment, Template, generate, interpreter_for, run_ok
from processes import answers, started

# What CPython's own extension modules are linked with.
PYTHON_LIBRARIES = "libssl3,libsqlite3-0,libffi8,zlib1g,libbz2-1.0,liblzma5,libreadline8,libuuid1,libncursesw6"


@dataclass(frozen=True)
class Layer:
    """One layer of an image: the command that made it, and the bytes of its files."""

    made_by: str
    size: int


class Buildah:
    """Buildah with a storage of its own, which `remove()` takes away again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        conf = folder / "storage.conf"
        conf.write_text(
            f'[storage]\ndriver = "{_driver(folder)}"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        self.env = {"CONTAINERS_STORAGE_CONF": str(conf), "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *command: str | Path, timeout: float = 1500) -> str:
        return run_ok("buildah", *command, cwd=self.folder, env=self.env, timeout=timeout).strip()

    def base_image(self, line: str, name: str = "base") -> str:
        """A Debian with the interpreter of a NeMo Gym line in /usr/local, as `python:3.13-slim` has it."""
        root = self.folder / "rootfs"
        run_ok("debootstrap", "--variant=minbase", f"--include=ca-certificates,{PYTHON_LIBRARIES}", "bookworm", root,
               cwd=self.folder, timeout=600)  # fmt: skip
        prefix = interpreter_for(line).resolve().parents[1]
        shutil.copytree(prefix, root / "usr" / "local", symlinks=True, dirs_exist_ok=True)
        container = self("from", "scratch")
        settings = []
        certificates = os.environ.get("SSL_CERT_FILE")
        if certificates and Path(certificates).is_file():
            # This machine's own way to the package index.
            shutil.copyfile(certificates, root / "etc/ssl/certs/ca-certificates.crt")
            settings = [f"{key}=/etc/ssl/certs/ca-certificates.crt" for key in ("SSL_CERT_FILE", "PIP_CERT")]
        self("copy", "-q", container, root, "/")
        for setting in settings:
            self("config", "--env", setting, container)
        self("config", "--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", container)
        self("commit", "-q", "--rm", container, name)
        shutil.rmtree(root)
        return name

    def build(self, context: Path, name: str, base: str = "base", target: str | None = None) -> str:
        """`docker build`, more or less."""
        options = ["--target", target] if target else []
        self("build", "-q", "--format", "docker", "--layers", "--build-arg", f"BASE_IMAGE=localhost/{base}",
             *options, "-t", name, context)  # fmt: skip
        return name

    def layers(self, image: str) -> list[Layer]:
        """An image's layers, from the base up."""
        found = json.loads(self("inspect", "--type", "image", image))
        made_by = [step["created_by"] for step in found["Docker"]["history"] if not step.get("empty_layer")]
        [store] = (self.folder / "graph").glob("*-layers/layers.json")
        layers = {layer["id"]: layer for layer in json.loads(store.read_text())}
        [images] = (self.folder / "graph").glob("*-images/images.json")
        top = next(each["layer"] for each in json.loads(images.read_text()) if each["id"] == found["FromImageID"])
        sizes: list[int] = []
        while top:
            sizes.insert(0, layers[top]["diff-size"])
            top = layers[top].get("parent")
        return [Layer(*each) for each in zip(made_by, sizes, strict=True)]

    def settings(self, image: str) -> dict[str, Any]:
        """What the image says of itself: `Env`, `Cmd`, `User`, `Healthcheck`, ..."""
        return json.loads(self("inspect", "--type", "image", image))["Docker"]["config"]

    @contextmanager
    def container(self, image: str) -> Iterator["Container"]:
        """A container of the image, which is gone afterwards."""
        name = self("from", "--pull-never", image)
        try:
            yield Container(self, name, self.settings(image))
        finally:
            self("rm", name)

    def remove(self) -> None:
        """Delete every image, container and file of this storage."""
        self("rm", "--all")
        self("rmi", "--all", "--force")
        shutil.rmtree(self.folder)


@dataclass(frozen=True)
class Container:
    """A container of an image; its programs share this machine's network."""

    buildah: Buildah
    name: str
    settings: dict[str, Any]

    def command(self, *command: str, **env: str) -> list[str]:
        variables = [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
        return ["buildah", "run", *variables, self.name, "--", *command]

    def run(self, *command: str, **env: str) -> str:
        """Run a program in it, as its user; its standard output."""
        return run_ok(*self.command(*command, **env), cwd=self.buildah.folder, env=self.buildah.env).strip()

    def run_as_root(self, *command: str) -> str:
        """The same as root, from whom nothing is hidden."""
        whole = ["buildah", "run", "--user", "0", self.name, "--", *command]
        return run_ok(*whole, cwd=self.buildah.folder, env=self.buildah.env).strip()

    @contextmanager
    def serving(self, port: int, **env: str) -> Iterator[float]:
        """`docker run`: the image's own command, until it answers on the port. Yields the seconds that this took."""
        folder = self.buildah.folder
        command = self.command(*(self.settings.get("Entrypoint") or []), *self.settings["Cmd"], **env)
        ready = answers(f"http://127.0.0.1:{port}/health")
        began = time.monotonic()
        with started(command, folder, os.environ | self.buildah.env, folder / f"{self.name}.log", ready, seconds=180):
            yield time.monotonic() - began


def _driver(folder: Path) -> str:
    """Overlay, where the machine allows it; else vfs, which copies every layer."""
    trial = folder / "trial"
    parts = [trial / name for name in ("lower", "upper", "work", "merged")]
    for part in parts:
        part.mkdir(parents=True)
    lower, upper, work, merged = parts
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", merged], check=True)
    shutil.rmtree(trial)
    return "overlay" if done.returncode == 0 else "vfs"


def main() -> None:
    """Build the images, check each, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("archetypes", nargs="*", metavar="ARCHETYPE", help=", ".join(ARCHETYPES))
    chosen = parser.parse_args().archetypes or list(ARCHETYPES)
    if unknown := set(chosen) - set(ARCHETYPES):
        parser.error(f"no such archetype: {', '.join(sorted(unknown))}")
    folder = Path(tempfile.mkdtemp(prefix="images-"))
    template = Template.clone(folder / "template")
    buildah = Buildah(folder / "buildah")
    try:
        buildah.base_image("0.7")
        print(
            "| archetype | E2B | build | on top of the base | layers | first 200 |\n|---|---|---|---|---|---|",
            flush=True,
        )
        for archetype, use_e2b in combinations(chosen):
            name = f"{archetype}_{'e2b' if use_e2b else 'local'}"
            environment = generate(
                template, folder / name / "my_env", "0.7", interpreter_for("0.7"),
                f"archetype={archetype}", f"use_e2b={use_e2b}",
            )  # fmt: skip
            started = time.monotonic()
            buildah.build(environment.path, name)
            seconds = time.monotonic() - started
            layers = buildah.layers(name)[1:]
            sizes = ", ".join(f"{layer.size / 1e6:.1f}" for layer in layers)
            with buildah.container(name) as container, e2b_variables(environment, use_e2b) as e2b:
                starts = []
                for port, env in ((11000, {}), (7860, {"SPACE_ID": "you/my-env"})):
                    key = {"ENV_API_KEY": "sesame"}
                    with container.serving(port, **env, **key, **e2b) as until:
                        starts.append(until)
                        output = environment.run_ok(*CHECK, f"http://127.0.0.1:{port}", env=key)
                        print(output.splitlines()[-1], file=sys.stderr)
            total = sum(layer.size for layer in layers)
            print(
                f"| {archetype} | {'yes' if use_e2b else 'no'} | {seconds:.0f} s | {total / 1e6:.0f} MB | {sizes} | "
                f"{', '.join(f'{until:.1f} s' for until in starts)} |",
                flush=True,
            )
            shutil.rmtree(environment.path.parent)
    finally:
        buildah.remove()
        shutil.rmtree(folder)


STANDIN = """
import json, sys
sys.path.insert(0, "tests")
from standins import e2b
with e2b.serve() as service:
    print(json.dumps(service.environment()), flush=True)
    sys.stdin.read()
"""


@contextmanager
def e2b_variables(environment: Environment, use_e2b: bool) -> Iterator[dict[str, str]]:
    """What leads a container to the stand-in of E2B's service that an environment's own tests have."""
    if not use_e2b:
        yield {}
        return
    command, pipe = [environment.python, "-c", STANDIN], subprocess.PIPE
    process = subprocess.Popen(command, cwd=environment.path, text=True, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate(timeout=30)


def combinations(archetypes: list[str]) -> list[tuple[str, bool]]:
    """Each of these archetypes, with E2B and without, as copier.yml has them."""
    return [(each, use_e2b) for each in archetypes for use_e2b in ([False, True] if each in USES_E2B else [False])]


if __name__ == "__main__":
    main()
