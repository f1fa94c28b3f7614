"""The report as a picture."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .webhook import STAGES

_OURS: Final = "#1f6feb"
_SLOW: Final = "#6f42c1"
_ASKED: Final = "#d1242f"
_SPEEDS: Final = {
    "relay": "relay_events_per_s",
    "consume\none by one": "consume_events_per_s",
    "consume\nin batches": "consume_batch_events_per_s",
}
_LATENCIES: Final = {
    "Commit to confirmed, ms": "commit_to_confirmed",
    "Webhook to credit, ms": "webhook_to_credit",
}


def write_plot(path: Path, report: Mapping[str, Any]) -> bool:
    """Draw what of the report was measured.

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
    details = report["details"]
    _bars(axes[0][0], "Events per second", _SPEEDS, details)
    for place, (title, name) in zip((axes[0][1], axes[1][0]), _LATENCIES.items(), strict=True):
        figures = {percent: f"{name}_{percent}_ms" for percent in ("p50", "p99")}
        _bars(place, title, figures, details)
    _stages(axes[1][1], "From the webhook to the credit, step by step, ms", details["rounds"])
    figure.suptitle(_caption(details), fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def _bars(axes: Any, title: str, figures: Mapping[str, str], details: Mapping[str, Any]) -> None:
    bounds = {target["name"]: target["bound"] for target in details["targets"]}
    shown = {text: name for text, name in figures.items() if name in details["rounds"]}
    axes.set_visible(bool(shown))
    for place, name in enumerate(shown.values()):
        values = details["rounds"][name]
        median = statistics.median(values)
        axes.bar(place, median, width=0.65, color=_SLOW if "p99" in name else _OURS)
        spread = [[median - min(values)], [max(values) - median]]
        axes.errorbar(place, median, yerr=spread, color="black", capsize=4, linewidth=1)
        axes.annotate(
            f"{median:,.1f}" if name.endswith("_ms") else f"{median:,.0f}",
            (place - 0.3, median),
            xytext=(0, 4),
            textcoords="offset points",
            fontweight="bold",
        )
        if name in bounds:
            axes.hlines(bounds[name], place - 0.4, place + 0.4, colors=_ASKED, linestyles="dashed")
    axes.plot([], [], color=_ASKED, linestyle="dashed", label="asked")
    axes.set_xticks(range(len(shown)), list(shown))
    axes.margins(y=0.15)
    _dress(axes, title)


def _stages(axes: Any, title: str, rounds: Mapping[str, Sequence[float]]) -> None:
    stages = [stage for stage in STAGES if f"{stage}_p50_ms" in rounds]
    axes.set_visible(bool(stages))
    for percent, shift, colour in (("p50", 0.2, _OURS), ("p99", -0.2, _SLOW)):
        values = [statistics.median(rounds[f"{stage}_{percent}_ms"]) for stage in stages]
        places = [place + shift for place in range(len(stages))]
        axes.barh(places, values, height=0.38, color=colour, label=percent)
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                f"{value:,.1f}",
                (value, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
    axes.set_yticks(range(len(stages)), [stage.replace("_", " ") for stage in stages])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    _dress(axes, title)


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _caption(details: Mapping[str, Any]) -> str:
    settings = details["settings"]
    return (
        f"Messages on PostgreSQL {settings['server_version']}, fsync {settings['fsync']}, and "
        f"RabbitMQ {settings['rabbitmq_version']}, {details['processors']} processors, load "
        f"{details['load_average']} at the start;\n{details['rate']} messages and "
        f"{details['webhooks']} webhooks a second; medians of {details['rounds_asked']} rounds, "
        "lines from least to most"
    )
