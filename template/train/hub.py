# Part of the template: changes belong there (`copier update` merges this file).
"""Write the task rows as a data set for the Hugging Face Hub, with its card: every version of `datasets` loads it.

    uv run python train/hub.py
    uv run hf upload USER/NAME results/hub --repo-type dataset

The columns are the keys of the rows, and all are texts: what is no text in a row is JSON here. (In data/, a field may
be a number in one row and a list in the next, which `datasets` refuses.) The answers are in it: think of who reads it.
"""

import argparse
import json
import sys
from pathlib import Path

import yaml

import _root  # noqa: F401
from gymkit.errors import CommandError
from gymkit.project import ROOT, datasets, environment_name, load_manifest
from gymkit.rows import Row, read_rows

CARD = """\
---
{head}---

# {name}

{description}

Tasks of an environment for [NeMo Gym](https://docs.nvidia.com/nemo/gym/latest). All columns are texts; but for {texts},
they hold JSON:

```python
row = {{key: json.loads(value) if key not in {texts_list} else value for key, value in example.items() if value}}
```
"""


def columns(rows: list[Row]) -> dict[str, bool]:
    """The keys of rows, and whether each holds a text in all of them."""
    keys = {key: True for row in rows for key in row}
    return {key: all(isinstance(row.get(key, ""), str) for row in rows) for key in keys}


def as_texts(row: Row, kinds: dict[str, bool]) -> dict[str, str]:
    """A row with every column, each a text; an empty one stands for a key that it has not."""
    return {
        key: "" if key not in row else row[key] if is_text else json.dumps(row[key], ensure_ascii=False)
        for key, is_text in kinds.items()
    }


def card(splits: list[str], kinds: dict[str, bool], licence: str) -> str:
    """The card: README.md of a data set."""
    head = {
        "license": licence.lower().replace(" ", "-"),
        "tags": ["nemo-gym", "reinforcement-learning"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": name, "path": f"{name}.jsonl"} for name in splits]}
        ],
    }
    texts = [key for key, is_text in kinds.items() if is_text]
    return CARD.format(
        head=yaml.safe_dump(head, sort_keys=False),
        name=environment_name(),
        description=load_manifest().get("description", ""),
        texts=", ".join(f"`{key}`" for key in texts),
        texts_list=texts,
    )


def write(folder: Path) -> list[str]:
    """Write the files of all splits that the config names; a line for each.

    Raises:
        CommandError: rows are missing, or the config names no split.
    """
    found = {each["name"]: each for each in datasets()}
    if not found:
        raise CommandError(f"configs/{environment_name()}.yaml names no datasets.")
    rows = {each["type"]: read_rows(ROOT / each["jsonl_fpath"]) for each in found.values()}
    kinds = columns([row for split in rows.values() for row in split])
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for split, made in rows.items():
        texts = (json.dumps(as_texts(row, kinds), ensure_ascii=False) for row in made)
        (folder / f"{split}.jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        lines.append(f"{folder / split}.jsonl: {len(made)} rows")
    licence = next((each["license"] for each in found.values() if each.get("license")), "apache-2.0")
    (folder / "README.md").write_text(card(list(rows), kinds, licence), encoding="utf-8")
    return [*lines, f"{folder / 'README.md'}: the card"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "hub")
    try:
        print("\n".join(write(parser.parse_args().output)))
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
