"""`/metrics`, read by Prometheus' own parser."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI, Request
from harness import Client, LiveServer
from probe import ROW, NoArguments, ProbeServer
from prometheus_client.parser import text_string_to_metric_families

from gymkit.metrics import SECONDS
from gymkit.server import EnvironmentFailed

Serve = Callable[..., LiveServer]
Metrics = dict[tuple[str, ...], float]
"""The values, by name and the values of the labels in the order of the labels' names."""


class Failing(ProbeServer):
    """An environment that loses what it needs."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/lose")(self.lose)
        return app

    async def lose(self, body: NoArguments, request: Request) -> str:
        """Fail for want of a service."""
        raise EnvironmentFailed("the service is down")


def read(client: Client) -> Metrics:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name.removeprefix("gymkit_"), *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_all_that_happens_is_counted_while_it_is_asked_for(serve: Serve) -> None:
    live = serve(Failing, tool_seconds=0.5)
    episodes = 40

    def play(number: int) -> None:
        client = live.client()
        client.seed({**ROW, "number": number})
        assert client.tool("nothing") == "done"
        client.post("/wait", json={})
        client.post(f"/nonsense-{number}", json={})
        if number % 4 == 0:
            client.tool("lose")
        if number % 10 == 1:
            client.tool("wait", seconds=9)
        if number % 2:
            client.verdict({**ROW, "number": number})
        else:
            client.post("/close_session")

    with ThreadPoolExecutor(8) as pool:
        playing = [pool.submit(play, number) for number in range(episodes)]
        seen = [read(live.client()) for _ in range(20)]
        for each in playing:
            each.result()
    begun = [metrics["sessions_begun_total",] for metrics in seen]
    assert begun == sorted(begun) and begun[-1] <= episodes
    assert all(metrics["sessions_open",] <= 8 for metrics in seen)

    live.client().post("/verify", json={**ROW, "response": {"output": []}})  # It has no session.
    metrics = read(live.client())
    assert metrics["sessions_begun_total",] == episodes
    assert metrics["sessions_open",] == metrics["seeds_waiting",] == 0
    assert metrics["sessions_ended_total", "verified"] == metrics["sessions_ended_total", "closed"] == episodes / 2
    calls = {key[1:]: value for key, value in metrics.items() if key[0] == "tool_calls_total"}
    # By outcome and tool: nothing that a caller has made up.
    assert calls == {
        ("ok", "nothing"): episodes,
        ("mistake", "wait"): episodes,
        ("timeout", "wait"): 4,
        ("failed", "lose"): 10,
    }
    assert metrics["tool_call_seconds_count", "wait"] == episodes + 4
    assert metrics["tool_call_seconds_sum", "wait"] >= 4 * 0.5
    buckets = [value for key, value in metrics.items() if key[0] == "tool_call_seconds_bucket" and key[2] == "wait"]
    # Up to so many seconds; the last ones hold the time-outs too.
    assert buckets == sorted(buckets) and len(buckets) == len(SECONDS) + 1
    assert buckets[0] < episodes + 4 == metrics["tool_call_seconds_bucket", "60.0", "wait"] == buckets[-1]
    assert metrics["function_seconds_count", "new_episode"] == episodes
    assert metrics["verdicts_total", "none", "false"] == episodes / 2
    assert metrics["verdicts_total", "session_lost", "true"] == 1
    assert metrics["process_resident_memory_bytes",] > 1_000_000


def test_a_masked_sample_is_counted_by_its_kind(serve: Serve) -> None:
    client = serve(Failing).client()
    client.seed(ROW)
    client.tool("lose")
    client.tool("nothing")
    assert client.verdict(ROW)["mask_sample"]
    metrics = read(client)
    assert metrics["verdicts_total", "provider_unavailable", "true"] == 1
    assert metrics["tool_calls_total", "failed_before", "nothing"] == 1


def test_they_want_the_key_where_there_is_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV_API_KEY", "a-key-of-16-letters")
    client = serve(ProbeServer).client()
    assert client.get("/metrics").status_code == 401
    client.headers["Authorization"] = "Bearer a-key-of-16-letters"
    assert ("sessions_open",) in read(client)


def test_a_model_that_calls_metrics_by_name_gains_nothing(probe: LiveServer) -> None:
    client = probe.client()
    client.seed(ROW)
    assert "metrics" not in {tool["name"] for tool in client.tools()}
    answer = client.post("/metrics", json={})
    assert answer.status_code == 405
    assert "gymkit_" not in answer.text
    assert client.tool("nothing") == "done"
