"""Running one SQL statement on a unit's connection."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy

from octoco.money import Money


class Statements:
    """A store's way to its tables.

    Args:
        connection: Open in the unit's database transaction.
    """

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def one(self, sql: str, **values: Any) -> Any | None:
        """Return the only row that the statement finds, or None."""
        return self._connection.execute(sqlalchemy.text(sql), values).one_or_none()

    def all(self, sql: str, **values: Any) -> Sequence[Any]:
        """Return every row that the statement finds."""
        return self._connection.execute(sqlalchemy.text(sql), values).all()

    def run(self, sql: str, **values: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return self._connection.execute(sqlalchemy.text(sql), values).rowcount


def optional_money(amount: Decimal | None, currency: str | None) -> Money | None:
    return None if amount is None or currency is None else Money(amount, currency)
