"""The report as a picture."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_CEILING: Final = "#9aa5b1"
_OURS: Final = "#1f6feb"
_PEER: Final = "#6f42c1"
_ASKED: Final = "#d1242f"
_COLOURS: Final = {
    "limit": _CEILING,
    "limit_batch_500": _CEILING,
    "psycopg2": _PEER,
}
# What each is asked to reach, as a share of another one.
_SHARES: Final = {
    "psycopg2": ("limit", 0.7),
    "single": ("psycopg2", 0.8),
    "hot": ("single", 1.0),
    "batch_500": ("limit_batch_500", 0.7),
}


def write_plot(path: Path, report: Mapping[str, Any]) -> bool:
    """Draw the report.

    Returns:
        False where matplotlib is not installed; nothing is drawn then.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only the benchmarks' environment has it
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(2, 2, figsize=(12, 8.5), layout="constrained")
    rounds = report["details"]["rounds"]
    _bars(
        axes[0][0],
        "One posting in a unit of work",
        rounds,
        ("limit", "psycopg2", "single", "hot", "credit"),
    )
    _bars(axes[0][1], "Batches", rounds, ("limit_batch_500", "batch_100", "batch_500"))
    if report["scale"]:
        _growth(
            axes[1][0],
            "Postings per second by size of the books",
            report["scale"],
            {"single_tps": ("single", _OURS)},
        )
        _growth(
            axes[1][1],
            "p99 by size of the books, ms",
            report["scale"],
            {"history_p99_ms": ("history page", _PEER), "balance_p99_ms": ("balance", _OURS)},
        )
    figure.suptitle(_caption(report["details"]), fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def _bars(axes: Any, title: str, rounds: Mapping[str, Any], names: Sequence[str]) -> None:
    shown = [name for name in names if f"{name}_tps" in rounds]
    for place, name in enumerate(shown):
        values = rounds[f"{name}_tps"]
        median = statistics.median(values)
        axes.bar(place, median, width=0.65, color=_COLOURS.get(name, _OURS))
        axes.errorbar(
            place,
            median,
            yerr=[[median - min(values)], [max(values) - median]],
            color="black",
            capsize=4,
            linewidth=1,
        )
        axes.annotate(
            f"{median:,.0f}",
            (place, median / 2),
            ha="center",
            va="center",
            color="white",
            fontweight="bold",
        )
        if name in _SHARES:
            peer, share = _SHARES[name]
            asked = share * statistics.median(rounds[f"{peer}_tps"])
            axes.hlines(asked, place - 0.4, place + 0.4, colors=_ASKED, linestyles="dashed")
    axes.plot([], [], color=_ASKED, linestyle="dashed", label="asked")
    axes.legend(frameon=False, loc="upper right")
    axes.margins(y=0.15)
    axes.set_xticks(range(len(shown)), shown)
    axes.set_title(title, loc="left")
    axes.set_ylabel("postings per second")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)


def _growth(
    axes: Any,
    title: str,
    scale: Sequence[Mapping[str, float]],
    figures: Mapping[str, tuple[str, str]],
) -> None:
    places = range(len(scale))
    for figure, (label, colour) in figures.items():
        values = [step[figure] for step in scale]
        axes.plot(places, values, marker="o", color=colour, label=label)
        for place, value in zip(places, values, strict=True):
            text = f"{value:,.0f}" if figure.endswith("_tps") else f"{value:.2f}"
            axes.annotate(
                text, (place, value), xytext=(0, 8), textcoords="offset points", ha="center"
            )
    axes.set_xticks(places, [f"{step['entries']:,.0f}" for step in scale])
    axes.set_xlabel("entries in the ledger")
    axes.set_title(title, loc="left")
    axes.set_ylim(0, 1.3 * max(step[figure] for step in scale for figure in figures))
    axes.margins(x=0.1)
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")


def _caption(details: Mapping[str, Any]) -> str:
    settings = details["settings"]
    return (
        f"Ledger on PostgreSQL {settings['server_version']}, fsync {settings['fsync']}, "
        f"{details['processors']} processors, {details['clients']} workers, "
        f"{details['users']:,} users; medians of {details['rounds_asked']} rounds of "
        f"{details['seconds']} s, lines from least to most"
    )
