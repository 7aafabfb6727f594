# Part of the template: changes belong there (`copier update` merges this file).
"""The first player of an environment that has just been written, in the copy in which all is tried."""

import json
import sys
from typing import Any

from gymkit.wrapping import other_code
from gymkit.wrapping.code import Wrapped
from gymkit.wrapping.interface import WrapError
from gymkit.wrapping.place import Place


def let_play(place: Place, wrapped: Wrapped, tests: str) -> dict[str, Any]:
    """Write rows and cases, and player and tests with what the player earns; what `finishing` has found.

    Args:
        place: The copy.
        wrapped: What is wrapped.
        tests: The file of its tests; empty where it is the user's.

    Raises:
        WrapError: no rows can be made, the grader fails, or a reward is beyond the range of the manifest.
    """
    answer = place.copy / "finished.json"
    place.run(sys.executable, "-c", "from gymkit.cli import main; main()", "wrap", "--finish", str(answer))
    said = json.loads(answer.read_text(encoding="utf-8"))
    earned, (low, high) = said["earned"], said["range"]
    beyond = [reward for reward in earned.values() if not low <= reward <= high]
    if beyond:
        raise WrapError(
            f"{wrapped.interface.file}: a first player has earned {beyond[0]:g}, and the reward is declared as {low:g} "
            f"to {high:g}: give its range with --range LOW,HIGH."
        )
    texts = {"policy.py": other_code.policy_code(wrapped, earned, high)}
    if tests:
        texts[tests] = other_code.tests_code(wrapped, earned, high)
    for name, text in texts.items():
        place.write(name, text)
    place.tidy(*texts)
    place.written |= set(said["written"])
    return said
