# Part of the template: changes belong there (`copier update` merges this file).
"""Imported before anything of gymkit, which stands one folder above: lets the programs in train/ find it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
