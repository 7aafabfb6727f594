"""Write template/gymkit/template_files.sha256.jinja: the digests of the files that are the template's own.

    python tests/write_template_files.py [--check]

They are those whose first line says so. A test in each environment compares them with what stands there.
"""

import hashlib
import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1] / "template"
LIST = TEMPLATE / "gymkit" / "template_files.sha256.jinja"
SUFFIXES = {".py", ".html", ".css", ".js"}
FIRST_LINE = b"Part of the template: changes belong there"


def listed() -> str:
    """The lines of the list, as `sha256sum` writes them; paths hold answers, so the list is a Jinja file."""
    # A condition around a name stands after its suffix: `{% if is_game %}policy.py{% endif %}`.
    files = [path for path in sorted(TEMPLATE.rglob("*")) if Path(re.sub("{%.+?%}", "", path.name)).suffix in SUFFIXES]
    own = [path for path in files if FIRST_LINE in path.read_bytes().split(b"\n", 1)[0]]
    return "".join(line(path) for path in own)


def line(path: Path) -> str:
    """A file's line, in the conditions that stand in its path."""
    name = path.relative_to(TEMPLATE).as_posix()
    conditions = "".join(re.findall(r"{% if .+? %}", name))
    text = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {re.sub('{%.+?%}', '', name)}\n"
    return conditions + text + "{% endif %}" * conditions.count("{%")


if __name__ == "__main__":
    if "--check" in sys.argv:
        up_to_date = LIST.is_file() and LIST.read_text() == listed()
        sys.exit(0 if up_to_date else f"{LIST.name} is out of date: run {sys.argv[0]}")
    LIST.write_text(listed())
