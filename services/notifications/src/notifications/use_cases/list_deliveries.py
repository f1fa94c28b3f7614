"""Show a user what they were told."""

from collections.abc import Sequence
from dataclasses import dataclass

from notifications.domain.deliveries import Delivery, DeliveryId
from notifications.use_cases.ports import NotificationsUnit
from octoco.ports import UnitsOfWork


@dataclass(frozen=True, slots=True)
class DeliveriesPage:
    """One page, newest first.

    Args:
        items: The deliveries, without tokens.
        next_before: Where the next page begins; None on the last page.
    """

    items: Sequence[Delivery]
    next_before: DeliveryId | None


def list_deliveries(
    units: UnitsOfWork[NotificationsUnit],
    *,
    user_id: str,
    before: DeliveryId | None,
    limit: int,
) -> DeliveriesPage:
    """Return one page of the user's own deliveries.

    Args:
        units: Where to read.
        user_id: Whose.
        before: From the page before; None for the first page.
        limit: How many at most, one or more.

    Raises:
        Unavailable: the database is away.
    """
    # One more than asked for tells whether there is a next page.
    found = units.read(
        lambda unit: unit.deliveries.page_of(user_id, before=before, limit=limit + 1)
    )
    items = found[:limit]
    return DeliveriesPage(items, items[-1].id if len(found) > limit else None)
