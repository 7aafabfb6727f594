# Part of the template: changes belong there (`copier update` merges this file).
"""Lets the programs in train/ import gymkit, which stands one folder above: `import _root`, before anything of gymkit."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
