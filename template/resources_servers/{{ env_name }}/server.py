# Part of the template: changes belong there (`copier update` merges this file).
"""The entry point by which NeMo Gym finds the environment: it runs resources_servers/<name>/<entrypoint>."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# In front of this folder, whose server.py is this file.
sys.path.insert(0, str(ROOT))

from gymkit.cli import load_server, load_server_class  # noqa: E402
from gymkit.serve import run  # noqa: E402

VERIFIER_FIXTURE = load_server().VERIFIER_FIXTURE

__all__ = ["VERIFIER_FIXTURE"]

if __name__ == "__main__":
    run(load_server_class())
