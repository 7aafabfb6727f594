"""From the command to a working environment, beside the scaffolds that a user would pick instead, in the same run.

    uv run python benchmarks/time_to_environment.py [--runs 3] [--archetype game] [--no-page]

Times each step as a user types it: scaffolding, installing, the import gate, the first reward. Prints a table and
writes it into docs/performance.md. A first round, which is not counted, fills the package cache and compiles the tools
themselves. These (openenv-core, verifiers) are installed into temporary folders; NeMo Gym's is the one that the
generated environment has.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path

import requests
from contenders import ROOT, template
from generated import ARCHETYPES, LINES, Template, copier, interpreter_for, run_ok, user_environ
from report import load_average, machine, spread, table, write
from served import free_port, serving

Times = dict[str, float]
"""Seconds by step."""

STEPS = ("scaffold", "find Python", "install", "import gate", "first reward")
HOOK_SAYS = {"[1/3]": "scaffold", "[2/3]": "find Python", "[3/3]": "install", "Ready.": "import gate"}
"""The hook's lines, and the step that each of them ends."""


def environ_of_a_user() -> dict[str, str]:
    """That of the tests, with bytecode allowed: without it, no tool would ever be faster than at its first start."""
    return {key: value for key, value in user_environ().items() if key != "PYTHONDONTWRITEBYTECODE"}


def command(*words: str | Path, cwd: Path, environ: dict[str, str]) -> float:
    """Run a program that must succeed; its seconds."""
    started = time.monotonic()
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=environ, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - started


def ours(source: Template, archetype: str, python: Path, folder: Path) -> Times:
    """`copier copy` with its hook, and `uv run python rollout.py`."""
    environ = environ_of_a_user() | {"UV_PYTHON": str(python)}
    # The hook looks for an interpreter where none is named.
    searching = environ_of_a_user() | {"PATH": os.pathsep.join([str(python.parent), environ_of_a_user()["PATH"]])}
    copy = [*copier(), "copy", "--trust", "--defaults", "-d", f"archetype={archetype}", str(source.path)]
    found = {"scaffold": command(*copy, "rendered", "--skip-tasks", cwd=folder, environ=environ)}

    started = ended = time.monotonic()
    process = subprocess.Popen(
        [*copy, "my_env"], cwd=folder, env=searching, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        step = HOOK_SAYS.get(line.split(" ")[0])
        if step is not None:
            now = time.monotonic()
            found.setdefault(step, now - ended)
            ended = now
    if process.wait() != 0:
        raise SystemExit("copier copy failed")
    found["together"] = ended - started
    environ = environ_of_a_user()
    found["first reward"] = command("uv", "run", "python", "rollout.py", cwd=folder / "my_env", environ=environ)
    return found


def empty_template(folder: Path) -> Template:
    """A template that is one empty file."""
    folder.mkdir()
    (folder / "nothing").touch()
    run_ok("git", "init", "-q", cwd=folder)
    template = Template(folder)
    template.release("v0.1.0")
    return template


def empty(source: Template, folder: Path) -> Times:
    """`copier copy` of an empty template: what Copier itself takes."""
    copy = (*copier(), "copy", "--defaults", source.path, "my_env")
    return {"scaffold": command(*copy, cwd=folder, environ=environ_of_a_user())}


def openenv(tool: Path, python: Path, folder: Path) -> Times:
    """`openenv init`, `uv sync`, and a first step of the server, which gives a reward."""
    environ = environ_of_a_user() | {"UV_PYTHON": str(python)}
    found = {"scaffold": command(tool / "bin/openenv", "init", "my_env", cwd=folder, environ=environ)}
    environment = folder / "my_env"
    found["install"] = command("uv", "sync", cwd=environment, environ=environ)
    found["together"] = sum(found.values())
    port, started = free_port(), time.monotonic()
    server = ["uv", "run", "--no-sync", "uvicorn", "server.app:app", "--port", str(port)]
    with serving(server, environment, port, folder, UV_PYTHON=str(python)) as running:
        requests.post(f"{running.url}/reset", json={}, timeout=60).raise_for_status()
        step = requests.post(f"{running.url}/step", json={"action": {"message": "hello"}}, timeout=60)
        step.raise_for_status()
        assert step.json()["reward"] is not None, step.text
        found["first reward"] = time.monotonic() - started
    return found


def verifiers(tool: Path, python: Path, folder: Path) -> Times:
    """`vf-init`, and installing what it made. Its tasks and its reward have to be written before it gives one."""
    environ = environ_of_a_user()
    found = {"scaffold": command(tool / "bin/vf-init", "my-env", cwd=folder, environ=environ)}
    started = time.monotonic()
    command("uv", "venv", "--python", python, cwd=folder, environ=environ)
    command("uv", "pip", "install", "-e", "environments/my_env", cwd=folder, environ=environ)
    found["install"] = time.monotonic() - started
    found["together"] = sum(found.values())
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("environments/my_env/**/*.py"))
    assert "NotImplementedError" in text, "vf-init now makes what runs: measure its first reward"
    return found


def gym(tool: Path, python: Path, folder: Path) -> Times:
    """`gym env init`, and `gym env test`, which installs the server's packages and grades three cases."""
    paths = os.pathsep.join([str(tool / "bin"), str(python.parent), environ_of_a_user()["PATH"]])
    environ = environ_of_a_user() | {"PATH": paths, "VIRTUAL_ENV": str(tool)}
    found = {"scaffold": command("gym", "env", "init", "--environment", "my_env", cwd=folder, environ=environ)}
    found["together"] = found["scaffold"]
    found["first reward"] = command("gym", "env", "test", "my_env", cwd=folder, environ=environ)
    return found


def install_tool(package: str, python: Path, folder: Path) -> Path:
    """A virtual environment with a scaffolding tool."""
    environ = environ_of_a_user()
    target = folder / package
    command("uv", "venv", "--python", python, target, cwd=folder, environ=environ)
    install = ("uv", "pip", "install", "--python", target / "bin/python", package)
    command(*install, cwd=folder, environ=environ)
    return target


def copier_version() -> str:
    return run_ok(*copier(), "--version", cwd=ROOT).split()[-1]


def version(tool: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([tool / "bin/python", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--archetype", default=ARCHETYPES[0], choices=ARCHETYPES)
    parser.add_argument("--no-page", action="store_true", help="do not write docs/performance.md")
    parser.add_argument("--only-ours", action="store_true", help="leave the other scaffolds out, and write nothing")
    arguments = parser.parse_args()
    line = LINES[-1]
    python = interpreter_for(line)
    before = load_average()
    times: dict[str, list[Times]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="time-") as scratch, template() as source:
        tools = Path(scratch, "tools")
        tools.mkdir()
        # An environment of NeMo Gym is scaffolded by NeMo Gym: that of our own first round.
        own = Path(scratch, "0-ours")
        names = {"copier copy": f"copier copy ({arguments.archetype}, NeMo Gym {line})"}
        # One pack, as what comes over the network; as many files as objects take their time to remove.
        run_ok("git", "gc", "-q", cwd=source.path)
        nothing = empty_template(Path(scratch, "nothing"))
        scaffolds: dict[str, Callable[[Path], Times]] = {
            names["copier copy"]: lambda folder: ours(source, arguments.archetype, python, folder),
            f"an empty template (Copier {copier_version()})": lambda folder: empty(nothing, folder),
        }
        if not arguments.only_ours:
            installed = {package: install_tool(package, python, tools) for package in ("openenv-core", "verifiers")}
            if line == "0.7":  # 0.4 has no such command.
                scaffolds["gym env init (NeMo Gym 0.7)"] = lambda folder: gym(own / "my_env/.venv", python, folder)
            tool = installed["openenv-core"]
            name = f"openenv init (openenv-core {version(tool, 'openenv-core')})"
            scaffolds[name] = lambda folder: openenv(installed["openenv-core"], python, folder)
            tool = installed["verifiers"]
            name = f"vf-init (verifiers {version(tool, 'verifiers')})"
            scaffolds[name] = lambda folder: verifiers(installed["verifiers"], python, folder)
        for number in range(arguments.runs + 1):
            for name, scaffold in scaffolds.items():
                folder = Path(scratch, f"{number}-{'ours' if name in names.values() else name.split(' ')[0]}")
                folder.mkdir()
                measured = scaffold(folder)
                said = ", ".join(f"{step} {seconds:.2f}" for step, seconds in measured.items())
                print(f"{'warm-up' if number == 0 else number}: {name}: {said}", file=sys.stderr, flush=True)
                if number > 0:
                    times[name].append(measured)
    text = (
        f"Measured on {date.today()} by `python benchmarks/time_to_environment.py --runs {arguments.runs}`, on "
        f"{machine()}; the load average was {before} before it and {load_average()} at its end. Seconds, medians of "
        f"{arguments.runs} runs in turn with their range, with a warm package cache; what the tools' own installation "
        "takes is not counted.\n\n" + time_table(times)
    )
    print(text)
    if not (arguments.no_page or arguments.only_ours):
        write("time to an environment", text)


def time_table(times: dict[str, list[Times]]) -> str:
    def cell(runs: list[Times], step: str) -> str:
        seconds = [run[step] for run in runs if step in run]
        return spread(seconds, "{:.2f}".format if step == "scaffold" else "{:.1f}".format) if seconds else ""

    head = ["", *STEPS[:-1], "command to gate", "then the first reward"]
    rows = [
        [name, *(cell(runs, step) for step in (*STEPS[:-1], "together", STEPS[-1]))] for name, runs in times.items()
    ]
    return table(head, rows)


if __name__ == "__main__":
    main()
