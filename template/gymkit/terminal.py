# Part of the template: changes belong there (`copier update` merges this file).
"""The terminal that programs print to."""

from rich.console import Console

console = Console(highlight=False)
