"""A stand-in for a language model that answers in words of its own, so that no rule decides and a judge is asked.

It is `standin_model.py`, but for questions with an answer in a few words: there it says the right one and more. Where
the prompt holds `{answer: WAY}`, it says what the judge's stand-in fails at in that way.

    python standins/paraphrasing_model.py PORT FOLDER_OF_ENVIRONMENT LOG_FILE
"""

import re
from typing import Any

from standin_model import Call, Handler, gives_up, next_turn, rows_by_prompt, serve


def paraphrased(folder: str, prompt: str, outputs: list[str], tools: list[str]) -> tuple[list[str], Call | None]:
    """What is said, and no call."""
    row: dict[str, Any] = rows_by_prompt(folder)[prompt]
    if row.get("kind") != "words" or gives_up(prompt):
        return next_turn(folder, prompt, outputs, tools)
    way = re.search(r"\{answer: (\w+)\}", prompt)
    answer = row["ground_truth"][0]["expected_output"][0]
    return [rf"\boxed{{{answer}, I believe{f' [{way[1]}]' if way else ''}}}"], None


class Paraphrasing(Handler):
    turn = staticmethod(paraphrased)


if __name__ == "__main__":
    serve(Paraphrasing)
