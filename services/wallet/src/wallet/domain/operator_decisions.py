"""What people decide about other people's money."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from octoco.ids import new_id
from wallet.domain.errors import ReasonMissing

REASON_LENGTH_MAX: Final = 1000


class DecisionAction(StrEnum):
    """What an operator did."""

    WITHDRAWAL_APPROVED = "withdrawal_approved"
    WITHDRAWAL_REFUSED = "withdrawal_refused"
    ADJUSTMENT_REQUESTED = "adjustment_requested"
    ADJUSTMENT_APPROVED = "adjustment_approved"
    ADJUSTMENT_REFUSED = "adjustment_refused"
    SUSPENSE_ENTERED = "suspense_entered"
    SUSPENSE_UNDONE = "suspense_undone"
    SUSPENSE_ASSIGNED = "suspense_assigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDecision:
    """One decision of a person; it is never changed and never removed.

    Args:
        id: Its own.
        at: When it was made, timezone-aware UTC.
        operator_id: The user whose token asked for it.
        action: What was done.
        subject: What it was done to: the id of a transaction, a purchase, an adjustment.
        reason: Why, in the operator's words.
        details: Further facts, JSON-ready; ids and amounts, no secrets.
    """

    id: str
    at: datetime
    operator_id: str
    action: DecisionAction
    subject: str
    reason: str
    details: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def made(
        cls,
        *,
        operator_id: str,
        action: DecisionAction,
        subject: str,
        reason: str,
        at: datetime,
        details: Mapping[str, object] | None = None,
    ) -> "OperatorDecision":
        """Write a decision down.

        Raises:
            ReasonMissing: no reason is given, or one longer than 1,000 characters.
        """
        words = reason.strip()
        if not 1 <= len(words) <= REASON_LENGTH_MAX:
            raise ReasonMissing(
                f"Give a reason of 1 to {REASON_LENGTH_MAX} characters.", field="reason"
            )
        return cls(
            id=new_id("dec"),
            at=at,
            operator_id=operator_id,
            action=action,
            subject=subject,
            reason=words,
            details=details or {},
        )
