"""The picture of docs/performance.md: throughput and latency over sessions, memory over episodes."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median

from contenders import BARE, EXAMPLE, SEED_WAY
from measures import Rates

COLOURS = {SEED_WAY: "#c0392b", EXAMPLE: "#d68910", BARE: "#7f8c8d"}
OURS = "#1f6f4a"


def require_matplotlib() -> None:
    """Exit with a sentence where it is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SystemExit(
            "The picture is drawn by matplotlib: uv run --group benchmarks python benchmarks/..."
        ) from None


def draw(lines: Mapping[str, tuple[Rates, Mapping[str, list[tuple[int, float]]]]], target: Path) -> None:
    """One row of three diagrams for each NeMo Gym line."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(lines), 3, figsize=(12, 3.6 * len(lines)), squeeze=False, layout="constrained")
    for (line, (rates, memory)), (speed, latency, held) in zip(lines.items(), rows, strict=True):
        names = list(next(iter(rates.at_once.values())))
        for name in names:
            levels = [level for level in rates.at_once if name in rates.at_once[level]]
            colour = COLOURS.get(name, OURS)
            rounds = [rates.at_once[level][name] for level in levels]
            style = {"color": colour, "marker": "o", "markersize": 3}
            speed.plot(levels, [median(load.calls for load in loads) for loads in rounds], label=name, **style)
            speed.fill_between(
                levels,
                [min(load.calls for load in loads) for loads in rounds],
                [max(load.calls for load in loads) for loads in rounds],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            latency.plot(levels, [1000 * median(load.p50 for load in loads) for loads in rounds], label=name, **style)
            latency.plot(
                levels, [1000 * median(load.p99 for load in loads) for loads in rounds], linestyle=":", **style
            )
        for name, points in memory.items():
            held.plot(*zip(*points, strict=True), label=name, color=COLOURS.get(name, OURS), marker="o", markersize=3)
        speed.set(title=f"NeMo Gym {line}: calls per second", xscale="log", xlabel="sessions at once", ylim=0)
        latency.set(title="latency in ms (dotted: p99)", xscale="log", yscale="log", xlabel="sessions at once")
        held.set(title="memory of the process in MB", xlabel="episodes", ylim=0)
        # Where there is room: the bare application and NeMo Gym's servers leave a wide gap.
        held.legend(frameon=False, fontsize=8, loc="center right")
        for axes in (speed, latency, held):
            axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
