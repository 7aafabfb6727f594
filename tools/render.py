"""Render one environment for reading: `python tools/render.py ARCHETYPE FOLDER [question=answer ...]`.

The working tree is rendered as it is, committed or not. Nothing is installed, and nothing is run.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import copier
import yaml

ROOT = Path(__file__).resolve().parents[1]


def render(archetype: str, folder: Path, **answers: str) -> None:
    """Write the files of an environment into a folder, as `copier copy --skip-tasks` does.

    Args:
        archetype: One of the choices in copier.yml.
        folder: Where to; the environment is called as it is. Files that are there are overwritten.
        answers: To further questions, as text; the others get their defaults.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # Not a git repository: so Copier takes the files as they are, and not those of the last tag.
        source = Path(scratch, "template")
        source.mkdir()
        shutil.copy(ROOT / "copier.yml", source)
        for name in ("includes", "template"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        typed = {name: yaml.safe_load(value) for name, value in answers.items()}
        copier.run_copy(
            str(source),
            folder,
            data={"archetype": archetype, **typed},
            defaults=True,
            overwrite=True,
            quiet=True,
            skip_tasks=True,
            unsafe=True,
        )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    render(sys.argv[1], Path(sys.argv[2]), **dict(argument.split("=", 1) for argument in sys.argv[3:]))
