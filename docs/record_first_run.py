"""Draw docs/first-run.svg, the README's picture, from a real first run.

    uv run --with rich python docs/record_first_run.py

It is generated from the last commit. Lists of files and packages are shortened to three lines.
"""

import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, LIST_LINES = 100, 3
RELEASE = "v0.1.0"
SHOWN = "uvx copier copy --trust --defaults gh:org/nemo-env-template my_env"


def run_in_terminal(command: list[str], cwd: Path) -> str:
    """What a program shows on a terminal, colours included."""
    master, slave = pty.openpty()
    env = os.environ | {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "PWD": str(cwd), "VIRTUAL_ENV": ""}
    process = subprocess.Popen(command, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so when the other side is closed.
            break
        if not part:
            break
        shown += part
    if process.wait() != 0:
        sys.exit(shown.decode(errors="replace"))
    return shown.decode(errors="replace")


def final_lines(shown: str) -> list[str]:
    """The lines as they stand at the end: what progress displays have overwritten is gone."""
    lines: list[str] = []
    for line in shown.replace("\r\n", "\n").split("\n"):
        text = re.sub(r"\x1b\[\??[0-9;]*[A-KSTfhlnsu]", "\r", line).rstrip("\r").rsplit("\r", 1)[-1]
        # Programs by their names: where they lie on this machine says nothing to a reader.
        lines.append(re.sub(r"(?:(?<![\w.])|(?<=\dm))/(?:[^\s/']+/)+", "", text))
    return lines


def shortened(lines: list[str]) -> list[str]:
    """Long lists of files and packages, cut to their first lines."""
    kept: list[str] = []
    listed = 0
    for line in lines:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if re.match(r"\s+(create|\+) ", plain):
            listed += 1
            if listed > LIST_LINES:
                continue
        elif listed > LIST_LINES:
            kept.append(f"    ... {listed - LIST_LINES} more")
            listed = 0
        else:
            listed = 0
        if plain.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return kept


def main() -> None:
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        template = folder / "nemo-env-template"
        subprocess.run(["git", "clone", "-q", ROOT, template], check=True)
        subprocess.run(["git", "tag", RELEASE], cwd=template, check=True)
        copy = ["uvx", "copier", "copy", "--trust", "--defaults", str(template), "my_env"]
        for prompt, command, cwd in (
            (SHOWN, copy, folder),
            ("cd my_env && uv run python rollout.py", shlex.split("uv run python rollout.py"), folder / "my_env"),
        ):
            console.print(Text(f"$ {prompt}", style="bold"))
            for line in shortened(final_lines(run_in_terminal(command, cwd))):
                console.print(Text.from_ansi(line))
    # Without the web font that rich would have it load from another host.
    svg = re.sub(r"@font-face \{.*?\}\n", "", console.export_svg(title="A first run"), flags=re.DOTALL)
    (ROOT / "docs" / "first-run.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
