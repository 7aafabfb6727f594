"""A keyless server that anybody may reach, under a stranger: who gets a session, who waits for how long, what it takes.

    uv run python benchmarks/strangers.py ENVIRONMENT [--seconds 600] [--archetype game]

ENVIRONMENT is a generated game with its .venv; a copy of it is served on all addresses of this machine, so that callers
from 127.0.0.2 and 127.0.0.3 are strangers to each other. In turn:

- *stall*: the worst bodies that are accepted, and some that are refused, one after the other, while another client asks
  for /health without a pause: its longest wait is the longest stall of the event loop, and more;
- *places*: 127.0.0.2 opens sessions as fast as it can; 127.0.0.3 begins an episode 20 times, and plays each to its
  reward;
- *memory*: hostile seeds for `--seconds`: large rows, small bodies that grow, wide prompts, keys, bodies that never
  end, from two addresses; the server's resident memory is sampled.

Prints figures, and a list of checks. Exits with 1 where one fails. Ten minutes and a half; a short form is in CI.
"""

import argparse
import json
import multiprocessing
import random
import secrets
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from served import Served, served

STRANGER, OTHER, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
MB = 1_000_000
PROMPT = {"responses_create_params": {"input": "x"}}

MOST_WAIT = 5.0
"""Seconds within which a client gets a session."""
MOST_MEMORY_MB = 2_500
"""Of the server, under hostile seeds: rows (256 MB), large bodies (512 MB of seeds, 512 of others), what they leave."""


class Client:
    """One connection from an address of this machine, with its cookie."""

    def __init__(self, port: int, address: str, timeout: float = 60) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout, source_address=(address, 0))
        self.cookie: str | None = None

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        cookie = answer.headers.get("set-cookie")
        self.cookie = cookie.partition(";")[0] if cookie else self.cookie
        return answer.status, answer.read()

    def post(self, path: str, body: Any) -> Any:
        status, text = self.send("POST", path, json.dumps(body).encode())
        if status != 200:
            raise RuntimeError(f"{path} answered {status}: {text[:200]!r}")
        return json.loads(text)


# ----------------------------------------------------------------------------------------------------------- attackers


def flood(port: int, address: str, stop: "Synchronized[int]", counts: Any) -> None:
    """Open sessions as fast as it can, without ever using one."""
    body = json.dumps({**PROMPT, "ground_truth": [{"expected_output": "charm"}]}).encode()
    found: Counter[int] = Counter()
    while not stop.value:
        try:
            client = Client(port, address, 30)
            while not stop.value:
                client.cookie = None
                found[client.send("POST", "/seed_session", body)[0]] += 1
        except (OSError, HTTPException):
            found[0] += 1
            time.sleep(0.01)
    counts.put(found)


def hostile_bodies(row_key: str) -> list[bytes]:
    """Seeds that take as much as they may, or more."""

    def row(more: str, prompt: str = '"x"') -> bytes:
        begin = f'{{"ground_truth":[{{"expected_output":"charm"}}],"row_key":"{row_key}",{more}'
        return f'{begin}"responses_create_params":{{"input":{prompt}}}}}'.encode()

    return [
        row('"a":"' + "x" * random.randint(1, 9) * MB + '",'),
        row('"a":[' + ",".join(["[]"] * random.randint(10_000, 90_000)) + "],"),
        row('"a":[' + ",".join(map(str, range(random.randint(10_000, 200_000)))) + "],"),
        row("".join(f'"{random.random()}":1,' for _ in range(20_000))),
        row('"' + "k" * random.randint(1, 6) * MB + '":1,'),
        row("", '"' + "x" * 30 * MB + '"'),
        row("", "[" + ",".join(["{}"] * 90_000) + "]"),
        row('"a":"' + "x" * 8_000 + '",'),
    ]


def hostile_seeds(port: int, address: str, stop: "Synchronized[int]", counts: Any) -> None:
    """Seed with such bodies, end some of the sessions, and leave some requests in the middle."""
    found: Counter[int] = Counter()
    while not stop.value:
        key = secrets.token_hex(8)
        try:
            for body in hostile_bodies(key):
                client = Client(port, address, 30)
                if random.random() < 0.2:
                    client.connection.connect()
                    head = f"POST /seed_session HTTP/1.1\r\nHost: x\r\nContent-Length: {60 * MB}\r\n\r\n".encode()
                    client.connection.sock.sendall(head + body[: MB // 2])
                    found[0] += 1
                    continue
                status, _ = client.send("POST", "/seed_session", body)
                found[status] += 1
                if status == 200 and random.random() < 0.5:
                    verdict = json.loads(body) | {"response": RESPONSE}
                    client.send("POST", "/verify", json.dumps(verdict).encode())
                if stop.value:
                    break
        except (OSError, HTTPException):
            found[-1] += 1
    counts.put(found)


RESPONSE: dict[str, Any] = {
    **{"id": "r", "created_at": 0, "model": "m", "object": "response", "output": [], "parallel_tool_calls": False},
    **{"tool_choice": "auto", "tools": []},
}


@contextmanager
def attacked(what: Callable[..., None], port: int, addresses: list[str]) -> Iterator[Counter[int]]:
    """A process for each address that attacks; what it was answered is there at the end."""
    stop, counts = multiprocessing.Value("i", 0), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=what, args=(port, address, stop, counts)) for address in addresses]
    for process in processes:
        process.start()
    found: Counter[int] = Counter()
    try:
        yield found
    finally:
        stop.value = 1
        for _ in processes:
            found.update(counts.get(timeout=60))
        for process in processes:
            process.join(10)


# ---------------------------------------------------------------------------------------------------- what is measured


def places(port: int, row: dict[str, Any], episodes: int) -> list[str]:
    waits = []
    with attacked(flood, port, [STRANGER] * 8) as found:
        time.sleep(2)
        for number in range(episodes):
            client = Client(port, OTHER)
            own: dict[str, Any] = row | {"row_key": f"{number}-{secrets.token_hex(8)}"}
            started = time.monotonic()
            client.post("/seed_session", own)
            waits.append(time.monotonic() - started)
            output = client.post("/guess", {"word": own["ground_truth"][0]["expected_output"]})["output"]
            reward = client.post("/verify", own | {"response": RESPONSE})["reward"]
            assert reward == 1.0, output
    print(f"places: the stranger was answered {dict(found)} times;")
    print(
        f"  {episodes} episodes of another, all to their reward: a session after "
        f"{statistics.median(waits) * 1000:.0f} ms (median), {max(waits) * 1000:.0f} ms (longest)"
    )
    return [f"a session within {MOST_WAIT:g} s, {episodes} of {episodes}"] if max(waits) > MOST_WAIT else []


def worst_bodies() -> dict[str, bytes]:
    """Bodies at the limits, in the order in which they take longer; and some beyond them."""
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    content = [{"type": "output_text", "text": "", "annotations": []}]

    def verify(output: str) -> bytes:
        response = json.dumps(RESPONSE).replace('"output": []', f'"output": [{output}]')
        row = '{"row_key":"KEY","ground_truth":"charm","responses_create_params":{"input":"x"}'
        return f'{row},"response":{response}}}'.encode()

    small = json.dumps(item | {"content": content})
    many = json.dumps(item | {"content": "CONTENT"}).replace(
        '"CONTENT"', f"[{','.join([json.dumps(content[0])] * 16_000)}]"
    )
    call = '{"type":"function_call","id":"c","call_id":"c","name":"guess","arguments":"{}","status":"completed"}'
    picture = json.dumps(item | {"content": [content[0] | {"text": "x" * 60 * MB}]})
    tokens = json.dumps(item | {"content": content})[:-1] + f',"tokens":[{",".join(["123456"] * 3_900_000)}]}}'
    texts = json.dumps(item | {"content": [content[0] | {"text": "😀" + "x" * 3_900_000}]})
    return {
        "empty lists": b'{"a":[%b]}' % b",".join([b"[]"] * 97_000),
        "objects": b'{"a":[%b]}' % b",".join([b'{"a":1}'] * 60_000),
        "keys": b"{%b}" % b",".join(b'"%d":1' % number for number in range(150_000)),
        "texts": b'{"a":[%b]}' % b",".join([b'"ab"'] * 430_000),
        "numbers among others": b'{"a":[%b,{}]}' % b",".join([b"1"] * 1_450_000),
        "escapes": b'{"a":["%b"]}' % b'","'.join([b"\\n" * 120] * 12_000),
        "a text beyond ASCII": ('{"a":"' + "x" * 3_900_000 + '😀"}').encode(),
        "verify: messages": verify(",".join([small] * 9_000)),
        "verify: parts of one message": verify(many),
        "verify: calls": verify(",".join([call] * 17_000)),
        "verify: pictures": verify(picture),
        "verify: tokens": verify(tokens),
        "verify: texts beyond ASCII": verify(",".join([texts] * 15)),
        "refused: nested lists": b'{"a":' + b"[" * 12 * MB + b"]" * 12 * MB + b"}",
        "refused: many lists": b'{"a":[' + b",".join([b"[]"] * 8 * MB) + b"]}",
        "refused: a number": b'{"a":' + b"9" * 60 * MB + b"}",
    }


def longest_wait(port: int, stop: "Synchronized[int]", longest: "Synchronized[float]") -> None:
    client = Client(port, OTHER)
    client.send("GET", "/health")
    while not stop.value:
        started = time.monotonic()
        client.send("GET", "/health")
        longest.value = max(longest.value, time.monotonic() - started)


def stall(port: int, most: float) -> list[str]:
    too_long = []
    print("stall: the longest wait of another client for /health while one body is read")
    for kind, body in worst_bodies().items():
        client = Client(port, STRANGER, 300)
        path = "/seed_session"
        if kind.startswith("verify"):
            key = secrets.token_hex(8)
            body = body.replace(b'"KEY"', json.dumps(key).encode())
            client.post("/seed_session", {**PROMPT, "row_key": key, "ground_truth": "charm"})
            path = "/verify"
        stop, longest = multiprocessing.Value("i", 0), multiprocessing.Value("d", 0.0)
        watching = multiprocessing.Process(target=longest_wait, args=(port, stop, longest))
        watching.start()
        time.sleep(0.3)
        started = time.monotonic()
        try:
            status, answer = client.send("POST", path, body)
        except OSError as error:  # It hung up while the body was being sent.
            status, answer = 0, str(error).encode()
        seconds = time.monotonic() - started
        stop.value = 1
        watching.join()
        text = "" if status == 200 else answer[:70].decode(errors="replace")
        print(
            f"  {kind:30s} {len(body) / MB:6.1f} MB  {status}  {seconds:6.2f} s  stall {longest.value * 1000:5.0f} ms"
            f"  {text}"
        )
        if longest.value > most:
            too_long.append(f"{kind}: a stall of at most {most * 1000:g} ms")
    return too_long


def memory(server: Served, port: int, row: dict[str, Any], seconds: float) -> list[str]:
    begin = server.rss_mb()
    most, waits, failed = begin, [], 0
    with attacked(hostile_seeds, port, [STRANGER, STRANGER, STRANGER, THIRD]) as found:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            most = max(most, server.rss_mb())
            started = time.monotonic()
            try:
                client = Client(port, OTHER, 30)
                own: dict[str, Any] = row | {"row_key": secrets.token_hex(8)}
                client.post("/seed_session", own)
                client.post("/guess", {"word": own["ground_truth"][0]["expected_output"]})
                failed += client.post("/verify", own | {"response": RESPONSE})["reward"] != 1.0
            except (OSError, HTTPException, RuntimeError) as error:
                print(f"  an episode of another: {error!r}")
                failed += 1
            waits.append(time.monotonic() - started)
            time.sleep(0.2)
    end = server.rss_mb()
    print(f"memory: {seconds:g} s of hostile seeds, answered {dict(found)} (0: left in the middle, -1: cut off)")
    print(
        f"  resident: {begin:.0f} MB before, {most:.0f} MB at most, {end:.0f} MB after; "
        f"{server.descriptors()} descriptors"
    )
    print(
        f"  another played {len(waits)} episodes meanwhile, {failed} failed; an episode took {max(waits):.2f} s at most"
    )
    wrong = [f"memory of at most {MOST_MEMORY_MB} MB"] if most > MOST_MEMORY_MB else []
    return wrong + (["every episode of another to its reward"] if failed else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("--seconds", type=float, default=600, help="of hostile seeds")
    parser.add_argument("--episodes", type=int, default=20, help="of another, under a stranger")
    parser.add_argument(
        "--most-stall", type=float, default=0.2, help="seconds for which the event loop may stand still"
    )
    options = parser.parse_args()
    row = json.loads((options.environment / "data" / "demo.jsonl").read_text(encoding="utf-8").splitlines()[0])
    wrong: list[str] = []
    with served(options.environment.resolve(), environ={"ENV_HOST": "0.0.0.0"}, max_sessions=200) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 5, (STRANGER, 0)):
            pass  # This machine has these addresses.
        wrong += stall(port, options.most_stall)
        wrong += places(port, row, options.episodes)
        wrong += memory(server, port, row, options.seconds)
    for check in wrong:
        print(f"FAIL  {check}")
    print("all as it should be" if not wrong else f"{len(wrong)} checks failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
