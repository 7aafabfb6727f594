"""Measure the local desktops of a generated computer-use environment: run it in that environment's folder.

    .venv/bin/python PATH/TO/desktops.py latency [SESSIONS] [CLICKS]     click + fresh picture, sessions at once
    .venv/bin/python PATH/TO/desktops.py leftovers [EPISODES]            every tenth display or application is killed
    .venv/bin/python PATH/TO/desktops.py compare FOLDER ...  [ROUNDS]    `latency` in several environments, in turns

`latency` prints p50, p99 and the bytes of a picture; `leftovers` exits 1 where anything is left over. The environments
of `compare` may be of other releases of the template; each has its own .venv.
"""

import base64
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path[:0] = [".", "tests"]

import uvicorn  # noqa: E402
from desktop import backend  # noqa: E402
from harness import SERVER_CLASS, Client, play_row  # noqa: E402

from gymkit.fixture import make_server  # noqa: E402
from gymkit.rows import data_path, read_rows  # noqa: E402

PLACES = [(76, 92), (202, 92), (328, 92), (454, 92)]  # The tabs: each click changes most of the screen.


def serve() -> tuple[Any, str]:
    """The environment's server on a free port, in this process."""
    import socket

    server = make_server(SERVER_CLASS)
    app = server.setup_webserver()
    server.setup_liveness(app)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not running.started:
        time.sleep(0.01)
    return server, f"http://127.0.0.1:{listener.getsockname()[1]}"


def latency(sessions: int = 8, clicks: int = 25) -> None:
    _, url = serve()
    row = read_rows(data_path("example"))[0]

    def one(_: int) -> tuple[float, list[float], list[int]]:
        client = Client(url)
        client.seed(row)
        started = time.perf_counter()
        client.post("/screenshot", json={})
        first = time.perf_counter() - started
        seconds, sizes = [], []
        for number in range(clicks):
            x, y = PLACES[(number + 1) % len(PLACES)]
            started = time.perf_counter()
            image = client.post("/left_click", json={"x": x, "y": y}).json()["image"]
            seconds.append(time.perf_counter() - started)
            sizes.append(len(base64.b64decode(image.partition(",")[2])))
        client.post("/close_session")
        return first, seconds, sizes

    with ThreadPoolExecutor(sessions) as pool:
        results = list(pool.map(one, range(sessions)))
    taken = sorted(second for _, seconds, _ in results for second in seconds)
    sizes = [size for _, _, more in results for size in more]
    firsts = sorted(first for first, _, _ in results)
    print(f"{sessions} sessions at once, {len(taken)} clicks, load {os.getloadavg()[0]:.1f}")
    print(f"first picture (desktop's start): {statistics.median(firsts):.2f} s, up to {firsts[-1]:.2f} s")
    p50, p99 = (taken[int(len(taken) * part)] * 1e3 for part in (0.5, 0.99))
    print(f"click + fresh picture: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"bytes per picture: {statistics.mean(sizes):,.0f} on average, {max(sizes):,} at most")


def compare(*arguments: str) -> None:
    """Medians over the rounds, of what each environment's `latency` prints."""
    rounds = int(arguments[-1]) if arguments[-1].isdigit() else 3
    folders = [Path(argument) for argument in arguments if not argument.isdigit()]
    said: dict[Path, list[list[float]]] = {folder: [] for folder in folders}
    names = ("first picture", "last first picture", "click, p50", "click, p99", "alone: click", "alone: first picture")
    patterns = (r": ([\d.]+) s,", r"up to ([\d.]+) s", r"p50 (\d+) ms", r"p99 (\d+) ms")
    for _ in range(rounds):
        for folder in folders:
            texts = [
                subprocess.run(
                    [".venv/bin/python", str(Path(__file__).resolve()), "latency", sessions],
                    cwd=folder,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
                for sessions in ("8", "1")
            ]
            found = [re.search(pattern, texts[0]) for pattern in patterns]
            found.append(re.search(patterns[2], texts[1]))
            found.append(re.search(patterns[1], texts[1]))
            assert all(found), texts
            said[folder].append([float(match[1]) for match in found if match])
            print(folder, said[folder][-1], flush=True)
    print(f"medians of {rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for folder, rows in said.items():
        values = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(folder, dict(zip(names, values, strict=True)))


def processes_with(text: bytes) -> list[int]:
    """Processes of other programs that name a text in their command line or environment."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                if any(text in (path / name).read_bytes() for name in ("cmdline", "environ")):
                    found.append(int(path.name))
            except OSError:
                continue
    return found


def leftovers(episodes: int = 100) -> None:
    tempfile.tempdir = tempfile.mkdtemp(prefix="leftovers-")
    sockets = set(Path("/tmp/.X11-unix").glob("X*")) if Path("/tmp/.X11-unix").is_dir() else set()
    server, url = serve()
    rows = read_rows(data_path("validation"))
    outcomes: dict[str, int] = {}
    displays: set[str] = set()
    forks_of = getattr(backend, "forks_of", lambda settings: None)  # A release before had none.
    lock = threading.Lock()

    def one(number: int) -> None:
        row = rows[number % len(rows)]
        client = Client(url)
        client.seed(row)
        if number % 10 == 9:
            client.post("/screenshot", json={})
            cookie = client.cookies.get_dict()[server.get_session_middleware_key()]
            desktop = server._sessions.find(cookie.strip('"')).state.desktop
            os.kill((desktop.display.server if number % 20 == 9 else desktop.app).pid, signal.SIGKILL)
            displays.add(desktop.display.name)
        if number == episodes // 2 and (forks := forks_of(server.config)) and forks.pid:
            os.kill(forks.pid, signal.SIGKILL)
        items = play_row(client, row)
        verdict = client.verdict(row, items)
        outcome = verdict["failure_kind"] if verdict["mask_sample"] else f"reward {verdict['reward']:g}"
        with lock:
            outcomes[outcome] = outcomes.get(outcome, 0) + 1

    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(episodes)))
    print(f"{episodes} episodes in {time.monotonic() - started:.0f} s: {outcomes}")
    time.sleep(2)
    new_sockets = [str(path) for path in Path("/tmp/.X11-unix").glob("X*") if path not in sockets]
    left = {
        "processes": processes_with(tempfile.tempdir.encode()),
        "folders": os.listdir(tempfile.tempdir),
        "sockets": new_sockets,
        "lock files of killed displays": [name for name in displays if os.path.exists(f"/tmp/.X{name[1:]}-lock")],
    }
    if not left["folders"]:
        os.rmdir(tempfile.tempdir)
    for what, found in left.items():
        print(f"{what} left over: {found or 'none'}")
    sys.exit(1 if any(left.values()) else 0)


if __name__ == "__main__":
    if sys.argv[1] == "compare":
        compare(*sys.argv[2:])
    else:
        {"latency": latency, "leftovers": leftovers}[sys.argv[1]](*map(int, sys.argv[2:]))
