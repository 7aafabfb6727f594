"""Write the sample rows of template/ anew: render an environment, run its make_data.py, copy the rows back.

python tests/write_sample_rows.py
"""

import shutil
import tempfile
from pathlib import Path

from generated import ROOT, Template, generate, interpreter_for, run_ok

ARCHETYPES = {
    "game": "{% if is_game %}data{% endif %}",
    "sandbox": "{% if is_sandbox %}data{% endif %}",
    "computer_use": "{% if is_computer_use %}data{% endif %}",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        template = Template.clone(Path(scratch) / "template")
        for archetype, folder in ARCHETYPES.items():
            target = Path(scratch) / archetype
            environment = generate(template, target, "0.4", interpreter_for("0.4"), f"archetype={archetype}")
            run_ok(environment.python, "make_data.py", cwd=target)
            for rows in sorted((target / "data").glob("*.jsonl")):
                shutil.copyfile(rows, ROOT / "template" / folder / rows.name)
                print(f"{archetype}: {rows.name}")


if __name__ == "__main__":
    main()
