"""What was measured, as JSON for machines and as a table for people."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .samples import Part, Samples


def as_json(
    samples: Samples, parts: Sequence[Part], *, details: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the report: medians under the agreed keys, all else under `details`."""
    headlines: dict[str, Any] = {}
    for part in parts:
        headlines |= part.report(samples)
    return {
        **headlines,
        "details": {
            **details,
            "targets": [
                {
                    "name": target.figure,
                    "value": round(samples.median(target.figure), 3),
                    "best": round(_best(samples, target.figure, most=target.at_least), 3),
                    "bound": target.bound,
                    "met": target.is_met(samples.median(target.figure)),
                }
                for part in parts
                for target in part.targets
            ],
            "rounds": {
                name: [round(value, 3) for value in values]
                for name, values in samples.figures.items()
            },
        },
    }


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def print_tables(console: Console, samples: Samples, parts: Sequence[Part]) -> None:
    """Show each figure's median and spread, with what it is to reach; nothing if there is none."""
    if not samples.figures:
        return
    bounds = {target.figure: target for part in parts for target in part.targets}
    table = Table(title="Messages", title_justify="left")
    for column in ("", "median", "least", "most", "asked", ""):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name in sorted(samples.figures, key=lambda one: one not in bounds):
        values = samples.figures[name]
        form = "{:,.1f}" if name.endswith("_ms") else "{:,.0f}"
        shown = [form.format(value) for value in (samples.median(name), min(values), max(values))]
        target = bounds.get(name)
        if target is None:
            table.add_row(name, *shown, "", "", style="dim")
            continue
        sign = "at least" if target.at_least else "at most"
        verdict = (
            "[green]met[/green]" if target.is_met(samples.median(name)) else "[red]not met[/red]"
        )
        table.add_row(name, *shown, f"{sign} {target.bound:,.0f}", verdict)
    console.print(table)


def _best(samples: Samples, figure: str, *, most: bool) -> float:
    values = samples.figures[figure]
    return max(values) if most else min(values)
