"""Recompute the ledger from its entries, and name the first row that does not fit.

Every check reads all there is and returns at most one row: the first that breaks the rule. All of
them see one snapshot, so the ledger may go on working.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy

from octoco.database import Database


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of docs/ledger.md as a query for the rows that break it."""

    rule: str
    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: the first row that does not fit, or none."""

    check: Check
    row: dict[str, str] | None

    @property
    def holds(self) -> bool:
        return self.row is None


@dataclass(frozen=True, slots=True)
class TrialBalanceLine:
    """The sum of all entries of one kind of ledger account in one currency."""

    currency: str
    kind: str
    amount: str


CHECKS: Final = (
    Check(
        "L1",
        "entries of each transfer sum to zero per currency",
        """
        SELECT transfer_id, currency, sum(amount) AS sum FROM entries
        GROUP BY transfer_id, currency HAVING sum(amount) <> 0 ORDER BY transfer_id LIMIT 1
        """,
    ),
    Check(
        "L1",
        "each transfer has two legs or more",
        """
        SELECT t.id AS transfer_id, t.business_key, count(e.leg) AS legs
        FROM transfers t LEFT JOIN entries e ON e.transfer_id = t.id
        GROUP BY t.id HAVING count(e.leg) < 2 ORDER BY t.id LIMIT 1
        """,
    ),
    Check(
        "L1",
        "each entry belongs to a transfer",
        """
        SELECT e.transfer_id, e.leg FROM entries e
        WHERE NOT EXISTS (SELECT FROM transfers t WHERE t.id = e.transfer_id)
        ORDER BY e.transfer_id LIMIT 1
        """,
    ),
    Check(
        "L1",
        "each transfer moves the amount it names",
        """
        SELECT t.id AS transfer_id, t.business_key, t.amount, sum(e.amount) AS moved
        FROM transfers t
        JOIN entries e ON e.transfer_id = t.id AND e.amount > 0
        LEFT JOIN holds h ON h.ended_by = t.id AND h.outcome = 'settled'
        GROUP BY t.id, h.amount HAVING sum(e.amount) <> coalesce(h.amount, t.amount)
        ORDER BY t.id LIMIT 1
        """,
    ),
    Check(
        "L2",
        "entries have the currency and scale of their ledger account",
        """
        SELECT e.transfer_id, e.leg, e.currency, e.amount
        FROM entries e LEFT JOIN ledger_accounts a ON a.id = e.ledger_account_id
        LEFT JOIN transfers t ON t.id = e.transfer_id
        WHERE a.currency IS DISTINCT FROM e.currency
           OR t.currency IS DISTINCT FROM e.currency
           OR scale(e.amount) IS DISTINCT FROM a.exponent::integer
        ORDER BY e.transfer_id LIMIT 1
        """,
    ),
    Check(
        "L4",
        "versions of each ledger account have no gap",
        """
        SELECT ledger_account_id, version, expected FROM (
            SELECT ledger_account_id, version,
                   row_number() OVER (PARTITION BY ledger_account_id ORDER BY version) AS expected
            FROM entries WHERE version IS NOT NULL
        ) e
        WHERE version <> expected ORDER BY ledger_account_id, version LIMIT 1
        """,
    ),
    Check(
        "L4",
        "each balance_after is the sum of the entries up to it",
        """
        SELECT ledger_account_id, version, balance_after, expected FROM (
            SELECT e.ledger_account_id, e.version, e.balance_after,
                   a.sign * sum(e.amount) OVER (
                       PARTITION BY e.ledger_account_id ORDER BY e.version) AS expected
            FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
            WHERE e.version IS NOT NULL
        ) e
        WHERE balance_after <> expected ORDER BY ledger_account_id, version LIMIT 1
        """,
    ),
    Check(
        "L4",
        "time does not run backwards along a ledger account",
        """
        SELECT ledger_account_id, version, booked_at, booked_before FROM (
            SELECT ledger_account_id, version, booked_at,
                   lag(booked_at) OVER (PARTITION BY ledger_account_id ORDER BY version)
                       AS booked_before
            FROM entries WHERE version IS NOT NULL
        ) e
        WHERE booked_at < booked_before ORDER BY ledger_account_id, version LIMIT 1
        """,
    ),
    Check(
        "L5",
        "each balance equals its entries",
        """
        SELECT a.id AS ledger_account_id, a.user_id, a.kind, a.balance, a.version,
               coalesce(a.sign * sum(e.amount), 0) AS expected, count(e.leg) AS expected_version
        FROM ledger_accounts a LEFT JOIN entries e ON e.ledger_account_id = a.id
        WHERE a.user_id IS NOT NULL
        GROUP BY a.id
        HAVING a.balance <> coalesce(a.sign * sum(e.amount), 0) OR a.version <> count(e.leg)
        ORDER BY a.id LIMIT 1
        """,
    ),
    Check(
        "L5",
        "no balance is below zero",
        """
        SELECT id AS ledger_account_id, user_id, kind, balance FROM ledger_accounts
        WHERE balance < 0 ORDER BY id LIMIT 1
        """,
    ),
    Check(
        "L6",
        "held equals the open holds",
        """
        SELECT a.user_id, a.currency, a.balance, coalesce(sum(h.amount), 0) AS expected
        FROM ledger_accounts a
        LEFT JOIN holds h
            ON h.user_id = a.user_id AND h.currency = a.currency AND h.ended_by IS NULL
        WHERE a.kind = 'held'
        GROUP BY a.id HAVING a.balance <> coalesce(sum(h.amount), 0) ORDER BY a.id LIMIT 1
        """,
    ),
    Check(
        "L6",
        "open holds are those of open withdrawals",
        """
        SELECT coalesce(h.subject, t.id) AS transaction_id, t.status, h.amount AS held, t.amount
        FROM (SELECT * FROM holds WHERE ended_by IS NULL) h
        FULL JOIN (
            SELECT * FROM transactions
            WHERE kind = 'withdrawal' AND status IN ('pending', 'processing')
        ) t ON t.id = h.subject
        WHERE (t.amount, t.currency, t.user_id) IS DISTINCT FROM (h.amount, h.currency, h.user_id)
        ORDER BY 1 LIMIT 1
        """,
    ),
    Check(
        "L6",
        "each hold is placed and ended by its own transfers",
        """
        SELECT h.subject, h.placed_by, h.ended_by, h.outcome FROM holds h
        LEFT JOIN transfers p ON p.id = h.placed_by
        LEFT JOIN transfers e ON e.id = h.ended_by
        WHERE p.business_key IS DISTINCT FROM 'hold:' || h.subject
           OR p.amount <> h.amount
           OR (h.ended_by IS NOT NULL AND (
               e.business_key IS DISTINCT FROM 'hold_end:' || h.subject
               OR e.kind IS DISTINCT FROM
                  CASE h.outcome WHEN 'settled' THEN 'settlement' ELSE 'release' END))
        ORDER BY h.subject LIMIT 1
        """,
    ),
    Check(
        "L8",
        "each completed deposit was credited once, to its user",
        """
        SELECT x.id AS transaction_id, x.provider_id, t.business_key, t.user_id, t.amount
        FROM transactions x
        LEFT JOIN transfers t ON t.business_key = 'purchase:' || x.provider_id
        WHERE x.kind = 'deposit'
          AND x.status NOT IN ('pending', 'review', 'failed', 'cancelled', 'expired')
          AND (t.kind, t.user_id, t.amount, t.currency)
              IS DISTINCT FROM ('deposit', x.user_id, x.amount, x.currency)
        ORDER BY x.id LIMIT 1
        """,
    ),
    Check(
        "L8",
        "each credit has its completed deposit",
        """
        SELECT t.id AS transfer_id, t.business_key, t.user_id, t.amount FROM transfers t
        WHERE t.kind = 'deposit' AND NOT EXISTS (
            SELECT FROM transactions x
            WHERE x.kind = 'deposit' AND x.user_id = t.user_id AND x.provider_id = t.subject
              AND x.status NOT IN ('pending', 'review', 'failed', 'cancelled', 'expired'))
        ORDER BY t.id LIMIT 1
        """,
    ),
)

_TRIAL_BALANCE: Final = """
    SELECT a.currency, a.kind, sum(e.amount) AS amount
    FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
    GROUP BY a.currency, a.kind ORDER BY a.currency, a.kind
"""


# The queries are sent as they stand: nothing in them is a parameter.
_NO_PARAMETERS: Final = {"no_parameters": True}


def audit_ledger(database: Database, *, on_check: Callable[[Check], None]) -> Sequence[Finding]:
    """Run every check on one REPEATABLE READ snapshot of a live ledger.

    Args:
        database: Of the wallet.
        on_check: Told of each check after it ran.

    Returns:
        One finding for each check, in the order of docs/ledger.md.
    """
    return database.read(lambda connection: findings_on(connection, on_check=on_check))


def findings_on(
    connection: sqlalchemy.Connection, *, on_check: Callable[[Check], None]
) -> Sequence[Finding]:
    """Run every check on what an open connection sees; see `audit_ledger`."""
    _allow_time(connection)
    findings = []
    for check in CHECKS:
        found = connection.exec_driver_sql(check.query, execution_options=_NO_PARAMETERS)
        row = found.one_or_none()
        findings.append(Finding(check, None if row is None else _texts(row)))
        on_check(check)
    return findings


def trial_balance(database: Database) -> Sequence[TrialBalanceLine]:
    """Sum all entries by currency and kind of account; each currency's lines sum to zero."""

    def work(connection: sqlalchemy.Connection) -> Sequence[TrialBalanceLine]:
        _allow_time(connection)
        rows = connection.exec_driver_sql(_TRIAL_BALANCE)
        return [TrialBalanceLine(row.currency, row.kind, str(row.amount)) for row in rows]

    return database.read(work)


def _allow_time(connection: sqlalchemy.Connection) -> None:
    # Reading everything takes longer than a request may.
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def _texts(row: Any) -> dict[str, str]:
    return {name: str(value) for name, value in row._mapping.items()}  # noqa: SLF001
