"""What the worker does again and again: look for overdue sagas, count what waits."""

from typing import Final

import structlog
from prometheus_client import Gauge

from octoco.context import current_context, work_context
from octoco.worker import PeriodicJob
from wallet.adapters.postgres.transactions import forget_ended_sagas
from wallet.bootstrap import Wallet
from wallet.entrypoints.rolling_up import rolling_up_jobs
from wallet.use_cases.find_overdue_sagas import find_overdue_sagas

SCAN_EVERY_SECONDS: Final = 15.0
OVERDUE_LOGGED_MAX: Final = 100
FORGOTTEN_BATCH: Final = 1000
FORGOTTEN_BATCHES_MAX: Final = 100

SAGAS_WAITING: Final = Gauge(
    "wallet_sagas_waiting", "Sagas under way.", ["kind", "status", "step"], multiprocess_mode="max"
)
SAGAS_OVERDUE: Final = Gauge(
    "wallet_sagas_overdue",
    "Sagas past the deadline of their step.",
    ["kind", "status", "step"],
    multiprocess_mode="max",
)
SAGA_OLDEST_AGE: Final = Gauge(
    "wallet_saga_oldest_age_seconds",
    "How long the oldest saga has waited at its step.",
    ["kind", "status", "step"],
    multiprocess_mode="max",
)
CASES_OPEN: Final = Gauge(
    "wallet_operator_cases_open",
    "Cases that wait for a person.",
    ["kind"],
    multiprocess_mode="max",
)


def jobs(wallet: Wallet) -> list[PeriodicJob]:
    """Return the wallet's periodic jobs. None of them moves money: a hold never ends by time."""
    return [
        PeriodicJob("scan_sagas", SCAN_EVERY_SECONDS, lambda: scan_sagas(wallet)),
        PeriodicJob("forget_ended_sagas", SCAN_EVERY_SECONDS, lambda: forget_ended(wallet)),
        PeriodicJob("count_cases", SCAN_EVERY_SECONDS, lambda: count_cases(wallet)),
        *rolling_up_jobs(wallet),
    ]


def scan_sagas(wallet: Wallet) -> int:
    """Report every saga that is past its deadline, and count those that wait.

    Returns:
        How many overdue sagas were reported; no more than a bound at a time.
    """
    now = wallet.clock.now()
    log = structlog.get_logger("wallet.sagas")
    overdue = wallet.units.read(
        lambda unit: find_overdue_sagas(unit, at=now, limit=OVERDUE_LOGGED_MAX)
    )
    for saga in overdue:
        # Found among the lines of the saga itself, by its correlation_id and its trace_id.
        with work_context(saga.origin or current_context()):
            log.warning(
                "saga_overdue",
                transaction_id=saga.transaction_id,
                kind=saga.kind.value,
                status=saga.status.value,
                step=saga.step,
                since=saga.since.isoformat(),
                due_at=saga.due_at.isoformat(),
            )
    counts = wallet.units.read(lambda unit: unit.transactions.count_sagas(at=now))
    # A group that has emptied must not keep showing its last value.
    for gauge in (SAGAS_WAITING, SAGAS_OVERDUE, SAGA_OLDEST_AGE):
        gauge.clear()
    for count in counts:
        labels = (count.kind.value, count.status.value, count.step)
        SAGAS_WAITING.labels(*labels).set(count.waiting)
        SAGAS_OVERDUE.labels(*labels).set(count.overdue)
        SAGA_OLDEST_AGE.labels(*labels).set((now - count.oldest_since).total_seconds())
    return len(overdue)


def forget_ended(wallet: Wallet) -> int:
    """Keep the list of open sagas short: take off what has ended.

    Returns:
        How many were taken off; no more than a bound at a time.
    """
    taken_off = 0
    for _ in range(FORGOTTEN_BATCHES_MAX):
        count = forget_ended_sagas(wallet.database, limit=FORGOTTEN_BATCH)
        taken_off += count
        if count < FORGOTTEN_BATCH:
            break
    return taken_off


def count_cases(wallet: Wallet) -> None:
    """Count the open operator cases by kind."""
    open_cases = wallet.units.read(lambda unit: unit.operator_cases.count_open())
    CASES_OPEN.clear()
    for kind, count in open_cases.items():
        CASES_OPEN.labels(kind).set(count)
