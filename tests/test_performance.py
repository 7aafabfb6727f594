"""A short form of benchmarks/side_by_side.py: what a training run depends on, with wide margins, for busy machines."""

import json
from collections.abc import Iterator
from statistics import median

import pytest
from conftest import Environments
from contenders import BARE, BLOCK, ECHO, EXAMPLE, SEED_WAY, Contender, all_served, contenders
from generated import FULL, LINES, Environment
from load import Call, Load, LoadFailed, RunningLoad, load, open_sessions, play_episodes
from served import Served

pytestmark = [pytest.mark.alone, pytest.mark.xdist_group("alone"), pytest.mark.needs("wrk")]

GAME = "generated game"
ROUNDS = 2


@pytest.fixture(scope="module", params=LINES if FULL else LINES[-1:])
def servers(request: pytest.FixtureRequest, environments: Environments) -> dict[str, Contender]:
    """A generated game and what it is compared with, by name."""
    environment: Environment = environments("game", request.param)
    return {server.name: server for server in contenders({"game": environment.path}) if server.name != EXAMPLE}


@pytest.fixture(scope="module")
def game(servers: dict[str, Contender]) -> Iterator[Served]:
    with servers[GAME].serve(max_sessions=200) as running:
        yield running


def test_calls_per_second_of_a_bare_app_and_of_the_seeds_way(servers: dict[str, Contender]) -> None:
    """In the full benchmark: as many as the bare app, and more than seven times those of the seed's way."""
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    with all_served(list(servers.values())) as running:
        cookies = {name: open_sessions(running[name].url, [servers[name].seed], 65) for name in servers}
        for _ in range(ROUNDS):
            for name in servers:
                loads[name].append(load(running[name].url, ECHO, cookies[name], 64, 2))
    calls = {name: median(one.calls for one in own) for name, own in loads.items()}
    print(f"\ncalls/s: {calls}")
    assert calls[GAME] > 0.5 * calls[BARE]
    assert calls[GAME] > 3 * calls[SEED_WAY]


def test_a_blocking_tool_holds_up_nobody(servers: dict[str, Contender], game: Served) -> None:
    """64 calls of 100 ms at once are 640 calls/s at most; one after the other, 10."""
    cookies = open_sessions(game.url, [servers[GAME].seed], 65)
    best = max(load(game.url, BLOCK, cookies, 64, 2).calls for _ in range(ROUNDS))
    assert best > 200


def test_a_full_server_refuses_at_once_and_goes_on(servers: dict[str, Contender]) -> None:
    seed = servers[GAME].seed
    refusal = Call("/seed_session", json.dumps(seed), "full", 503, "retry-after")
    with servers[GAME].serve(max_sessions=2_000, wait_seconds=0) as running:
        cookies = open_sessions(running.url, [seed], 2_000)
        with pytest.raises(LoadFailed, match="503"):
            open_sessions(running.url, [seed], 1)
        refused, inside = [], []
        for _ in range(ROUNDS):
            flood = RunningLoad(running.url, refusal, [], 64, 3, pause=0.1)
            inside.append(load(running.url, ECHO, cookies, 64, 2, pause=0.1))
            refused.append(flood.result())
    # Half a millisecond where the machine has nothing else to do.
    assert min(one.p50 for one in refused) < 0.05
    assert min(one.p50 for one in inside) < 0.05
    assert max(one.calls for one in inside) > 400  # 640 at most, with these pauses


@pytest.mark.full
def test_memory_stays_where_it_is(servers: dict[str, Contender]) -> None:
    episode = servers[GAME].episode()
    with servers[GAME].serve() as running:
        # As many ended sessions are remembered at most.
        play_episodes(running.url, episode, 4_500)
        before = running.rss_mb()
        play_episodes(running.url, episode, 4_500)
        # A session that is kept takes 1.7 KB, so all of them 7 MB.
        assert running.rss_mb() - before < 2
