"""Write template/gymkit/template_files.sha256.jinja: the digests of the files that are the template's own.

    python tools/write_template_files.py [--check]

They are those whose first line says so. A test in each environment compares them with what stands there.
"""

import hashlib
import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1] / "template"
LIST = TEMPLATE / "gymkit" / "template_files.sha256.jinja"
SUFFIXES = {".py", ".html", ".css", ".js"}
FIRST_LINE = b"Part of the template: changes belong there"


def listed(template: Path = TEMPLATE) -> str:
    """The lines of the list, as `sha256sum` writes them; paths hold answers, so the list is a Jinja file."""
    files = [path for path in sorted(template.rglob("*")) if path.suffix in SUFFIXES]
    own = [path for path in files if FIRST_LINE in path.read_bytes().split(b"\n", 1)[0]]
    overlays = sorted({overlay(path.relative_to(template)) for path in own})
    return "".join(section(template, own, name) for name in overlays)


def overlay(path: Path) -> str:
    """The answer that brings a file: the first folder's name, `{{ sandbox }}`; empty for what all environments get."""
    first = path.parts[0]
    return first.strip("{ }") if first.startswith("{{") else ""


def section(template: Path, files: list[Path], name: str) -> str:
    """The lines of one overlay's files, which only an environment with that answer has."""
    root = template / f"{{{{ {name} }}}}" if name else template
    paths = [path for path in files if overlay(path.relative_to(template)) == name]
    lines = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n" for path in paths
    )
    return f"{{% if {name} %}}{lines}{{% endif %}}" if name else lines


if __name__ == "__main__":
    if "--check" in sys.argv:
        up_to_date = LIST.is_file() and LIST.read_text() == listed()
        sys.exit(0 if up_to_date else f"{LIST.name} is out of date: run {sys.argv[0]}")
    LIST.write_text(listed())
