# Part of the template: changes belong there (`copier update` merges this file).
"""The program that symbolic.py starts: it loads math-verify, and forks a worker for each socket that it is sent.

It is run by its file and imports nothing of gymkit. Standard input is a socket: a byte and a socket fork a worker, and
its end ends the program. A worker answers questions, a JSON object a line, until its socket ends.
"""

import gc
import json
import logging
import os
import re
import resource
import signal
import socket
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

MEMORY = 2 * 2**30
"""Bytes of address space that a worker may have."""

READERS = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def as_latex(text: str) -> str:
    """An expression in plain notation as LaTeX; LaTeX stays as it is."""
    text = re.sub(r"(?<![\\a-zA-Z])sqrt ?\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(
        r"(?<![\\a-zA-Z])(pi|infinity|infty|oo)(?![a-zA-Z])", lambda m: "\\pi " if m[1] == "pi" else "\\infty ", text
    )
    text = re.sub(r"(?<![\\a-zA-Z])(sin|cos|tan|log|ln|exp)(?=[ (])", r"\\\1", text)
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda raised: "^{" + raised[0].translate(RAISED) + "}", text)
    text = text.replace("**", "^").replace("*", r" \cdot ").replace("≤", r"\le ").replace("≥", r"\ge ")
    text = re.sub(r"\^\(([^()]*)\)", r"^{\1}", text)
    text = re.sub(r"\^(-?\d{2,}|-\d)", r"^{\1}", text)
    if re.match(r"^\{.*\}$", text):
        text = "\\{" + text[1:-1] + "\\}"
    return text


@lru_cache(maxsize=256)  # The right answer of a row comes again.
def read(text: str) -> Any:
    """What math-verify makes of an expression; an empty list where that is nothing."""
    # Without its own time limits: they end nothing that is not Python's. (None turns them off.)
    settings: Any = {"parsing_timeout": None, "raise_on_error": False}
    found = parse("\\boxed{" + as_latex(text) + "}", READERS, **settings)
    return [item for item in found if not isinstance(item, str)]


def equality(given: str, expected: str) -> str:
    """`equal`, `different` or `unknown`."""
    right, answer = read(expected), read(given)
    if not right or not answer:
        return "unknown"
    return "equal" if verify(right, answer, timeout_seconds=None, raise_on_error=False) else "different"


def work(connection: socket.socket) -> None:
    """Answer questions until there are none any more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with connection, connection.makefile("rb") as lines:
        for line in lines:
            question = json.loads(line)
            # The default of these signals ends the process, whatever it is in.
            signal.setitimer(signal.ITIMER_PROF, question["seconds"])
            signal.setitimer(signal.ITIMER_REAL, 10 * question["seconds"] + 5)
            try:
                said = equality(question["given"], question["expected"])
            except (Exception, RecursionError, MemoryError):
                said = "unknown"
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(f"{said}\n".encode())


def main() -> None:
    control = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the server, whose end ends this.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system buries the workers.
    logging.disable(logging.CRITICAL)
    for given, expected in (("1/2", "0.5"), ("2\\sqrt{3}", "\\sqrt{12}"), ("(1,2]", "(1,2]"), ("\\{1,2\\}", "x^2")):
        equality(given, expected)
    gc.freeze()
    with suppress(BrokenPipeError):  # The server may have ended meanwhile.
        control.sendall(b"r")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        for descriptor in descriptors:
            if os.fork() == 0:
                control.close()
                try:
                    work(socket.socket(fileno=descriptor))
                finally:
                    os._exit(0)
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
