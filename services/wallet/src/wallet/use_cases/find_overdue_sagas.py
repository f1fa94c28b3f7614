"""Find the sagas that have waited too long."""

from collections.abc import Sequence
from datetime import datetime

from wallet.use_cases.ports import OverdueSaga, WalletUnit


def find_overdue_sagas(unit: WalletUnit, *, at: datetime, limit: int) -> Sequence[OverdueSaga]:
    """Return what an operator has to look at. It only looks: no hold is ever ended by time.

    Args:
        unit: Open for reading.
        at: Now, UTC.
        limit: Most sagas to return.

    Returns:
        Most overdue first.
    """
    return unit.transactions.overdue(at=at, limit=limit)
