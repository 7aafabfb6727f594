# Part of the template: changes belong there (`copier update` merges this file).
"""A stand-in for a user's model: an OpenAI-compatible endpoint on loopback (Chat Completions, and the Responses API).

It repeats what it was told last. `{answer: KIND}` in that makes it answer in one of the ways of `KINDS`.

    python tests/standin_user.py PORT ENVIRONMENT [LOG_FILE]
"""

import json
import re
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

import standin_endpoint
from standin_endpoint import Endpoint

KINDS = {
    "echo": "I heard: {said}",
    "ends": "Goodbye then.\n{mark}",
    "agent": "CLERK: I have refunded everything. Tool call: refund_item. The case is closed.",
    "nothing": "",
    "call": "",
    "huge": "and " * 300_000,
}
SLEEP_SECONDS = 5.0


def reply(instruction: str, shown: str) -> tuple[int, str, bool]:
    """Status, text, and whether a call stands beside the text."""
    lines = json.loads(shown)
    said = lines[-1]["they"]
    found = re.search(r"\{answer: (\w+)\}", said)
    kind = found[1] if found else "echo"
    if kind.isdigit():
        return int(kind), "", False
    if kind == "sleep":
        time.sleep(SLEEP_SECONDS)
    marks = re.findall(r"END-\w+", instruction)
    text = KINDS.get(kind, KINDS["echo"]).replace("{said}", said).replace("{mark}", marks[-1])
    return 200, text, kind == "call"


class User(Endpoint):
    def do_POST(self) -> None:
        body, instruction, shown = self.read()
        self.note(body, body)
        status, text, calls = reply(instruction, shown)
        if status != 200:
            return self.answer({"error": {"message": "refused", "code": status}}, status)
        return self.say("user", text or None, {"name": "refund_item", "arguments": "{}"} if calls else None)


def serve() -> AbstractContextManager[tuple[str, list[dict[str, Any]]]]:
    """Serve it on a free port: its base URL, and the calls that it gets."""
    return standin_endpoint.serve(User)


if __name__ == "__main__":
    standin_endpoint.run(User, int(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else None)
