"""The ledger's past on PostgreSQL: entries and rollups, never running balances."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import sqlalchemy

from octoco.money import Money
from wallet.domain.ledger import Balance
from wallet.domain.statements import KindBalance, Position, Standing, UserEntry

_STANDINGS: Final = sqlalchemy.text(
    """
    SELECT currency, kind::text AS kind, version, balance
    FROM user_balances_as_of(:user_id, :at) ORDER BY currency
    """
)
_BALANCE_AT: Final = sqlalchemy.text(
    """
    SELECT a.kind::text AS kind, p.version,
           CASE p.version WHEN 0 THEN 0 ELSE e.balance_after END AS balance
    FROM (VALUES ('available', CAST(:available AS bigint)), ('held', :held),
                 ('receivable', :receivable)) AS p (kind, version)
    JOIN ledger_accounts a
        ON a.user_id = :user_id AND a.currency = :currency
       AND a.kind = p.kind::ledger_account_kind
    LEFT JOIN entries e ON e.ledger_account_id = a.id AND e.version = p.version
    """
)
# A deposit is about its purchase, whose answer names the transaction; anything else is about the
# transaction itself. What is somebody else's transaction stays unnamed. Subqueries and no joins:
# they cannot be planned as anything but a look at an index for each entry.
_ENTRIES: Final = sqlalchemy.text(
    """
    SELECT a.kind::text AS account, e.version, e.transfer_id, e.balance_after, e.booked_at,
           CASE a.kind WHEN 'receivable' THEN -e.amount ELSE e.amount END AS change,
           t.kind::text AS kind, t.effective_at,
           (SELECT x.id FROM transactions x
            WHERE x.user_id = :user_id AND x.id = coalesce(
                (SELECT f.transaction_id FROM money_fact_answers f
                 WHERE f.fact_key = 'purchase:' || t.subject),
                t.subject)) AS transaction_id,
           (SELECT count(*) FROM entries l
            WHERE l.transfer_id = t.id AND l.version IS NOT NULL) AS legs
    FROM (VALUES ('available', CAST(:available AS bigint), CAST(:available_up_to AS bigint)),
                 ('held', :held, :held_up_to), ('receivable', :receivable, :receivable_up_to)
         ) AS p (kind, after, up_to)
    JOIN ledger_accounts a
        ON a.user_id = :user_id AND a.currency = :currency
       AND a.kind = p.kind::ledger_account_kind
    CROSS JOIN LATERAL (
        SELECT * FROM entries
        WHERE ledger_account_id = a.id AND version > p.after AND version <= p.up_to
        ORDER BY version LIMIT :limit
    ) e
    JOIN transfers t ON t.id = e.transfer_id
    ORDER BY a.kind, e.version
    """
)
_KINDS: Final = sqlalchemy.text(
    """
    SELECT currency, kind::text AS kind, balance, entries
    FROM kind_balances(coalesce(CAST(:at AS timestamptz), 'infinity'), :currency)
    """
)
_IS_FINAL: Final = sqlalchemy.text(
    """
    SELECT coalesce((
        SELECT next_xid <= pg_snapshot_xmin(pg_current_snapshot()) FROM booking_marks
        WHERE marked_at >= :at ORDER BY marked_at LIMIT 1
    ), false)
    """
)


class PostgresBooks:
    """See `wallet.use_cases.reading_ports.Books`.

    Args:
        connection: Open in the unit's database transaction.
    """

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def standings_as_of(self, *, user_id: str, at: datetime) -> Sequence[Standing]:
        rows = self._connection.execute(_STANDINGS, {"user_id": user_id, "at": at})
        return [
            _standing(currency, {row.kind: row for row in of_currency})
            for currency, of_currency in groupby(rows, key=lambda row: str(row.currency))
        ]

    def balance_at(self, *, user_id: str, currency: str, position: Position) -> Balance | None:
        found = self._connection.execute(
            _BALANCE_AT,
            {
                "user_id": user_id,
                "currency": currency,
                "available": position.available,
                "held": position.held,
                "receivable": position.receivable,
            },
        )
        rows = {row.kind: row for row in found if row.balance is not None}
        return _standing(currency, rows).balance if len(rows) == 3 else None  # noqa: PLR2004 - kinds

    def entries_between(
        self, *, user_id: str, currency: str, after: Position, up_to: Position, limit: int
    ) -> Sequence[UserEntry]:
        rows = self._connection.execute(
            _ENTRIES,
            {
                "user_id": user_id,
                "currency": currency,
                "available": after.available,
                "held": after.held,
                "receivable": after.receivable,
                "available_up_to": up_to.available,
                "held_up_to": up_to.held,
                "receivable_up_to": up_to.receivable,
                "limit": limit,
            },
        )
        return [
            UserEntry(
                transfer_id=row.transfer_id,
                account=row.account,
                version=row.version,
                change=Money(row.change, currency),
                balance_after=Money(row.balance_after, currency),
                booked_at=row.booked_at,
                effective_at=row.effective_at,
                kind=row.kind,
                legs=row.legs,
                transaction_id=row.transaction_id,
            )
            for row in rows
        ]

    def kinds_as_of(self, *, at: datetime | None, currency: str | None) -> Sequence[KindBalance]:
        rows = self._connection.execute(_KINDS, {"at": at, "currency": currency})
        return [
            KindBalance(row.kind, Money(row.balance, row.currency), row.entries) for row in rows
        ]

    def is_final(self, at: datetime) -> bool:
        return bool(self._connection.execute(_IS_FINAL, {"at": at}).scalar_one())


def _standing(currency: str, rows: Mapping[str, Any]) -> Standing:
    available, held, receivable = (rows[kind] for kind in ("available", "held", "receivable"))
    return Standing(
        Balance(
            Money(available.balance, currency),
            Money(held.balance, currency),
            Money(receivable.balance, currency),
        ),
        Position(available.version, held.version, receivable.version),
    )
