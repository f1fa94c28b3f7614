"""The totals of fees that were told, on PostgreSQL: inserted first, read by their key after."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import sqlalchemy

from octoco.money import Money
from wallet.domain.money_facts import FeeTold

_TELL_FIRSTS: Final = sqlalchemy.text(
    """
    INSERT INTO fee_totals (subject, currency, totals, changed_at)
    SELECT subject, currency, ARRAY[total], :at
    FROM unnest(CAST(:subjects AS text[]), CAST(:currencies AS text[]),
                CAST(:totals AS numeric[])) AS told (subject, currency, total)
    ORDER BY subject
    ON CONFLICT (subject) DO NOTHING
    RETURNING subject
    """
)
_LOCK: Final = sqlalchemy.text(
    "SELECT currency, totals FROM fee_totals WHERE subject = :subject FOR UPDATE"
)
_APPEND: Final = sqlalchemy.text(
    """
    UPDATE fee_totals SET totals = totals || CAST(:total AS numeric), changed_at = :at
    WHERE subject = :subject
    """
)


class PostgresFeeTotals:
    """See `wallet.use_cases.ports.FeeTotals`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def tell(self, *, subject: str, total: Money, at: datetime) -> FeeTold:
        if self.tell_firsts({subject: total}, at=at):
            return FeeTold(is_new=True, before=None)
        row = self._connection.execute(_LOCK, {"subject": subject}).one()
        before = Money(row.totals[-1], row.currency)
        if before.currency != total.currency:
            return FeeTold(is_new=False, before=before, in_another_currency=True)
        if total.amount in row.totals:
            return FeeTold(is_new=False, before=before)
        self._connection.execute(_APPEND, {"subject": subject, "total": total.amount, "at": at})
        return FeeTold(is_new=True, before=before)

    def tell_firsts(self, totals: Mapping[str, Money], *, at: datetime) -> frozenset[str]:
        rows = self._connection.execute(
            _TELL_FIRSTS,
            {
                "subjects": list(totals),
                "currencies": [total.currency for total in totals.values()],
                "totals": [total.amount for total in totals.values()],
                "at": at,
            },
        )
        return frozenset(row.subject for row in rows)
