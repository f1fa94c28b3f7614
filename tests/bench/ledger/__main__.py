"""`python -m tests.bench.ledger`: measure the ledger against what PostgreSQL can do at best."""

import os
import platform
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from octoco_runner.errors import RunnerError
from octoco_runner.layout import REPOSITORY
from octoco_runner.screen import Screen

from .databases import (
    copy_wallet_database,
    make_limit_database,
    make_wallet_database,
    seed,
)
from .measuring import (
    Plan,
    Samples,
    ScaleStep,
    core_slots,
    information_slots,
    jobs_slots,
    scale_slots,
)
from .plot import write_plot
from .report import as_json, print_tables, write_json
from .server import Server, running_server
from .workers import running_workers

INFORMATION_ROUNDS_MAX: Final = 3
ENTRIES_MIN: Final = 1_000
LOAD_MAX: Final = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    seconds: int
    entries: tuple[int, ...]
    users: int
    clients: int
    output: Path
    with_jobs: bool


@click.command(help="Measure the ledger; writes ledger.json and ledger.png.")
@click.option("--rounds", type=click.IntRange(1), help="How often each slot is measured [5].")
@click.option("--seconds", type=click.IntRange(1), help="Length of each slot [3].")
@click.option(
    "--scale",
    help="Sizes of the books in entries, by commas; `none` leaves them out "
    "[10000,1000000,5000000,10000000].",
)
@click.option("--quick", is_flag=True, help="2 rounds of 2 s, books of 10,000 and 500,000 entries.")
@click.option("--users", type=click.IntRange(20), default=10_000, show_default=True)
@click.option("--workers", "clients", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--with-seals",
    "with_jobs",
    is_flag=True,
    help="Measure also what the worker's jobs, seals and rollups among them, cost postings.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=REPOSITORY / ".local" / "bench",
    help="Folder for the report and, while it runs, for the server [.local/bench].",
)
def main(
    *,
    rounds: int | None,
    seconds: int | None,
    scale: str | None,
    quick: bool,
    users: int,
    clients: int,
    with_jobs: bool,
    output: Path,
) -> None:
    options = Options(
        rounds=rounds or (2 if quick else 5),
        seconds=seconds or (2 if quick else 3),
        entries=_sizes(scale or ("10000,500000" if quick else "10000,1000000,5000000,10000000")),
        users=users,
        clients=clients,
        output=output.resolve(),
        with_jobs=with_jobs,
    )
    console = Console(highlight=False)
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
    with ExitStack() as stack:
        with screen.step("PostgreSQL started"):
            server = stack.enter_context(running_server(options.output / "server"))
        plan = _prepare(options, server, stack, screen=screen)
        samples = _measure(options, plan, console)
        report = as_json(samples, plan.steps, details=_details(options, server))
    report["details"]["load_average"] = round(load, 2)
    report["details"]["total_seconds"] = round(time.monotonic() - began, 1)
    write_json(options.output / "ledger.json", report)
    print_tables(console, samples, plan.steps)
    drawn = write_plot(options.output / "ledger.png", report)
    screen.say(f"Report: {options.output / 'ledger.json'}")
    if drawn:
        screen.say(f"Plot:   {options.output / 'ledger.png'}")
    else:
        screen.warn("No plot: matplotlib is missing; `deploy/bootstrap bench` installs it.")


def _prepare(options: Options, server: Server, stack: ExitStack, *, screen: Screen) -> Plan:
    with screen.step(f"Wallet with {options.users:,} users made by its migrations"):
        make_limit_database(server, users=options.users)
        wallet = make_wallet_database(server, "bench_wallet", users=options.users)
    steps = [
        ScaleStep(entries, copy_wallet_database(server, wallet, f"bench_{entries}"))
        for entries in options.entries
    ]
    for step in steps:
        _seed(step, server, users=options.users, screen=screen)
    workers = stack.enter_context(running_workers(options.clients + 1))
    admin = server.connect()
    with admin.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    admin.close()
    return Plan(
        server=server,
        workers=workers,
        wallet=wallet,
        steps=steps,
        users=options.users,
        clients=options.clients,
        seconds=options.seconds,
    )


def _seed(step: ScaleStep, server: Server, *, users: int, screen: Screen) -> None:
    began = time.monotonic()
    text = f"{step.entries:,} entries seeded"
    with _progress(screen.console) as progress:
        bar = progress.add_task(text, total=step.entries // 2)
        seed(
            server,
            step.database,
            entries=step.entries,
            users=users,
            on_progress=lambda more: progress.advance(bar, more),
        )
    screen.done(text, detail=f"{time.monotonic() - began:.1f} s")


def _measure(options: Options, plan: Plan, console: Console) -> Samples:
    samples = Samples()
    rounds = [
        {
            **core_slots(plan),
            **(
                information_slots(plan, round_number=number)
                if number < INFORMATION_ROUNDS_MAX
                else {}
            ),
            **(
                jobs_slots(plan, heads_file=options.output / "server" / "seal-heads.jsonl")
                if options.with_jobs
                else {}
            ),
            **scale_slots(plan),
        }
        for number in range(options.rounds)
    ]
    with _progress(console) as progress:
        bar = progress.add_task("measuring", total=sum(len(slots) for slots in rounds))
        for number, slots in enumerate(rounds, start=1):
            for name, measure in slots.items():
                progress.update(bar, description=f"round {number} of {options.rounds}: {name}")
                said = measure(samples)
                console.print(f"   round {number}  {name:<32} {said}", soft_wrap=True)
                progress.advance(bar)
    return samples


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("   {task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _details(options: Options, server: Server) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds_asked": options.rounds,
        "seconds": options.seconds,
        "users": options.users,
        "clients": options.clients,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "settings": server.settings(),
    }


def _sizes(text: str) -> tuple[int, ...]:
    if text == "none":
        return ()
    try:
        sizes = tuple(int(size.replace("_", "")) for size in text.split(","))
    except ValueError:
        raise click.BadParameter(
            "whole numbers, separated by commas", param_hint="--scale"
        ) from None
    if any(size < ENTRIES_MIN or size % 2 for size in sizes) or list(sizes) != sorted(set(sizes)):
        raise click.BadParameter(
            f"even numbers from {ENTRIES_MIN} on, each larger than the one before",
            param_hint="--scale",
        )
    return sizes


if __name__ == "__main__":
    main()
