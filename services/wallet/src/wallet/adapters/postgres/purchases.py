"""What became of the money of purchases, read from the ledger."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy

from octoco.money import Money
from wallet.domain.ledger import PurchaseMoney, SuspendedPurchase

_FIND: Final = sqlalchemy.text("SELECT * FROM money_of_purchase(:purchase_id)")
_IN_SUSPENSE: Final = sqlalchemy.text("SELECT * FROM money_in_suspense(:after, :limit)")


def find_purchase(connection: sqlalchemy.Connection, purchase_id: str) -> PurchaseMoney | None:
    """See `wallet.use_cases.ports.Ledger.purchase`."""
    row = connection.execute(_FIND, {"purchase_id": purchase_id}).one_or_none()
    if row is None:
        return None
    return PurchaseMoney(
        purchase_id=purchase_id,
        user_id=row.user_id,
        came_in=Money(row.came_in, row.currency),
        refunded=Money(row.refunded, row.currency),
        charged_back=Money(row.charged_back, row.currency),
        is_undone=row.is_undone,
    )


def list_suspended(
    connection: sqlalchemy.Connection, *, after: int, limit: int
) -> Sequence[SuspendedPurchase]:
    """See `wallet.use_cases.ports.Ledger.in_suspense`."""
    rows = connection.execute(_IN_SUSPENSE, {"after": after, "limit": limit})
    return [
        SuspendedPurchase(
            place=row.transfer_id,
            purchase_id=row.purchase_id,
            came_in=Money(row.came_in, row.currency),
            left=Money(row.amount_left, row.currency),
            effective_at=row.effective_at,
            booked_at=row.booked_at,
        )
        for row in rows
    ]
