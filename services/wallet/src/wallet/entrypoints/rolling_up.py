"""The worker's jobs that roll up the ledger and watch its balances from outside."""

from datetime import datetime
from typing import Final

from prometheus_client import Counter, Gauge

from octoco.worker import PeriodicJob
from wallet.adapters.postgres.rollups import LedgerWatch, roll_up, watch_ledger
from wallet.bootstrap import Wallet

ROLL_UP_EVERY_SECONDS: Final = 10.0
# About a million transfers: what waits beyond that is the next run's.
ROLLUPS_MAX: Final = 50
# Sums the running balances of all users: a look at the whole table.
WATCH_EVERY_SECONDS: Final = 60.0

ROLLED_UP: Final = Counter("wallet_ledger_rolled_up_entries_total", "Entries rolled up.")
ROLLUP_AGE: Final = Gauge(
    "wallet_ledger_rollup_age_seconds",
    "How long the oldest entry has waited to be rolled up; 0 if none waits.",
    multiprocess_mode="mostrecent",
)
SYSTEM_BALANCE: Final = Gauge(
    "wallet_ledger_system_balance",
    "Balance of a system account in major units; what the business has is below zero.",
    ["kind", "currency"],
    multiprocess_mode="mostrecent",
)
IMBALANCE: Final = Gauge(
    "wallet_ledger_imbalance",
    "Running balances of users and balances of system accounts together; anything but 0 rings.",
    ["currency"],
    multiprocess_mode="mostrecent",
)


def rolling_up_jobs(wallet: Wallet) -> list[PeriodicJob]:
    """Return the periodic jobs that roll up the ledger and watch its balances."""
    return [
        PeriodicJob("roll_up_ledger", ROLL_UP_EVERY_SECONDS, lambda: roll_up_ledger(wallet)),
        PeriodicJob("watch_ledger", WATCH_EVERY_SECONDS, lambda: watch(wallet)),
    ]


def roll_up_ledger(wallet: Wallet) -> int:
    """Roll up what is committed for good.

    Returns:
        How many entries were taken; no more than a bound at a time.

    Raises:
        DBAPIError: `rollup_cut_goes_back`, where the data was carried to another cluster without
            its transaction counter. It rings as a failing job; see docs/ledger.md.
    """
    taken = roll_up(wallet.database, rollups_max=ROLLUPS_MAX)
    ROLLED_UP.inc(taken)
    return taken


def watch(wallet: Wallet) -> LedgerWatch:
    """Show the balances of system accounts, whether the books balance, and what waits."""
    seen = watch_ledger(wallet.database)
    for one in seen.system:
        SYSTEM_BALANCE.labels(one.kind, one.currency).set(float(one.balance))
    for currency, imbalance in seen.imbalances().items():
        IMBALANCE.labels(currency).set(float(imbalance))
    ROLLUP_AGE.set(_age_seconds(seen.oldest_waiting_at, now=wallet.clock.now()))
    return seen


def _age_seconds(since: datetime | None, *, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
