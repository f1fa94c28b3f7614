"""`python -m tests.bench.messaging`: measure the messages' way, from commit to effect."""

import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from octoco_runner.errors import RunnerError
from octoco_runner.layout import REPOSITORY
from octoco_runner.screen import Screen

from .consume import ConsumePlan, consume_part
from .plot import write_plot
from .relay import RelayPlan, relay_part
from .report import as_json, print_tables, write_json
from .samples import Part, Samples
from .servers import Servers, running_servers
from .system import running_system
from .webhook import WebhookPlan, webhook_part

LOAD_MAX: Final = 0.5
USERS: Final = 2000
# The whole system takes longer to settle down than one of its parts.
STRETCH: Final = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    seconds: float
    rows: int
    aggregates: int
    rate: int
    events: int
    webhooks: int
    people: int
    only: tuple[str, ...]
    output: Path


@dataclass(frozen=True, slots=True)
class Stage:
    """What the parts that are measured together share: servers made for them, and a screen."""

    servers: Servers
    options: Options
    folder: Path
    screen: Screen
    stack: ExitStack


def _relay(stage: Stage) -> Part:
    options = stage.options
    plan = RelayPlan(
        rows=options.rows,
        aggregates=options.aggregates,
        rate=options.rate,
        seconds=options.seconds,
    )
    return relay_part(stage.servers, plan)


def _consume(stage: Stage) -> Part:
    plan = ConsumePlan(events=stage.options.events, users=USERS)
    folder = Path(stage.stack.enter_context(TemporaryDirectory()))
    return consume_part(stage.servers, plan, folder=folder)


def _webhook(stage: Stage) -> Part:
    options = stage.options
    addresses = stage.stack.enter_context(
        running_system(stage.servers, stage.folder / "system", stage.screen)
    )
    plan = WebhookPlan(
        rate=options.webhooks, seconds=STRETCH * options.seconds, people=options.people
    )
    return webhook_part(addresses, stage.servers, plan)


# What is measured, by name: each makes ready what it needs, and says what a round of it is. Those
# of one stage take turns, round by round; the whole system would disturb all others.
Makers = Mapping[str, Callable[[Stage], Part]]
STAGES: Final[Sequence[Makers]] = (
    {"relay": _relay, "consume": _consume},
    {"webhook": _webhook},
)
PARTS: Final = tuple(name for makers in STAGES for name in makers)


@click.command(
    help="Measure the messages' way, and webhooks' to the credit; writes messaging.json and .png."
)
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
@click.option("--events", type=click.IntRange(200), help="Deposits for the consumer [5000].")
@click.option(
    "--webhooks",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Payments a second, for twice as long as the other streams.",
)
@click.option("--people", type=click.IntRange(1), default=20, show_default=True, help="Who pay.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Only this part.")
@click.option("--quick", is_flag=True, help="2 rounds, streams of 3 s, 10,000 rows, 1000 events.")
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
    events: int | None,
    webhooks: int,
    people: int,
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
        events=events or (1000 if quick else 5000),
        webhooks=webhooks,
        people=people,
        only=tuple(only) or tuple(PARTS),
        output=output.resolve(),
    )
    console = Console(highlight=False)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        is_whole = run(options, console)
    except RunnerError as error:
        Screen(console).error(error)
        sys.exit(1)
    sys.exit(0 if is_whole else 1)


def run(options: Options, console: Console) -> bool:
    """Measure, and write and show the report.

    Returns:
        False where a part failed: what it was to say is left out, and the report says why.
    """
    began = time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    screen = Screen(console)
    load = os.getloadavg()[0]
    screen.say(f"Load average {load:.2f} on {os.cpu_count()} processors.")
    if load > LOAD_MAX:
        screen.warn("This machine is busy: the figures will not mean much.")
    run = Run(options, screen)
    for makers in STAGES:
        if wanted := {name: make for name, make in makers.items() if name in options.only}:
            run.measure(wanted)
    report = as_json(run.samples, run.measured, details=_details(options, run))
    report["details"]["load_average"] = round(load, 2)
    report["details"]["total_seconds"] = round(time.monotonic() - began, 1)
    write_json(options.output / "messaging.json", report)
    print_tables(console, run.samples, run.measured)
    drawn = write_plot(options.output / "messaging.png", report)
    screen.say(f"Report: {options.output / 'messaging.json'}")
    if drawn:
        screen.say(f"Plot:   {options.output / 'messaging.png'}")
    else:
        screen.warn("No plot: matplotlib is missing; `deploy/bootstrap bench` installs it.")
    for name, why in run.failed.items():
        screen.warn(f"Not measured: {name}. {why}")
    return not run.failed


class Run:
    """What was measured so far, and what failed."""

    def __init__(self, options: Options, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._parts: list[Part] = []
        self.samples = Samples()
        self.failed: dict[str, str] = {}
        self.settings: dict[str, Any] = {}

    @property
    def measured(self) -> Sequence[Part]:
        return [part for part in self._parts if part.name not in self.failed]

    def measure(self, makers: Makers) -> None:
        """Measure some parts in turns, on servers of their own."""
        folder = self._options.output / "messaging-run"
        self._screen.say("Starting PostgreSQL and RabbitMQ ...")
        with running_servers(folder, self._screen) as servers, ExitStack() as stack:
            self.settings = servers.settings()
            stage = Stage(servers, self._options, folder, self._screen, stack)
            parts = []
            for name, make in makers.items():
                try:
                    with self._screen.step(f"Part {name} made ready"):
                        parts.append(make(stage))
                except Exception as error:  # noqa: BLE001 - the others are measured
                    self._fail(name, error)
            self._parts += parts
            self._rounds(parts)

    def _rounds(self, parts: Sequence[Part]) -> None:
        slots = [(part.name, *slot) for part in parts for slot in part.slots.items()]
        rounds = min([self._options.rounds, *(part.rounds_max for part in parts)])
        with Progress(
            TextColumn("   {task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._screen.console,
            transient=True,
        ) as progress:
            bar = progress.add_task("measuring", total=rounds * len(slots))
            for number in range(1, rounds + 1):
                for part, name, measure in slots:
                    progress.update(bar, description=f"round {number} of {rounds}: {name}")
                    self._slot(part, f"round {number}  {name:<24}", measure)
                    progress.advance(bar)

    def _slot(self, part: str, text: str, measure: Callable[[Samples], str]) -> None:
        if part in self.failed:
            return
        try:
            said = measure(self.samples)
        except Exception as error:  # noqa: BLE001 - the others are measured
            self._fail(part, error)
            return
        self._screen.console.print(f"   {text} {said}", soft_wrap=True)

    def _fail(self, part: str, error: Exception) -> None:
        self.failed[part] = f"{type(error).__name__}: {error}"
        self._screen.warn(f"Part {part} failed: {self.failed[part]}")


def _details(options: Options, run: Run) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds_asked": options.rounds,
        "seconds": options.seconds,
        "rows": options.rows,
        "aggregates": options.aggregates,
        "rate": options.rate,
        "events": options.events,
        "webhooks": options.webhooks,
        "people": options.people,
        "failed": run.failed,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "settings": run.settings,
    }


if __name__ == "__main__":
    main()
