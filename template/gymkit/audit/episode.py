# Part of the template: changes belong there (`copier update` merges this file).
"""One episode as NeMo Gym's agents play it: whatever name is called is posted to, with the session's cookie."""

import json
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

from gymkit.access import is_loopback
from gymkit.client import EnvironmentClient, RolloutError
from gymkit.episodes import verify_request
from gymkit.items import Item, function_call, message, output_text, text_of
from gymkit.pictures import take_apart
from gymkit.rows import Row
from gymkit.turns import MOST_SAID, USER_TURN, has_user, read_answer

Move = tuple[str, Any] | str | Item
"""A call as `(name, body)`, a text to say, or an item of the response as it stands."""
Moves = Generator[Move, str, None]
"""A cheat: it is sent the text that each call is answered with, and what a user answers to a text, where there is one;
an empty text after anything else."""

MOST_ITEMS = 400


class Connections:
    """Clients of one environment, each with a cookie of its own, which share their connections: to open one for each
    episode would take longer than many an episode does."""

    def __init__(self, url: str, at_once: int) -> None:
        self.url = url
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=2 * at_once)
        self._local = is_loopback(urlsplit(url).hostname or "")

    def client(self) -> EnvironmentClient:
        client = EnvironmentClient(self.url)
        client.http.mount(self.url, self._adapter)
        client.http.trust_env = not self._local  # No proxy stands in between.
        return client


class NoEpisode(Exception):
    """No episode can be made from a row. The message is what the server says."""


class Agent:
    """One session of a row.

    Raises:
        NoEpisode: the server refuses the row.
        RolloutError: the server cannot be reached, or fails.
    """

    def __init__(self, connections: Connections, row: Row) -> None:
        self.row = row
        self.client = connections.client()
        seeded = self.client.post_again("/seed_session", row)
        if seeded.status_code == 422:
            raise NoEpisode(output_text(seeded.text)[:300])
        if not seeded.ok:
            raise RolloutError(f"/seed_session answered {seeded.status_code}: {seeded.text[:300]}")
        self.items: list[Item] = []
        self.gained: str | None = None
        """What the first control call that should have gained nothing has gained, in one line."""

    def play(self, moves: Moves) -> None:
        """Make the moves of a cheat."""
        begun, reply = False, ""
        while len(self.items) < MOST_ITEMS:
            try:
                move = moves.send(reply) if begun else next(moves)
            except StopIteration:
                return
            begun, reply = True, ""
            if isinstance(move, str):
                self.items.append(message(len(self.items), move))
                reply = self._say(move) if has_user(self.row) else ""
            elif isinstance(move, dict):
                self.items.append(move)
            else:
                reply = self.call(*move)

    def _say(self, text: str) -> str:
        """Say something to the user, as an agent does; what he answers."""
        answered = self.client.post(USER_TURN, {"text": text[:MOST_SAID]})
        answer = read_answer(answered.status_code, answered.text)
        if answer.item is None:
            return ""
        self.items.append(answer.item)
        return text_of(answer.item)

    def call(self, name: str, body: Any) -> str:
        """Post to a name, and keep call and answer in the transcript; the answer's text."""
        answer = self.client.post(f"/{name}", body)
        made = function_call(len(self.items), name, json.dumps(body))
        text = take_apart(answer.text).output
        self.items += [made, {"type": "function_call_output", "call_id": made["call_id"], "output": text}]
        self.gained = self.gained or _gained(name, answer.status_code, answer.text)
        return output_text(text)

    def verdict(self) -> Item:
        """Ask for the verdict as an agent does, with the whole row."""
        request = verify_request(self.row, self.items, "gymkit audit")
        request["response"]["created_at"] = 0.0  # The same when it is asked for again.
        return self.client.post_ok("/verify", request)


def _gained(name: str, status: int, text: str) -> str | None:
    """What a control call within an open session has gained: a new episode, or a verdict without the whole row."""
    if name == "seed_session" and status < 400:
        return "seed_session began the episode anew"
    if name == "verify" and status < 400:
        try:
            answer = json.loads(text)
        except ValueError:
            return None
        if answer.get("mask_sample") is not True:
            return f"verify without the whole row was given a verdict, {answer.get('reward')}"
    return None
