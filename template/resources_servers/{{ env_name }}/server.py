# Part of the template: changes belong there (`copier update` merges this file).
"""The door through which NeMo Gym finds the environment's server.py: it runs resources_servers/<name>/<entrypoint>."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# In front of this folder, whose server.py is this file.
sys.path.insert(0, str(ROOT))

from gymkit.project import server_class  # noqa: E402
from gymkit.serve import run  # noqa: E402
from server import VERIFIER_FIXTURE  # noqa: E402

__all__ = ["VERIFIER_FIXTURE"]

if __name__ == "__main__":
    run(server_class())
