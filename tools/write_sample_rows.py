"""Write the sample rows of template/ anew: render an environment, run `gymkit data` in it, copy the rows back.

python tools/write_sample_rows.py
"""

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from generated import ARCHETYPES, DATA, Template, generate, interpreter_for  # noqa: E402


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        template = Template.clone(Path(scratch) / "template")
        for archetype in ARCHETYPES:
            target = Path(scratch) / archetype
            environment = generate(template, target, "0.4", interpreter_for("0.4"), f"archetype={archetype}")
            environment.run_ok(*DATA)
            for rows in sorted((target / "data").glob("*.jsonl")):
                shutil.copyfile(rows, ROOT / "template" / f"{{{{ {archetype} }}}}" / "data" / rows.name)
                print(f"{archetype}: {rows.name}")


if __name__ == "__main__":
    main()
