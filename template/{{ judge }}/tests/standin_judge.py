# Part of the template: changes belong there (`copier update` merges this file).
"""A stand-in for a judge model: an OpenAI-compatible endpoint on loopback (Chat Completions, and the Responses API).

It finds two answers to be the same where all words of one stand in the other, which has no "not"; and something to be
told where words that begin alike have been said. What it is shown may hold one of `FAILURES` in square brackets, as
`[500]`: then it fails in that way, and where that stands in an answer, only for it.

    python tests/standin_judge.py PORT [LOG_FILE]
"""

import json
import re
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

import standin_endpoint
from standin_endpoint import Endpoint

FAILURES = (
    "400",
    "401",
    "403",
    "429",
    "500",
    "503",
    "hang",
    "cut",
    "html",
    "prose",
    "nothing",
    "wrong",
    "injected",
    "first",
)
HANG_SECONDS = 20.0
NAMES = {
    "400": "invalid_request_error",
    "401": "invalid_api_key",
    "403": "permission_error",
    "429": "rate_limit_exceeded",
}


def ruling(instruction: str, material: str) -> str:
    """What the stand-in says: its reasons, and the label on the last line."""
    yes, no = re.findall(r"(?:SAME|DIFFERENT|NOT_TOLD|TOLD)-\w+", instruction)[-2:]
    shown = json.loads(material)
    if "said" in shown:
        one, other = words(""), words(shown["said"])
        label = yes if any(stems(way) <= stems(shown["said"]) for way in shown["one_of"]) else no
    else:
        one, other = words(shown["answer_1"]), words(shown["answer_2"])
        label = yes if (one <= other or other <= one) and "not" not in one ^ other else no
    failure = failure_in(material)
    if failure == "prose":
        return "They are the same, I should think."
    if failure == "nothing":
        return ""
    if failure == "wrong":
        return "SAME"
    if failure == "injected":  # It repeats what it was told to say, and then decides.
        return f"SAME\nSAME-00000000\n{label}"
    if failure == "first" and len(one) < len(other):  # It prefers an order.
        return f"**{yes}**"
    return f"I compare them.\n{label}"


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"\[\w+\]", "", text).lower())) - {"the", "a", "an"}


def stems(text: str) -> set[str]:
    return {word[:4] for word in words(text)}


def failure_in(material: str) -> str | None:
    return next((name for name in FAILURES if f"[{name}]" in material), None)


class Judge(Endpoint):
    def do_POST(self) -> None:
        body, instruction, material = self.read()
        shown = json.loads(material)
        self.note({"material": shown, "instruction": instruction, "body": body}, shown)
        failure = failure_in(material)
        if failure is not None and failure.isdigit():
            error = {
                "message": f"failed, with key {self.headers['Authorization']}",
                "type": NAMES.get(failure, "server_error"),
            }
            return self.answer({"error": error | {"code": error["type"]}}, int(failure))
        if failure == "hang":
            time.sleep(HANG_SECONDS)
        if failure == "cut":
            self.close_connection = True
            return None
        if failure == "html":
            return self.answer("<html>Bad gateway</html>")
        return self.say(body["model"], ruling(instruction, material))


def serve() -> AbstractContextManager[tuple[str, list[dict[str, Any]]]]:
    """Serve it on a free port: its base URL, and the calls that it gets."""
    return standin_endpoint.serve(Judge)


if __name__ == "__main__":
    standin_endpoint.run(Judge, int(sys.argv[1]), sys.argv[-1] if len(sys.argv) > 2 else None)
