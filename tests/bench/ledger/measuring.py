"""Rounds of short slots, so that what disturbs the machine disturbs all figures alike."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .databases import LIMIT, WalletDatabase, make_pending_deposits
from .pgbench import run_pgbench
from .server import Server
from .workers import Workers
from .works import Job

# More than any worker credits in a second here; what is left over stays pending.
CREDITS_PER_SECOND: Final = 4000
JOBS_SLOT_SECONDS_MIN: Final = 5
BATCH_WRITERS: Final = 2


@dataclass(slots=True)
class Samples:
    """Every figure of every round, by name."""

    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        self.figures[name].append(value)

    def median(self, name: str) -> float:
        return statistics.median(self.figures[name])

    def ratio(self, name: str, to: str) -> float:
        """Of the medians, so that it is what a reader gets who divides them."""
        return self.median(name) / self.median(to)


@dataclass(frozen=True, slots=True)
class ScaleStep:
    """A wallet with so many entries in its books."""

    entries: int
    database: WalletDatabase


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, where and for how long.

    Args:
        server: The one server.
        workers: The processes.
        wallet: With an empty ledger at the start.
        steps: Wallets with full ledgers, side by side.
        users: In every one of them.
        clients: How many work at once.
        seconds: Of each slot.
    """

    server: Server
    workers: Workers
    wallet: WalletDatabase
    steps: Sequence[ScaleStep]
    users: int
    clients: int
    seconds: int


# A slot measures one thing and adds its figures; the text is for the screen.
Slot = Callable[[Samples], str]


def core_slots(plan: Plan) -> Mapping[str, Slot]:
    """The figures that the targets are about, in the order of each round."""
    crowd = plan.clients
    # They take turns: while one is in the database the other makes its next batch ready.
    writers = min(BATCH_WRITERS, crowd)
    return {
        "limit": _limit(plan, "limit_tps", "limit_single.pgb", clients=crowd),
        "psycopg2": _work(plan, "psycopg2_tps", "psycopg2", writers=crowd),
        "single": _work(plan, "single_tps", "single", writers=crowd),
        "hot": _work(plan, "hot_tps", "hot", writers=crowd),
        "limit_batch_500": _limit(
            plan, "limit_batch_500_tps", "limit_batch.pgb", clients=1, size=500
        ),
        "batch_100": _work(plan, "batch_100_tps", "batch", writers=writers, size=100),
        "batch_500": _work(plan, "batch_500_tps", "batch", writers=writers, size=500),
    }


def information_slots(plan: Plan, *, round_number: int) -> Mapping[str, Slot]:
    """Figures without a target, which say what the others mean."""
    crowd = plan.clients
    count = CREDITS_PER_SECOND * plan.seconds
    numbers = range(2 * round_number * count, (2 * round_number + 1) * count)
    more_numbers = range(numbers.stop, numbers.stop + count)
    return {
        "limit, READ COMMITTED": _limit(
            plan,
            "limit_read_committed_tps",
            "limit_single.pgb",
            clients=crowd,
            isolation="read committed",
        ),
        "limit_batch_500, 2 writers": _limit(
            plan, "limit_batch_500_2_writers_tps", "limit_batch.pgb", clients=2, size=500
        ),
        "limit, psycopg2": _work(
            plan,
            "limit_psycopg2_tps",
            "limit_psycopg2",
            writers=crowd,
            url=plan.server.dsn(LIMIT),
        ),
        "single in an open unit": _work(
            plan, "single_in_unit_tps", "single_in_unit", writers=crowd
        ),
        "credit": _credit(plan, "credit_tps", "credit", numbers=numbers, writers=crowd),
        "credit, 100 together": _credit(
            plan, "credit_100_tps", "credit_together", numbers=more_numbers, writers=1, size=100
        ),
        **{
            f"batch_500, {writers} without turns": _work(
                plan,
                f"batch_500_{writers}_without_turns_tps",
                "batch_in_unit",
                writers=min(writers, crowd),
                size=500,
            )
            for writers in (1, 2, 4)
        },
    }


def scale_slots(plan: Plan) -> Mapping[str, Slot]:
    """Postings and reads on each size of the books, one after the other."""
    slots: dict[str, Slot] = {}
    for step in plan.steps:
        label = f"{step.entries:,} entries"
        slots[f"{label}: balance"] = _read(plan, step, "balance")
        slots[f"{label}: history"] = _read(plan, step, "history")
        slots[f"{label}: single"] = _work(
            plan,
            scale_figure(step, "single_tps"),
            "single",
            writers=plan.clients,
            url=step.database.service_url,
        )
    return slots


def scale_figure(step: ScaleStep, figure: str) -> str:
    return f"scale_{step.entries}_{figure}"


def _limit(
    plan: Plan,
    figure: str,
    script: str,
    *,
    clients: int,
    isolation: str = "serializable",
    size: int = 1,
) -> Slot:
    def measure(samples: Samples) -> str:
        ceiling = run_pgbench(
            plan.server,
            script,
            clients=clients,
            isolation=isolation,
            seconds=plan.seconds,
            users=plan.users,
            size=size,
        )
        samples.add(figure, ceiling.per_second)
        samples.add(_retry_figure(figure), ceiling.retry_rate)
        return _said(ceiling.per_second, ceiling.retry_rate)

    return measure


def _work(
    plan: Plan,
    figure: str,
    work: str,
    *,
    writers: int,
    size: int = 1,
    url: str | None = None,
) -> Slot:
    job = Job(work, url or plan.wallet.service_url, plan.users, size=size)

    def measure(samples: Samples) -> str:
        measured = plan.workers.measure([job] * writers, seconds=plan.seconds)
        samples.add(figure, measured.per_second)
        samples.add(_retry_figure(figure), measured.retry_rate)
        samples.add(figure.replace("_tps", "_p99_ms"), measured.percentile_ms(99))
        return _said(measured.per_second, measured.retry_rate)

    return measure


def _credit(
    plan: Plan, figure: str, work: str, *, numbers: range, writers: int, size: int = 1
) -> Slot:
    def measure(samples: Samples) -> str:
        make_pending_deposits(plan.server, plan.wallet, numbers=numbers, users=plan.users)
        url = plan.wallet.service_url
        jobs = [
            Job(work, url, plan.users, size=size, numbers=numbers[one::writers])
            for one in range(writers)
        ]
        measured = plan.workers.measure(jobs, seconds=plan.seconds)
        samples.add(figure, measured.per_second)
        samples.add(_retry_figure(figure), measured.retry_rate)
        return _said(measured.per_second, measured.retry_rate)

    return measure


def jobs_slots(plan: Plan, *, heads_file: Path) -> Mapping[str, Slot]:
    """What the worker's periodic jobs, seals and rollups among them, cost those who post."""
    url = plan.wallet.service_url
    jobs = Job("jobs", url, plan.users, heads_file=str(heads_file))
    crowd = [Job("single", url, plan.users)] * plan.clients
    seconds = max(plan.seconds, JOBS_SLOT_SECONDS_MIN)

    def without(samples: Samples) -> str:
        # What other slots have left unsealed is not this one's to pay for.
        plan.workers.measure([jobs], seconds=0)
        measured = plan.workers.measure(crowd, seconds=seconds)
        samples.add("single_without_jobs_tps", measured.per_second)
        samples.add("single_without_jobs_retry_rate", measured.retry_rate)
        return _said(measured.per_second, measured.retry_rate)

    def beside(samples: Samples) -> str:
        plan.workers.measure([jobs], seconds=0)
        measured = plan.workers.measure(crowd, seconds=seconds, beside=[jobs])
        samples.add("single_with_jobs_tps", measured.per_second)
        samples.add("single_with_jobs_retry_rate", measured.retry_rate)
        return _said(measured.per_second, measured.retry_rate)

    return {"single without jobs": without, "single beside seals and jobs": beside}


def _read(plan: Plan, step: ScaleStep, work: str) -> Slot:
    job = Job(work, step.database.service_url, plan.users, size=step.entries // 2)

    def measure(samples: Samples) -> str:
        # One reader, so that it is the query that is timed and not the queue for the processor.
        measured = plan.workers.measure([job], seconds=plan.seconds / 2)
        for percent in (50, 99):
            samples.add(
                scale_figure(step, f"{work}_p{percent}_ms"), measured.percentile_ms(percent)
            )
        return f"p99 {measured.percentile_ms(99):.2f} ms"

    return measure


def _retry_figure(figure: str) -> str:
    return figure.replace("_tps", "_retry_rate")


def _said(per_second: float, retry_rate: float) -> str:
    retries = f", {retry_rate:.2%} retries" if retry_rate else ""
    return f"{per_second:,.0f}/s{retries}"
