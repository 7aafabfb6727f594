"""Stopping Copier from a program that it runs, so that the files stay and the user reads last how to go on."""

import os
import select
import signal
import sys
import textwrap
import time
from typing import NoReturn

RUN_BY_COPIER = "--run-by-copier"
"""The argument with which copier.yml runs these programs. Nobody else's parent is stopped."""
SECONDS_TO_STOP = 3

_parent = os.getppid()


def stop(reason: str, how_to_go_on: str) -> NoReturn:
    """Say why, stop Copier, and say how to go on. The exit status is not 0.

    A task that fails makes Copier delete the folder that it has created, and its last word is the task's command line.
    So Copier is interrupted instead, as by Ctrl+C: then it removes its temporary files only, and exits with 1. Its last
    word is "Execution stopped by user" then, which is not so. What helps is said after it, by a process that outlives
    this one, which Copier ends.
    """
    print(f"\n{paragraph(reason)}", file=sys.stderr, flush=True)
    # When Copier has gone, this process has another parent, which is not ours to stop.
    if RUN_BY_COPIER in sys.argv and os.getppid() == _parent:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _end(_parent)
            print(f"\n{how_to_go_on}", file=sys.stderr, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    else:
        print(f"\n{how_to_go_on}", file=sys.stderr, flush=True)
    sys.exit(1)


def paragraph(text: str) -> str:
    """A text in lines of at most 100 characters; no word is broken, so that what is to be typed stays whole."""
    return textwrap.fill(text, 100, break_on_hyphens=False, break_long_words=False)


def _end(process: int) -> None:
    """Interrupt a process, and wait until it has gone. Where it ignores that, it is terminated.

    A background job of a shell that is not interactive ignores an interrupt.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if _ends(process, number):
            return


def _ends(process: int, number: int) -> bool:
    """Whether a process ends by a signal, in time."""
    try:
        if hasattr(os, "pidfd_open"):
            watched = os.pidfd_open(process)
            os.kill(process, number)
            return bool(select.select([watched], [], [], SECONDS_TO_STOP)[0])
        os.kill(process, number)
        for _ in range(SECONDS_TO_STOP * 100):
            os.kill(process, 0)
            time.sleep(0.01)
        return False
    except ProcessLookupError:
        return True
