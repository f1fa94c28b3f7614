"""What a payment provider tells us, in our own words: readings of purchases and payouts.

A reading is one answer of the provider at one moment. It may be old when it is acted upon, so it
carries the instant before which it was asked for (`read_at`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from octoco.money import Money
from payments_gateway.domain.sensitive import SensitiveText


class PurchaseState(StrEnum):
    """Where a purchase stands at the provider."""

    PAYABLE = "payable"
    UNDER_WAY = "under_way"
    PAID = "paid"
    # The money was in; all or part of it has gone or is going back since.
    PAID_THEN_REVERSED = "paid_then_reversed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    # A status we have never heard of: not final, not money, look again.
    UNKNOWN = "unknown"

    @property
    def money_came_in(self) -> bool:
        return self in (PurchaseState.PAID, PurchaseState.PAID_THEN_REVERSED)


class PayoutState(StrEnum):
    """Where a payout stands at the provider."""

    INITIALIZED = "initialized"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    # The provider reports an error; only the attempt's code tells whether it is an answer.
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at moving the money, as the provider reports it.

    Args:
        successful: Whether the provider calls it successful.
        error_code: The provider's code of the failure; None if it gave none.
        at: When the provider processed it, timezone-aware UTC; None if it did not say.
    """

    successful: bool
    error_code: str | None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Merchant:
    """Whose an object is at the provider, and whether it is play money.

    Args:
        company_id: The company at the provider.
        brand_id: The brand; None where the provider's object does not say.
        is_test: True for objects of the test mode.
    """

    company_id: str
    brand_id: str | None
    is_test: bool

    def difference_to(self, ours: "Merchant") -> str | None:
        """Name the first thing in which an object's owner is not us; None if it is ours."""
        if self.is_test != ours.is_test:
            return "is_test"
        if self.company_id != ours.company_id:
            return "company_id"
        if self.brand_id is not None and self.brand_id != ours.brand_id:
            return "brand_id"
        return None


@dataclass(frozen=True, slots=True)
class PurchaseReading:
    """A purchase as the provider showed it.

    Args:
        purchase_id: The provider's id.
        reference: What we called it; not unique at the provider.
        state: Its status in our words.
        provider_status: Its status in the provider's words, kept as evidence.
        asked: What the payer is asked for.
        paid: What came in, before fees; None until money moved.
        fee: What the provider keeps of it; None until known.
        paid_at: When the provider says that it was paid, UTC; None if it does not say.
        attempts: Tries at the checkout, newest first.
        read_at: An instant before the provider was asked, UTC.
        refundable: What of `paid` has not gone back; None if the provider does not say.
    """

    purchase_id: str
    reference: str
    state: PurchaseState
    provider_status: str
    asked: Money
    paid: Money | None
    fee: Money | None
    paid_at: datetime | None
    checkout_url: str
    expires_at: datetime | None
    attempts: tuple[Attempt, ...]
    merchant: Merchant
    read_at: datetime
    refundable: Money | None = None

    @property
    def went_back(self) -> Money | None:
        """How much of what came in has gone back, as far as the purchase shows it."""
        if self.state is not PurchaseState.PAID_THEN_REVERSED:
            return None
        if self.paid is None or self.refundable is None:
            return None
        return self.paid - self.refundable

    @property
    def failed_attempts_oldest_first(self) -> tuple[Attempt, ...]:
        return tuple(attempt for attempt in reversed(self.attempts) if not attempt.successful)


@dataclass(frozen=True, slots=True)
class PayoutReading:
    """A payout as the provider showed it; the arguments mean what they mean for a purchase.

    Args:
        execution_url: Where to ask for its execution. Whoever has it can move the money.
    """

    payout_id: str
    reference: str
    state: PayoutState
    provider_status: str
    amount: Money
    fee: Money | None
    paid_at: datetime | None
    attempts: tuple[Attempt, ...]
    execution_url: SensitiveText | None
    merchant: Merchant
    read_at: datetime


@dataclass(frozen=True, slots=True)
class PurchaseOrder:
    """What we ask the provider to let a user pay.

    Args:
        reference: Our transaction's id.
        expires_at: No payment may start after this instant, UTC.
    """

    reference: str
    money: Money
    email: str
    full_name: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class BankDestination:
    """Where a payout goes."""

    account_holder: str
    bank_name: str
    branch_code: str
    account_number: SensitiveText
    account_type: str


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """What we ask the provider to prepare for paying out; preparing moves nothing."""

    reference: str
    money: Money
    email: str
    full_name: str
    destination: BankDestination


@dataclass(frozen=True, slots=True)
class ExecutionAnswer:
    """What the provider said at once to the order to execute; the payout itself decides.

    Args:
        said: The provider's word in ours; UNKNOWN if it said nothing that we understand.
        error_code: The code it gave with a refusal or an error.
    """

    said: PayoutState
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class RegisteredWebhook:
    """A webhook of ours at the provider, with the key that verifies its deliveries."""

    webhook_id: str
    callback_url: str
    public_key_pem: str = field(repr=False)
