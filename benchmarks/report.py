"""Tables in Markdown, and the place in docs/performance.md where they stand."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns but the first are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def spread(values: Sequence[float], form: Callable[[float], str] = "{:,.0f}".format) -> str:
    """The median, and from which to which value it went."""
    if len(values) == 1:
        return form(values[0])
    return f"{form(median(values))} ({form(min(values))} to {form(max(values))})"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}" if seconds < 1 else f"{seconds * 1000:,.0f}"


def times(ratio: float) -> str:
    return f"{ratio:.2f}"


def machine() -> str:
    """This machine in a sentence."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE)
        model = named[1] if named else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, {platform.system()} {platform.release().split('-')[0]}"


def versions(python: Path, *packages: str) -> str:
    """An interpreter and the versions of packages that it has, in a sentence."""
    code = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {"Python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = "none"
print(json.dumps(found))
"""
    said = subprocess.run([str(python), "-c", code, *packages], capture_output=True, text=True, check=True).stdout
    return ", ".join(f"{name} {version}" for name, version in json.loads(said).items())


def load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Put a text between the page's marks of that name."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{page} has no marks {begin} ... {end}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", before), encoding="utf-8")
