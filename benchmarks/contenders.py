"""The servers that are compared, each with the requests that it understands, and the environments among them."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from load import Call
from served import Served, free_port, served, serving

ROOT = Path(__file__).resolve().parents[1]
SERVERS = Path(__file__).with_name("servers")
# Other modules import `generated` after this one.
sys.path.append(str(ROOT / "tests"))

from generated import Template, generate, interpreter_for  # noqa: E402

BARE = "bare FastAPI"
SEED_WAY = "the seed's way"
EXAMPLE = "NeMo Gym's example"

ECHO = Call("/echo", '{"text": "$n"}', '^{"output":"(%d+)"}$')
BLOCK = Call("/block", '{"text": "$n", "milliseconds": 100}', '^{"output":"(%d+)"}$')
RESPONSE = {
    "id": "resp_1",
    "created_at": 0.0,
    "model": "none",
    "object": "response",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


@dataclass(frozen=True)
class Contender:
    """A server of the comparison."""

    name: str
    environment: Path
    """The generated environment whose interpreter and packages it runs on."""
    script: Path
    seed: Mapping[str, Any]
    """The body that begins an episode."""
    at_once: Call = ECHO
    """A tool that answers at once."""
    blocking: Call | None = BLOCK
    """A tool that blocks for 100 ms."""
    generated: bool = False

    @contextmanager
    def serve(self, environ: Mapping[str, str] | None = None, **settings: Any) -> Iterator[Served]:
        """Start it; `settings` are those of a generated environment, and nothing to the others."""
        if self.generated:
            with served(self.environment, self.script, environ, **settings) as server:
                yield server
            return
        port = free_port()
        command = [str(self.environment / ".venv/bin/python"), str(self.script), str(port)]
        with TemporaryDirectory(prefix="b-") as scratch, serving(command, SERVERS, port, Path(scratch)) as server:
            yield server

    def episode(self) -> list[tuple[str, Any]]:
        """The requests of a short episode: seed, one call, verdict."""
        call = json.loads(self.at_once.body.replace("$n", "1"))
        return [
            ("/seed_session", self.seed),
            (self.at_once.path, call),
            ("/verify", {**self.seed, "response": RESPONSE, "expected_count": 1}),
        ]


def contenders(environments: Mapping[str, Path]) -> list[Contender]:
    """The generated environments, by archetype, and what they are compared with on the first one's packages."""
    names = {archetype: f"generated {archetype.replace('_', ' ')}" for archetype in environments}
    ours = [
        Contender(names[archetype], path, SERVERS / "generated.py", first_row(path), generated=True)
        for archetype, path in environments.items()
    ]
    first = ours[0]
    row = first.seed
    example = replace(
        first,
        name=EXAMPLE,
        script=SERVERS / "nearest_example.py",
        seed={**row, "initial_count": 0},
        at_once=Call("/increment_counter", '{"count": 1}', '^{"success":true}$'),
        blocking=None,  # It has no such tool.
        generated=False,
    )
    seed_way = replace(first, name=SEED_WAY, script=SERVERS / "seed_way.py", generated=False)
    bare = replace(first, name=BARE, script=SERVERS / "bare.py", generated=False)
    return [*ours, seed_way, example, bare]


@contextmanager
def all_served(servers: list[Contender], **settings: Any) -> Iterator[dict[str, Served]]:
    """Serve them side by side."""
    with ExitStack() as stack:
        yield {server.name: stack.enter_context(server.serve(**settings)) for server in servers}


def first_row(environment: Path) -> dict[str, Any]:
    """The first row of its training data."""
    with (environment / "data" / "train.jsonl").open(encoding="utf-8") as file:
        return json.loads(file.readline())


@contextmanager
def template() -> Iterator[Template]:
    """A clone of the working tree."""
    with TemporaryDirectory(prefix="template-") as scratch:
        yield Template.clone(Path(scratch, "nemo-env-template"))


def environments(line: str, archetypes: list[str], folder: Path) -> dict[str, Path]:
    """An environment of each archetype on a line, at FOLDER/ARCHETYPE-LINE: as it stands, or generated there."""
    found = {}
    for archetype in archetypes:
        path = folder.resolve() / f"{archetype}-{line}"
        if not path.exists():
            print(f"Generating a {archetype} on NeMo Gym {line} ...", file=sys.stderr, flush=True)
            with template() as source:
                generate(source, path, line, interpreter_for(line), f"archetype={archetype}", "env_name=my_env")
        found[archetype] = path
    return found
