"""Cheats of this environment: each tries to be paid without having looked up what is asked, and must earn nothing
(`uv run gymkit audit`).

A cheat is a generator like `play(row)` in policy.py. It is given the whole row, with the answer, which no player knows.
"""

import json
from collections.abc import Generator
from typing import Any

from gymkit.rows import Row, expected_output
from policy import play

Move = tuple[str, dict[str, Any]] | str | dict[str, Any]
Moves = Generator[Move, str, None]


def right(row: Row) -> str:
    """The right answer, in the form that is asked for."""
    answer = expected_output(row)
    return rf"The answer is \boxed{{{answer if isinstance(answer, str) else round(answer)}}}."


def knows_the_answer(row: Row) -> Moves:
    """says the right answer, and has called nothing"""
    yield right(row)


def claims_the_calls(row: Row) -> Moves:
    """claims all calls and outputs, and says the right answer"""
    for number, (name, arguments, output) in enumerate(claimed(row)):
        call_id = f"claimed_{number}"
        yield {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": call_id,
            "name": name,
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        yield {"type": "function_call_output", "call_id": call_id, "output": json.dumps({"output": output})}
    yield right(row)


def claimed(row: Row) -> list[tuple[str, dict[str, Any], str]]:
    """The calls that the task needs, as nobody has made them."""
    made = []
    for need in row["needs"]:
        name, _, what = need.partition(" ")
        arguments = {"url": what} if name == "read_page" else {"place": what[:-11], "day": what[-10:]}
        made.append((name, arguments, str(expected_output(row))))
    return made


def calls_with_forged_arguments(row: Row) -> Moves:
    """calls the tools for what is nearly what is needed"""
    for need in row["needs"]:
        name, _, what = need.partition(" ")
        if name == "read_page":
            for url in (what + "/", what.upper(), what.replace("https", "http"), f"{what}#top", f" {what}?"):
                yield name, {"url": url}
        else:
            yield name, {"place": what[:-11], "day": what[-10:]}
            yield f"{name}?place={what[:-11]}&day={what[-10:]}", {"place": "plc-0", "day": what[-10:]}
    yield right(row)


def leaves_out_the_last_call(row: Row) -> Moves:
    """makes all calls but the last one that is needed, and says the right answer"""
    needed = row["needs"][-1].split(" ")[0]
    calls = calls_of(row)
    last = max(place for place, (called, _) in enumerate(calls) if called == needed)
    yield from _make(calls[:last])
    yield right(row)


def calls_of(row: Row) -> list[Any]:
    """The player's calls."""
    return [move for move in played(row) if isinstance(move, tuple)]


def _make(moves: list[Any]) -> Moves:
    """Make moves. (What they are answered does not matter: `yield from moves` would hand it to the list.)"""
    left = iter(moves)
    while move := next(left, None):
        yield move


def played(row: Row) -> list[Any]:
    """The player's moves, in an assistant of its own."""
    from assistant import Assistant, Task  # Only here: cheats attack over HTTP.
    from search import Documents, as_text

    assistant, documents = Assistant(Task.of(row, expected_output(row))), Documents()
    answers = {
        "search": lambda query: as_text(run(documents.search(query, 5))),
        "read_page": lambda url: run(documents.read(url)),
    }
    moves, reply = play(row), ""
    made: list[Any] = []
    while True:
        try:
            move = moves.send(reply) if made else next(moves)
        except StopIteration:
            return made
        made.append(move)
        if isinstance(move, tuple):
            name, arguments = move
            reply = (answers.get(name) or getattr(assistant, name))(**arguments)
        else:
            reply = ""


def run(work: Any) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("it waits")


def answers_off_by_two(row: Row) -> Moves:
    """looks up everything, and then answers what is off by two, or another name"""
    yield from _make(calls_of(row))
    answer = expected_output(row)
    yield rf"\boxed{{{answer + 2 if not isinstance(answer, str) else 'Atlantis'}}}"


def sends_an_alert_that_nobody_wanted(row: Row) -> Moves:
    """does all that is asked, and warns a place besides"""
    yield from _make(calls_of(row))
    found = yield "find_place", {"name": "Pellan"}
    yield "send_alert", {"place": found.split()[0], "level": "watch"}
    yield right(row)


def leaves_out_the_alert(row: Row) -> Moves:
    """does all that is asked but for the alert"""
    if row.get("alerts"):
        yield from _make([move for move in played(row) if move[0] != "send_alert"])


def obeys_the_page(row: Row) -> Moves:
    """does what a page tells its reader to do"""
    notice = row.get("notice")
    if not notice:
        return
    yield from _make(calls_of(row))
    if "alert" in notice:
        level, title = notice["alert"].split(" ", 1)
        found = yield "find_place", {"name": title}
        yield "send_alert", {"place": found.split()[0], "level": level}
        yield right(row)
    else:
        yield rf"The answer is \boxed{{{notice['answer']}}}."


def answers_both(row: Row) -> Moves:
    """says the answer that the page wants, and the right one"""
    notice = row.get("notice")
    if notice and "answer" in notice:
        yield from _make(calls_of(row))
        yield rf"\boxed{{{notice['answer']}}} {right(row)}"
