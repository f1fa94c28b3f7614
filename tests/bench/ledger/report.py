"""What was measured, as JSON for machines and as a table for people."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from .measuring import Samples, ScaleStep, scale_figure

RETRY_RATE_MAX: Final = 0.01
TPS_GROWTH_MAX: Final = 1.2
LATENCY_GROWTH_MAX: Final = 1.5
HEADLINES: Final = (
    "limit_tps",
    "limit_batch_500_tps",
    "psycopg2_tps",
    "single_tps",
    "hot_tps",
    "batch_100_tps",
    "batch_500_tps",
)
SCALE_FIGURES: Final = ("single_tps", "history_p99_ms", "balance_p99_ms")


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach.

    Args:
        name: What is compared.
        value: What was measured.
        bound: What is asked.
        at_least: True where more is better.
    """

    name: str
    value: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def targets(samples: Samples, steps: Sequence[ScaleStep]) -> list[Target]:
    """Compare what was measured with what is to be reached."""
    found = [
        Target("psycopg2 / limit", samples.ratio("psycopg2_tps", "limit_tps"), 0.7, True),
        Target("single / psycopg2", samples.ratio("single_tps", "psycopg2_tps"), 0.8, True),
        Target("hot / single", samples.ratio("hot_tps", "single_tps"), 1.0, True),
        Target(
            "batch_500 / limit_batch_500",
            samples.ratio("batch_500_tps", "limit_batch_500_tps"),
            0.7,
            True,
        ),
        Target("retries of single", samples.median("single_retry_rate"), RETRY_RATE_MAX, False),
    ]
    if len(steps) > 1:
        first, last = steps[0], steps[-1]
        for figure in SCALE_FIGURES:
            before, after = (samples.median(scale_figure(step, figure)) for step in (first, last))
            growth = before / after if figure.endswith("_tps") else after / before
            bound = TPS_GROWTH_MAX if figure.endswith("_tps") else LATENCY_GROWTH_MAX
            name = f"{figure}, growth to {last.entries:,} entries"
            found.append(Target(name, growth, bound, False))
    return found


def as_json(
    samples: Samples, steps: Sequence[ScaleStep], *, details: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the report: medians under the agreed keys, all else under `details`."""
    medians: dict[str, Any] = {name: round(samples.median(name), 1) for name in HEADLINES}
    return {
        **medians,
        "serializable_retry_rate": round(samples.median("single_retry_rate"), 6),
        "scale": [
            {
                "entries": step.entries,
                **{
                    figure: round(samples.median(scale_figure(step, figure)), 3)
                    for figure in SCALE_FIGURES
                },
            }
            for step in steps
        ],
        "details": {
            **details,
            "targets": [
                {
                    "name": target.name,
                    "value": round(target.value, 4),
                    "bound": target.bound,
                    "met": target.met,
                }
                for target in targets(samples, steps)
            ],
            "rounds": {
                name: [round(value, 6) for value in values]
                for name, values in samples.figures.items()
            },
        },
    }


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def print_tables(console: Console, samples: Samples, steps: Sequence[ScaleStep]) -> None:
    """Show the medians with their spread, and each target with whether it was met."""
    rates = Table(title="Postings per second", title_justify="left")
    for column in ("", "median", "least", "most", "retries"):
        rates.add_column(column, justify="left" if not column else "right")
    shown = [name for name in samples.figures if name.endswith("_tps") and "scale_" not in name]
    for name in sorted(shown, key=lambda one: one not in HEADLINES):
        values = samples.figures[name]
        style = None if name in HEADLINES else "dim"
        retries = samples.median(name.replace("_tps", "_retry_rate"))
        rates.add_row(
            name.removesuffix("_tps"),
            *(f"{value:,.0f}" for value in (samples.median(name), min(values), max(values))),
            f"{retries:.2%}",
            style=style,
        )
    console.print(rates)
    if steps:
        console.print(_scale_table(samples, steps))
    verdicts = Table(title="Numbers to reach", title_justify="left")
    for column in ("", "measured", "asked", ""):
        verdicts.add_column(column, justify="right" if column else "left")
    for target in targets(samples, steps):
        form = "{:.2%}" if target.bound == RETRY_RATE_MAX else "{:.2f}"
        sign = "at least" if target.at_least else "at most"
        verdicts.add_row(
            target.name,
            form.format(target.value),
            f"{sign} {form.format(target.bound)}",
            "[green]met[/green]" if target.met else "[red]not met[/red]",
        )
    console.print(verdicts)


def _scale_table(samples: Samples, steps: Sequence[ScaleStep]) -> Table:
    table = Table(title="By size of the books", title_justify="left")
    figures = (
        "single_tps",
        "balance_p50_ms",
        "balance_p99_ms",
        "history_p50_ms",
        "history_p99_ms",
    )
    table.add_column("entries", justify="right")
    for figure in figures:
        table.add_column(figure.replace("_", " "), justify="right")
    for step in steps:
        values = [samples.median(scale_figure(step, figure)) for figure in figures]
        table.add_row(
            f"{step.entries:,}", f"{values[0]:,.0f}", *(f"{value:.2f}" for value in values[1:])
        )
    return table
