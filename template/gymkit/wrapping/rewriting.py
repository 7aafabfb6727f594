# Part of the template: changes belong there (`copier update` merges this file).
"""What is said of the environment, in the files that it shares with the template: the sample's name gives way."""

import json
import re

import yaml

from gymkit import project
from gymkit.wrapping.code import Wrapped
from gymkit.wrapping.place import Place

SAMPLES = {
    "wordle": ["wordle.py"],
    "questions": ["questions.py", "constraints.py"],
    "assistant": ["assistant.py", "weather.py", "search/"],
}
"""What each sample's domain consists of, as pages name it."""
SAMPLE_FILES = [
    *("wordle.py", "questions.py", "constraints.py", "assistant.py", "weather.py"),
    *("search/__init__.py", "search/documents.md", "search/outside.py", "docs/questions.md", "docs/tools.md"),
    *("tests/test_wordle.py", "tests/test_questions.py", "tests/test_assistant.py", "tests/test_search.py"),
    *("tests/standin_search.py", "tests/test_cheats.py", "tests/cheats.py"),
]
ALONE = r'^  "py3langid>.*\n'
"""The dependency of a sample's domain, in pyproject.toml."""
DOMAINS = {"gymnasium": "games", "functions": "agent"}
"""NeMo Gym's category of an environment, where the shape tells."""
SETTINGS = r"^ +# Settings of the server \(server\.py, gymkit/replay\.py .*\n(?: +# \w+: .*\n)+"
"""What the config of tools says of settings that a wrapped class does not have."""
PLAIN_SETTINGS = """\
      # Settings of the server (gymkit/config.py, sessions.py, tools.py), some of them, with their defaults:
      # max_sessions: 10000
      # idle_seconds: 3600
      # tool_seconds: 60
"""
WITH_TOOLS = "an agent calls the tools of `server.py` over HTTP,\nand `/verify` gives the episode its reward."
WITHOUT_TOOLS = "a model answers a question, and `/verify` of `server.py`\ngives the answer its reward."


def describe_wrapped(
    place: Place, wrapped: Wrapped, description: str, domain: str, reward_range: str, target: str, tests: str
) -> None:
    """Write the description everywhere but where `gymkit describe` carries it, and the range of the reward."""
    name = project.environment_name()
    _, settings = project.resources_server_instance()
    before = " ".join(str(settings.get("description", "")).split())
    config = f"configs/{name}.yaml"
    text = _line(place.read(config), "description", json.dumps(description, ensure_ascii=False))
    text = _line(text, "domain", domain or DOMAINS.get(wrapped.interface.shape, "other"))
    place.write(config, re.sub(SETTINGS, PLAIN_SETTINGS, text, flags=re.MULTILINE))
    place.write("pyproject.toml", re.sub(ALONE, "", place.read("pyproject.toml"), flags=re.MULTILINE))
    manifest = f"environments/{name}/manifest.yaml"
    text = place.read(manifest)
    place.write(manifest, _line(text, "range", f"[{reward_range}]") if reward_range else text)
    own = f"{wrapped.interface.module.replace('.', '/')}.py"
    own = own if (place.copy / own).is_file() else ""
    for page in ("README.md", "AGENTS.md"):
        text = place.read(page).replace(before, description)
        place.write(page, _page(text, wrapped, target.removesuffix(":"), tests, own))
    answers = ".copier-answers.yml"
    if target and (place.copy / answers).is_file():
        # An update renders by these: it is to know what is the same as before, and what server.py is.
        text = place.read(answers)
        given = yaml.safe_load(text) | {"description": description, "wrap_class": target}
        comments = [line for line in text.splitlines(keepends=True) if line.startswith("#")]
        place.write(answers, "".join(comments) + yaml.safe_dump(given, allow_unicode=True, sort_keys=True))


def _line(text: str, key: str, value: str) -> str:
    return re.sub(rf"^(\s*){key}: .*$", lambda match: f"{match[1]}{key}: {value}", text, count=1, flags=re.MULTILINE)


def _page(text: str, wrapped: Wrapped, target: str, tests: str, own: str) -> str:
    """A page without the sample.

    Args:
        text: The page.
        wrapped: What is wrapped.
        target: As it was named; empty where a server was adopted.
        tests: The file of its tests.
        own: The file of its domain; empty where an installed package has it.
    """
    made = f"`gymkit wrap` has written this around `{target}`" if target else "`gymkit adopt` has carried this over"
    again = " When it changes: `uv run gymkit wrap`." if target else ""
    add = "## To add a tool\n"
    add += f"\nWhat is new in `{target}` becomes a tool by `uv run gymkit wrap`. By hand:\n" if target else ""
    for pattern, instead in (
        (
            r"^The \w+ (?:is|are) a sample\. Replace it in this order:$",
            f"{made} ([docs/wrapping.md](docs/wrapping.md)). Go through it in this order:",
        ),
        (
            r"^1\. \*\*The domain\*\*:.*?(?=^   `uv add PACKAGE`)",
            f"1. **The domain**: `{own or wrapped.interface.module}`. It is as it was.{again}\n",
        ),
        (r"^## To add a tool\n", add),
        (r"^- \[docs/(?:questions|tools)\.md\][^;\n]*; ", "- "),
        (r"^- \[docs/(?:questions|tools)\.md\][^;\n]*\n", ""),
        (r"`tests/test_cheats\.py`, |`tests/test_search\.py`, `tests/standin_search\.py`, ", ""),
    ):
        text = re.sub(pattern, lambda _, instead=instead: instead, text, flags=re.MULTILINE | re.DOTALL)
    for sample, files in SAMPLES.items():
        named = ", ".join(f"`{file}`" for file in files)
        text = text.replace(named, f"`{own}`") if own else text.replace(f"{named}, ", "")
        text = text.replace(f"`{files[0]}`, or another", f"`{own}`, or another" if own else "a")
        text = text.replace(f"tests/test_{sample}.py", tests)
    text = text.replace(
        f"replace `{tests}` by tests of your domain, and `tests/cheats.py` by cheats that it invites\n",
        f"tests of your domain go into `{tests}`, cheats that it invites into `tests/cheats.py`\n",
    )
    old, new = (WITHOUT_TOOLS, WITH_TOOLS) if wrapped.has_tools else (WITH_TOOLS, WITHOUT_TOOLS)
    return text.replace(old, new)
