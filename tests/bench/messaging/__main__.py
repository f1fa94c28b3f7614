"""`python -m tests.bench.messaging`: measure the messages' way, from commit to effect."""

import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from octoco_runner.errors import RunnerError
from octoco_runner.layout import REPOSITORY
from octoco_runner.screen import Screen

from .relay import RelayPlan, relay_part
from .report import as_json, print_tables, write_json
from .samples import Part, Samples
from .servers import Servers, running_servers

LOAD_MAX: Final = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    seconds: float
    rows: int
    aggregates: int
    rate: int
    only: tuple[str, ...]
    output: Path


# What is measured, by name: each makes ready what it needs, and says what a round of it is.
PARTS: Final[Mapping[str, Callable[[Servers, Options], Part]]] = {
    "relay": lambda servers, options: relay_part(
        servers,
        RelayPlan(
            rows=options.rows,
            aggregates=options.aggregates,
            rate=options.rate,
            seconds=options.seconds,
        ),
    ),
}


@click.command(help="Measure outbox, relay and consumer; writes messaging.json.")
@click.option("--rounds", type=click.IntRange(1), help="How often each slot is measured [5].")
@click.option("--seconds", type=click.FloatRange(0.5), help="Length of the steady streams [10].")
@click.option("--rows", type=click.IntRange(1000), help="Messages in the backlog [50000].")
@click.option("--aggregates", type=click.IntRange(1), help="That they are about [5000].")
@click.option(
    "--rate",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Messages a second of the relay's steady stream.",
)
@click.option("--only", multiple=True, type=click.Choice(sorted(PARTS)), help="Only this part.")
@click.option("--quick", is_flag=True, help="2 rounds, streams of 3 s, 10,000 rows.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=REPOSITORY / ".local" / "bench",
    help="Folder for the report and, while it runs, for the servers [.local/bench].",
)
def main(
    *,
    rounds: int | None,
    seconds: float | None,
    rows: int | None,
    aggregates: int | None,
    rate: int,
    only: Sequence[str],
    quick: bool,
    output: Path,
) -> None:
    options = Options(
        rounds=rounds or (2 if quick else 5),
        seconds=seconds or (3 if quick else 10),
        rows=rows or (10_000 if quick else 50_000),
        aggregates=aggregates or (1000 if quick else 5000),
        rate=rate,
        only=tuple(only) or tuple(PARTS),
        output=output.resolve(),
    )
    console = Console(highlight=False)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        run(options, console)
    except RunnerError as error:
        Screen(console).error(error)
        sys.exit(1)


def run(options: Options, console: Console) -> None:
    """Measure, and write and show the report."""
    began = time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    screen = Screen(console)
    load = os.getloadavg()[0]
    if load > LOAD_MAX:
        screen.warn(f"This machine is busy (load {load:.1f}): the figures will not mean much.")
    screen.say("Starting PostgreSQL and RabbitMQ ...")
    with running_servers(options.output / "messaging-servers", screen) as servers:
        parts = []
        for name in options.only:
            with screen.step(f"Part {name} made ready"):
                parts.append(PARTS[name](servers, options))
        samples = _measure(parts, options.rounds, console)
        report = as_json(samples, parts, details=_details(options, servers))
    report["details"]["load_average"] = round(load, 2)
    report["details"]["total_seconds"] = round(time.monotonic() - began, 1)
    write_json(options.output / "messaging.json", report)
    print_tables(console, samples, parts)
    screen.say(f"Report: {options.output / 'messaging.json'}")


def _measure(parts: Sequence[Part], rounds: int, console: Console) -> Samples:
    samples = Samples()
    slots = [(name, measure) for part in parts for name, measure in part.slots.items()]
    with Progress(
        TextColumn("   {task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        bar = progress.add_task("measuring", total=rounds * len(slots))
        for number in range(1, rounds + 1):
            for name, measure in slots:
                progress.update(bar, description=f"round {number} of {rounds}: {name}")
                said = measure(samples)
                console.print(f"   round {number}  {name:<24} {said}", soft_wrap=True)
                progress.advance(bar)
    return samples


def _details(options: Options, servers: Servers) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds_asked": options.rounds,
        "seconds": options.seconds,
        "rows": options.rows,
        "aggregates": options.aggregates,
        "rate": options.rate,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "settings": servers.settings(),
    }


if __name__ == "__main__":
    main()
