# Part of the template: changes belong there (`copier update` merges this file).
"""Pieces of source code: texts that keep within the lines, imports, the names of an environment."""

import json
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from gymkit.wrapping.interface import Interface, Parameter

WIDTH = 120

TAKEN = {
    *("Any", "FastAPI", "Request", "Field", "Response", "Verdict", "Row", "ToolRequest", "ToolResponse", "TypeAdapter"),
    *("EnvironmentConfig", "EnvironmentServer", "InvalidRow", "GymnasiumEpisode", "as_text", "run", "verifier_fixture"),
    *("boxed", "clean", "expected_output", "final_answer", "stated", "NoArguments", "VERIFIER_FIXTURE"),
}
"""Names that server.py has already: what is called so in the domain is imported under another name."""


@dataclass(frozen=True)
class Wrapped:
    """What is wrapped, and what it is called in the environment."""

    interface: Interface
    class_name: str
    """Of the server, without `ResourcesServer`."""
    reward: str
    tasks: dict[str, object]
    """What the first task has, besides defaults: arguments of the constructor by name."""

    @property
    def kind(self) -> str:
        """The domain's class, as server.py calls it."""
        return known_as(self.interface.module, self.interface.name)

    @property
    def has_tools(self) -> bool:
        """Whether there is something to call, and not a question alone."""
        return self.interface.shape not in ("dataset", "answers")

    @property
    def module(self) -> str:
        """The last part of the domain's module."""
        return self.interface.module.rpartition(".")[2]


def row_key(parameter: Parameter) -> str:
    """The key of a data row that has an argument of the constructor."""
    used = {"prompt", "expected_output", "ground_truth", "responses_create_params", "row_key", "agent_ref", "number"}
    return f"{parameter.name}_argument" if parameter.name in used else parameter.name


def known_as(module: str, name: str) -> str:
    """What something of the domain's is called in server.py."""
    return f"Domain{name}" if name in TAKEN and module not in ("typing", "pydantic") else name


def renamed(text: str, imports: Iterable[tuple[str, str]]) -> str:
    """A type or a default, with the names under which server.py has what it uses."""
    for module, name in imports:
        if known_as(module, name) != name:
            text = re.sub(rf"(?<![\w.'\"]){name}\b", known_as(module, name), text)
    return text


def import_lines(imports: Iterable[tuple[str, str]]) -> list[str]:
    """Import statements, unsorted."""
    lines = []
    for module, name in sorted(set(imports)):
        known = known_as(module, name)
        lines.append(f"from {module} import {name}" + (f" as {known}" if known != name else ""))
    return lines


def quoted(text: str, column: int) -> str:
    """A text as source code, in several parts where it is longer than the line."""
    whole = json.dumps(text, ensure_ascii=False)
    if column + len(whole) <= WIDTH - 2:
        return whole
    parts = textwrap.wrap(text, WIDTH - 24, break_on_hyphens=False, drop_whitespace=False)
    if len(parts) == 1:
        return whole
    return "(" + "\n".join(json.dumps(part, ensure_ascii=False) for part in parts) + ")"


def docstring(text: str, indent: int) -> str:
    """A docstring, with its quotes, indented; the first line too."""
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').rstrip()
    lines = []
    for line in text.splitlines():
        lead = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(line, WIDTH - indent - 6, subsequent_indent=lead, break_long_words=False) or [""]
    end = " " if text.endswith('"') else ""
    body = f'"""{lines[0]}"""' if len(lines) == 1 and not end else '"""' + "\n".join(lines) + '\n"""'
    return textwrap.indent(body, " " * indent)


def capitalized(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
