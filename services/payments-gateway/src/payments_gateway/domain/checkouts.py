"""A checkout: one deposit's way through the provider, and the purchases made for it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from octoco.context import WorkContext
from octoco.money import Money
from octoco.transitions import TransitionTable
from payments_gateway.domain.provider import PurchaseReading, PurchaseState


class CheckoutStatus(StrEnum):
    REQUESTED = "requested"
    OPEN = "open"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


# Money that came in is never refused, so every end but PAID may still become PAID.
CHECKOUT_MOVES = TransitionTable(
    {
        CheckoutStatus.REQUESTED: {
            CheckoutStatus.OPEN,
            CheckoutStatus.PAID,
            CheckoutStatus.CANCELLED,
            CheckoutStatus.FAILED,
        },
        CheckoutStatus.OPEN: {
            CheckoutStatus.PAID,
            CheckoutStatus.EXPIRED,
            CheckoutStatus.CANCELLED,
            CheckoutStatus.FAILED,
        },
        CheckoutStatus.EXPIRED: {CheckoutStatus.PAID},
        CheckoutStatus.CANCELLED: {CheckoutStatus.PAID},
        CheckoutStatus.FAILED: {CheckoutStatus.PAID},
        CheckoutStatus.PAID: set(),
    }
)


@dataclass(frozen=True, slots=True)
class Checkout:
    """One deposit that the wallet asked us to open a checkout for.

    Args:
        transaction_id: The wallet's deposit; our reference at the provider.
        purchase_id: The purchase the user was sent to; None until one is known.
        cancel_requested_at: When the user asked to give up; None if they did not.
        expires_at: No payment may start after it, UTC; None until a purchase is known.
        origin: The work that asked for it; whatever moves it on goes on with that. None if it is
            not known.
    """

    transaction_id: str
    user_id: str
    money: Money
    status: CheckoutStatus
    created_at: datetime
    purchase_id: str | None = None
    cancel_requested_at: datetime | None = None
    expires_at: datetime | None = None
    reason_code: str | None = None
    origin: WorkContext | None = field(default=None, compare=False)

    @property
    def awaits_purchase(self) -> bool:
        return self.status is CheckoutStatus.REQUESTED

    def moved_to(self, status: CheckoutStatus, *, reason_code: str | None = None) -> "Checkout":
        CHECKOUT_MOVES.require(self.status, status)
        return replace(self, status=status, reason_code=reason_code)


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase at the provider that we have heard of.

    Args:
        transaction_id: The deposit it was made for; None if it matches nothing of ours.
        state: Where the newest reading put it.
        attempts_failed: How many failed attempts have been announced.
        expires_at: By our own clock, UTC.
    """

    purchase_id: str
    transaction_id: str | None
    state: PurchaseState
    provider_status: str
    seen_at: datetime
    expires_at: datetime | None
    attempts_failed: int = 0


def end_shown_by(
    reading: PurchaseReading, *, expires_at: datetime | None, grace: timedelta
) -> CheckoutStatus | None:
    """Say which end of an open checkout a reading without money shows, if any.

    The provider announces no expiry, so our own clock decides. A payment that began before the
    end may still be on its way then: the checkout ends only `grace` after `expires_at`, and only
    by a reading that was asked for after that.

    Returns:
        The end, or None while the purchase may still be paid.
    """
    if reading.state is PurchaseState.CANCELLED:
        return CheckoutStatus.CANCELLED
    if reading.state is PurchaseState.BLOCKED:
        return CheckoutStatus.FAILED
    if reading.state is PurchaseState.EXPIRED:
        return CheckoutStatus.EXPIRED
    overdue = expires_at is not None and reading.read_at >= expires_at + grace
    if reading.state is PurchaseState.PAYABLE and overdue:
        return CheckoutStatus.EXPIRED
    return None
