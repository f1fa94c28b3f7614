"""Cases: what a person has to look at, because no rule may decide it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from octoco.money import Money


class CaseKind(StrEnum):
    # A purchase at the provider that no deposit of ours asked for.
    UNKNOWN_PURCHASE = "unknown_purchase"
    # The same for a payout.
    UNKNOWN_PAYOUT = "unknown_payout"
    # An authentic webhook about an object that the provider does not show us.
    OBJECT_NOT_FOUND = "object_not_found"
    # An authentic webhook that we cannot read.
    WEBHOOK_UNREADABLE = "webhook_unreadable"
    # Company, brand or test mode of an object are not ours.
    NOT_OUR_MERCHANT = "not_our_merchant"
    # Amount or currency at the provider differ from what was asked.
    AMOUNT_DIFFERS = "amount_differs"
    # One deposit was paid by more than one purchase.
    PAID_TWICE = "paid_twice"
    # Money of a purchase went back, or is about to, without us asking for it.
    PURCHASE_REVERSED = "purchase_reversed"
    # A purchase that stays neither payable nor ended.
    PURCHASE_STUCK = "purchase_stuck"
    # Execution was ordered and the provider shows no sign of it.
    PAYOUT_NOT_BEGUN = "payout_not_begun"
    # The provider reports an error from which nobody can tell whether money moved.
    PAYOUT_UNKNOWN = "payout_unknown"
    # A payout moved that we never ordered to move.
    PAYOUT_MOVED_UNASKED = "payout_moved_unasked"
    PAYOUT_SUCCEEDED_AFTER_END = "payout_succeeded_after_end"
    PAYOUT_FAILED_AFTER_SUCCESS = "payout_failed_after_success"
    # The provider's balance does not cover a payout.
    PAYOUT_FLOAT_SHORT = "payout_float_short"
    MONEY_FACT_REFUSED = "money_fact_refused"
    MONEY_FACT_SUSPENDED = "money_fact_suspended"
    MONEY_FACT_UNANSWERED = "money_fact_unanswered"


class CaseStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Case:
    """Something that waits for a person.

    Args:
        subject_id: What it is about; there is one case for each kind and subject.
        transaction_id: The wallet's transaction it touches, if one is known.
        money: The amount at stake, if one is known.
        evidence: JSON-ready facts; never a secret, never personal data.
    """

    kind: CaseKind
    subject_id: str
    opened_at: datetime
    transaction_id: str | None = None
    money: Money | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
    status: CaseStatus = CaseStatus.OPEN
