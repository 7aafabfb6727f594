"""Write the digests of the files that are the template's own: `python tools/template_files.py [--check]`.

A file is the template's own where its first line says so. Each overlay lists its own files, in
gymkit/template_files/<overlay>.sha256; an environment's tests compare (tests/test_template_files.py).
"""

import hashlib
import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1] / "template"
FIRST_LINE = "Part of the template: changes belong there"


def digests(overlay: Path) -> str:
    """The lines of an overlay's list, sorted by name. A name that depends on an answer is a pattern."""
    lines = []
    for path in sorted(overlay.rglob("*")):
        name = path.relative_to(overlay).as_posix()
        inner_overlay = overlay == TEMPLATE and name.startswith("{{ ")
        if not path.is_file() or inner_overlay or path.suffix not in (".py", ".js", ".css", ".html"):
            continue
        if FIRST_LINE in path.read_text(encoding="utf-8").split("\n", 1)[0]:
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name.replace('{{ env_name }}', '*')}\n")
    return "".join(lines)


def main() -> int:
    check = "--check" in sys.argv
    stale = 0
    for overlay in [TEMPLATE, *sorted(TEMPLATE.glob("{{ *"))]:
        name = "all" if overlay == TEMPLATE else overlay.name.strip("{} ")
        target = overlay / "gymkit" / "template_files" / f"{name}.sha256"
        text = digests(overlay)
        if text == (target.read_text(encoding="utf-8") if target.is_file() else ""):
            continue
        stale += 1
        if check:
            print(f"{target.relative_to(TEMPLATE.parent)} is out of date: run `python tools/template_files.py`")
        elif text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        else:
            target.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
