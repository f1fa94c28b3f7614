"""Money that is given or taken by hand, because two people agreed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from octoco.money import Money


class AdjustmentStatus(StrEnum):
    """Where a request for an adjustment stands."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """One person's request to change a user's money by hand, with another person's decision.

    Args:
        id: Its own; `adjustment:<id>` is the business key of what it books.
        user_id: Whose money it is.
        money: Above zero is given, below zero is taken.
        reason: Why it was asked for.
        requested_by: The operator who asked.
        requested_at: By the database's clock, UTC.
        status: Open until somebody else has decided.
        decided_by: The operator who decided; None while it is open, like what follows.
        decided_at: By the database's clock, UTC.
        decision_reason: Why it was decided so.
    """

    id: str
    user_id: str
    money: Money
    reason: str
    requested_by: str
    requested_at: datetime
    status: AdjustmentStatus
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_reason: str | None = None
