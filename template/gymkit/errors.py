# Part of the template: changes belong there (`copier update` merges this file).
"""What ends a program with one line for the person who runs it."""


class CommandError(Exception):
    """The program cannot go on. The message is for the person who started it: what is wrong, and what to do."""
