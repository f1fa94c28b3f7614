"""Roll up the ledger, and read from it what is watched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import sqlalchemy

from octoco.database import Database

_ROLL_UP: Final = "SELECT roll_up_system_accounts()"
_OLDEST_WAITING: Final = """
    WITH last AS (
        SELECT up_to_xid, up_to_id FROM rollups
        UNION ALL SELECT '0', 0 ORDER BY 1 DESC, 2 DESC LIMIT 1
    ), oldest AS (
        SELECT id FROM transfers
        WHERE (recorded_in, id) >= ((SELECT up_to_xid FROM last), (SELECT up_to_id FROM last))
        ORDER BY recorded_in, id LIMIT 1
    )
    SELECT min(e.booked_at) FROM entries e JOIN oldest ON oldest.id = e.transfer_id
"""
_SYSTEM_BALANCES: Final = """
    SELECT currency, kind::text AS kind, balance FROM kind_balances()
    WHERE kind NOT IN ('available', 'held', 'receivable')
"""
_USERS_BALANCES: Final = """
    SELECT currency,
           sum(CASE kind WHEN 'receivable' THEN -balance ELSE balance END) AS balance
    FROM ledger_accounts WHERE user_id IS NOT NULL GROUP BY currency
"""


@dataclass(frozen=True, slots=True)
class SystemBalance:
    """The balance of a system account now, signed: money that the business has is below zero."""

    currency: str
    kind: str
    balance: Decimal


@dataclass(frozen=True, slots=True)
class LedgerWatch:
    """What is watched of the ledger, all of one snapshot.

    Args:
        system: The system's accounts that ever moved, from rollups and what came after.
        users: The running balances of all users, by currency.
        oldest_waiting_at: When the oldest entry was booked that no rollup has taken; None if
            nothing waits.
    """

    system: Sequence[SystemBalance]
    users: dict[str, Decimal]
    oldest_waiting_at: datetime | None

    def imbalances(self) -> dict[str, Decimal]:
        """Return by currency what running balances and entries differ by: zero, if all is well."""
        sums = dict(self.users)
        for one in self.system:
            sums[one.currency] = sums.get(one.currency, Decimal(0)) + one.balance
        return sums


def roll_up(database: Database, *, rollups_max: int) -> int:
    """Roll up what is committed for good, in bounded slices of a unit each.

    One process at a time does so; another one returns at once.

    Args:
        database: Of the wallet.
        rollups_max: Most slices in this call; the next call goes on.

    Returns:
        How many entries were rolled up.
    """
    entries = 0
    for _ in range(rollups_max):
        ((taken,),) = database.statement(_ROLL_UP, {})
        if not taken:
            break
        entries += taken
    return entries


def watch_ledger(database: Database) -> LedgerWatch:
    """Read the balances of system accounts and the sum of the users', on one snapshot."""

    def work(connection: sqlalchemy.Connection) -> LedgerWatch:
        return LedgerWatch(
            system=[
                SystemBalance(row.currency, row.kind, row.balance)
                for row in connection.exec_driver_sql(_SYSTEM_BALANCES)
            ],
            users={
                row.currency: row.balance for row in connection.exec_driver_sql(_USERS_BALANCES)
            },
            oldest_waiting_at=connection.exec_driver_sql(_OLDEST_WAITING).scalar(),
        )

    return database.read(work)
