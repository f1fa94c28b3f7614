"""The ledger's nouns: postings, what was booked, balances."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from octoco.money import Money


class PostingKind(StrEnum):
    """Movements between the provider, the system's accounts and a user's own money."""

    DEPOSIT = "deposit"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    FEE = "fee"
    FEE_RETURN = "fee_return"
    SUSPENSE = "suspense"
    SUSPENSE_ASSIGNMENT = "suspense_assignment"
    SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One movement to be booked, once.

    Args:
        business_key: Posts once, forever: `purchase:<id>`, `fee:<id>:<total>`.
        kind: Between which accounts.
        user_id: Whose money it is; None for movements between system accounts.
        money: How much, above zero.
        subject: What it is about: a purchase, a payout or a transaction.
        effective_at: When it became true outside, timezone-aware UTC.
    """

    business_key: str
    kind: PostingKind
    user_id: str | None
    money: Money
    subject: str
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class Booked:
    """What a booking left behind.

    Args:
        repeated: True if the business key had posted before: nothing was moved now.
        available: What the user may spend after it; None where no user is concerned.
    """

    repeated: bool
    available: Money | None


@dataclass(frozen=True, slots=True)
class Balance:
    """A user's money in one currency.

    Args:
        available: May be spent.
        held: Set aside for withdrawals under way.
        receivable: What the user owes; the next credits repay it first.
    """

    available: Money
    held: Money
    receivable: Money

    @property
    def currency(self) -> str:
        return self.available.currency


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseMoney:
    """What became of the money that a purchase brought in.

    Args:
        purchase_id: Revio's purchase, or the reference of money that an operator entered.
        user_id: Who has it; None while it lies in suspense.
        came_in: What was booked when it came.
        refunded: What went back by refunds.
        charged_back: What went back by chargebacks that were not won.
        is_undone: The booking itself was reversed: nothing of it is here.
    """

    purchase_id: str
    user_id: str | None
    came_in: Money
    refunded: Money
    charged_back: Money
    is_undone: bool = False

    @property
    def left(self) -> Money:
        """What may still go back, or, in suspense, be assigned."""
        if self.is_undone:
            return Money.zero(self.came_in.currency)
        return self.came_in - self.refunded - self.charged_back


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendedPurchase:
    """Money in suspense that waits for an operator.

    Args:
        place: Grows with the order of booking; lists go on after it.
        purchase_id: Revio's purchase, or the reference of money that an operator entered.
        came_in: What was booked to suspense.
        left: What of it is still there.
        effective_at: When it came in, UTC.
        booked_at: When it was booked, UTC.
    """

    place: int
    purchase_id: str
    came_in: Money
    left: Money
    effective_at: datetime
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class Transfer:
    """A movement that the ledger holds."""

    business_key: str
    kind: str
    user_id: str | None
    money: Money
    subject: str
