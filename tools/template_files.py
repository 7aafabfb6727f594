"""Write what the template has to know of its own files: `python tools/template_files.py [--check]`.

- The digests of the files that are the template's own, which their first line says. Each overlay lists its own, in
  gymkit/template_files/<overlay>.sha256; an environment's tests compare (tests/test_template_files.py).
- The names of all files that each overlay writes, in includes/written_files.jinja: none of them may be a user's when an
  environment is generated (copier.yml).
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "template"
WRITTEN = """\
{{#- Written by tools/template_files.py. -#}}
{{%- set archetypes = {archetypes} -%}}
{{%- set written_files = {files} -%}}
"""
OVERLAYS = {path.name for path in TEMPLATE.glob("{{ *") if path.is_dir()}
ANSWERS = "{{ _copier_conf.answers_file }}"
FIRST_LINE = "Part of the template: changes belong there"


def digests(overlay: Path) -> str:
    """The lines of an overlay's list, sorted by name. A name that depends on an answer is a pattern."""
    lines = []
    for path in files(overlay):
        if path.suffix not in (".py", ".js", ".css", ".html"):
            continue
        if FIRST_LINE in path.read_text(encoding="utf-8").split("\n", 1)[0]:
            name = path.relative_to(overlay).as_posix().replace("{{ env_name }}", "*")
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
    return "".join(lines)


def files(overlay: Path) -> Iterator[Path]:
    """An overlay's files in order, without those of the overlays below it."""
    for path in sorted(overlay.rglob("*")):
        inner_overlay = overlay == TEMPLATE and path.relative_to(overlay).parts[0] in OVERLAYS
        if path.is_file() and not inner_overlay and "__pycache__" not in path.parts:
            yield path


def written_files() -> str:
    """The text of includes/written_files.jinja."""
    names = {
        name_of(overlay): [path.relative_to(overlay).as_posix().removesuffix(".jinja") for path in files(overlay)]
        for overlay in overlays()
    }
    names["all"].remove(ANSWERS)  # Copier itself sees to that.
    archetypes = [name for name, own in names.items() if "server.py" in own]
    text = WRITTEN.format(archetypes=json.dumps(archetypes), files=json.dumps(names, indent=1))
    return text.replace("{{ env_name }}", "ENV_NAME")


def overlays() -> list[Path]:
    return [TEMPLATE, *(TEMPLATE / name for name in sorted(OVERLAYS))]


def name_of(overlay: Path) -> str:
    return "all" if overlay == TEMPLATE else overlay.name.strip("{} ")


def targets() -> Iterator[tuple[Path, str]]:
    """The files that this writes, and what stands in them."""
    for overlay in overlays():
        yield overlay / "gymkit" / "template_files" / f"{name_of(overlay)}.sha256", digests(overlay)
    yield ROOT / "includes" / "written_files.jinja", written_files()


def main() -> int:
    check = "--check" in sys.argv
    stale = 0
    for target, text in targets():
        if text == (target.read_text(encoding="utf-8") if target.is_file() else ""):
            continue
        stale += 1
        if check:
            print(f"{target.relative_to(ROOT)} is out of date: run `python tools/template_files.py`")
        elif text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        else:
            target.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
