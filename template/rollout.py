# Part of the template: changes belong there (`copier update` merges this file).
"""Play episodes over HTTP, as a model does: seed, tool calls, verdict.

    uv run python rollout.py                                  one episode, by the environment's own player (no key)
    uv run python rollout.py --episodes 50 --concurrency 8    many, with a progress bar and a summary
    uv run python rollout.py --model M --base-url URL         by any OpenAI-compatible model (key: OPENAI_API_KEY)
    uv run python rollout.py --episodes 50 --output results/rollouts.jsonl    for `gymkit view` and `gym eval`
    uv run python rollout.py --record results/episode.html    leaves a page on which the episode can be watched

A picture in a tool's answer is shown to the model as an image, and saved in results/pictures/.

Without --url (or ENV_URL) it uses the environment that runs on port 11000, and starts one itself if none does.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gymkit.cli import load_player
from gymkit.client import RolloutError, running_environment, tools_of
from gymkit.episodes import play_episode, with_tools
from gymkit.errors import CommandError
from gymkit.items import Item
from gymkit.players import Policy
from gymkit.project import ROOT
from gymkit.proxies import never_for_loopback
from gymkit.recording import save_pictures, write_page
from gymkit.redaction import redacted
from gymkit.replies import clean
from gymkit.rows import Row, data_path, read_rows
from gymkit.terminal import console, shown
from gymkit.trajectories import collected, with_trajectory


class Summary:
    """Counts over all episodes of a run."""

    def __init__(self) -> None:
        self.rewards: list[float] = []
        self.masked: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def add(self, result: Item) -> None:
        if result.get("mask_sample"):
            kind, reason = result.get("failure_kind") or "unknown", result.get("failure_reason") or ""
            self.masked[f"{kind}: {reason}"[:200]] += 1
        else:
            self.rewards.append(result["reward"])

    def show(self, seconds: float) -> None:
        """Print the reward of one episode, or the mean and the counts of many."""
        graded = len(self.rewards)
        if graded == 1 and not self.masked and not self.failed:
            console.print(f"[bold]Reward: {self.rewards[0]:g}[/bold]")
            return
        mean = f"Mean reward: {sum(self.rewards) / graded:.3f}" if graded else "No reward"
        console.print(f"[bold]{mean}[/bold] over {graded} graded episodes in {seconds:.1f} s")
        for reward, count in sorted(Counter(self.rewards).items(), reverse=True):
            console.print(f"  reward {reward:g}: {count}")
        for what, counts in (("masked", self.masked), ("failed", self.failed)):
            for reason, count in counts.most_common():
                console.print(f"  [red]{what}[/red] ({shown(reason)}): {count}", soft_wrap=True)


def outcome(episode: "Future[Item]") -> tuple[Item | None, Exception | None]:
    """What an episode has left: its result, or as far as it was played and why no further."""
    error = episode.exception()
    if isinstance(error, Exception):
        return getattr(error, "played", None), error
    return episode.result(), None


def described(failure: Exception) -> str:
    """An episode's failure in one line; for a mistake in the code with the place where it is."""
    if isinstance(failure, RolloutError):
        return str(failure).splitlines()[0]
    frames = traceback.extract_tb(failure.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(failure).__name__}: {failure}{place}".split())


# ------------------------------------------------------------------------------------------------------------ main


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("ENV_URL"), help="the environment (default: ENV_URL, or local)")
    parser.add_argument("--data", type=Path, default=data_path("example"), help="the task rows to play")
    parser.add_argument("--row", type=int, default=0, help="number of the first row, counted from 0")
    parser.add_argument("--episodes", type=int, default=1, help="how many; rows are used again when they run out")
    parser.add_argument("--concurrency", type=int, default=1, help="episodes played at once")
    parser.add_argument("--max-turns", type=int, default=os.environ.get("MAX_TURNS", "20"), help="per episode")
    parser.add_argument("--model", default=os.environ.get("OPENAI_MODEL"), help="a model's name; without: policy.py")
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    parser.add_argument("--chat", action="store_true", help="use Chat Completions without asking for Responses first")
    parser.add_argument("--output", type=Path, help="write the trajectories there, as JSONL of /verify bodies")
    parser.add_argument("--atif", action="store_true", help="with --output: also what `gym eval export` reads (0.7)")
    parser.add_argument("--record", type=Path, help="write a page there on which the (last) episode can be watched")
    parser.add_argument("--wait", type=float, default=300, help="seconds to wait for a Space that sleeps")
    parsed = parser.parse_args()
    for name in ("episodes", "concurrency", "max_turns"):
        if getattr(parsed, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return parsed


def load_policies(options: argparse.Namespace) -> Callable[[Row], Policy]:
    """Who plays a row: the model that is named, else the environment's own player."""
    player = load_player()
    if not options.model:
        return player.policy
    from gymkit.models import Endpoint, Model  # OpenAI's client takes a second to import.

    api_key = os.environ.get("OPENAI_API_KEY") or "none"
    endpoint = Endpoint(options.base_url, options.model, api_key, options.chat)
    return lambda row: Model(endpoint, row["responses_create_params"])


def main() -> int:
    options = arguments()
    never_for_loopback()
    rows = read_rows(options.data)
    policy_of = load_policies(options)
    summary = Summary()
    single = options.episodes == 1
    started = time.monotonic()
    pictures: Path | None = None

    with running_environment(options.url) as url:
        tools = tools_of(url, options.wait)

        def episode(number: int) -> Item:
            place = (options.row + number) % len(rows)
            row = with_tools(rows[place], tools)
            began = time.time()

            def as_collected(result: Item) -> Item:
                result = collected(result, place, number // len(rows), time.time() - began)
                return with_trajectory(result, began) if options.atif else result

            try:
                return as_collected(play_episode(url, row, policy_of(row), options.max_turns, show=single))
            except Exception as error:
                if hasattr(error, "played"):
                    error.played = as_collected(error.played)  # pyright: ignore[reportAttributeAccessIssue]
                raise

        columns = (TextColumn("episodes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with (
            open(options.output or os.devnull, "w", encoding="utf-8") as output,
            Progress(*columns, console=console, disable=single) as progress,
            ThreadPoolExecutor(options.concurrency) as pool,
        ):
            bar = progress.add_task("episodes", total=options.episodes)
            futures = [pool.submit(episode, number) for number in range(options.episodes)]
            try:
                for future in as_completed(futures):
                    result, failure = outcome(future)
                    if result is not None:
                        output.write(redacted(json.dumps(clean(result), ensure_ascii=False)) + "\n")
                        output.flush()
                    if failure is not None:
                        if single:
                            raise failure
                        summary.failed[described(failure)] += 1
                    elif result is not None:
                        summary.add(result)
                        pictures = save_pictures(result, ROOT / "results" / "pictures")
                        if options.record:
                            write_page(result, options.record)
                    progress.advance(bar)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if pictures:
        console.print(f"[dim]Pictures: {pictures}[/dim]", soft_wrap=True)
    if options.record and options.record.exists():
        console.print(f"[dim]To watch: {options.record}[/dim]", soft_wrap=True)
    summary.show(time.monotonic() - started)
    if options.output:
        console.print(f"[dim]Trajectories: {options.output}[/dim]")
    return 1 if summary.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandError as error:
        console.print(f"[red]{shown(str(error))}[/red]", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
