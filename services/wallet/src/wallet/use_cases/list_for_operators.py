"""What waits for operators: adjustments, and money in suspense."""

from collections.abc import Sequence

from wallet.domain.adjustments import Adjustment, AdjustmentStatus
from wallet.domain.ledger import SuspendedPurchase
from wallet.use_cases.ports import WalletUnit


def list_adjustments(
    unit: WalletUnit, *, status: AdjustmentStatus | None, before_id: str | None, limit: int
) -> tuple[Sequence[Adjustment], str | None]:
    """Return one page of adjustments, newest first.

    Args:
        unit: Open for reading.
        status: Only these, if given.
        before_id: Where the page before ended; None for the first page.
        limit: Most adjustments on the page.

    Returns:
        The page, and the `before_id` of the next one; None when this is the last.
    """
    found = unit.adjustments.page(status=status, before_id=before_id, limit=limit + 1)
    page = found[:limit]
    return page, page[-1].id if len(found) > limit else None


def list_suspense(
    unit: WalletUnit, *, after: int, limit: int
) -> tuple[Sequence[SuspendedPurchase], int | None]:
    """Return one page of the purchases of which something lies in suspense, oldest first.

    Args:
        unit: Open for reading.
        after: Where the page before ended; 0 for the first page.
        limit: Most purchases on the page.

    Returns:
        The page, and the `after` of the next one; None when this is the last.
    """
    found = unit.ledger.in_suspense(after=after, limit=limit + 1)
    page = found[:limit]
    return page, page[-1].place if len(found) > limit else None
