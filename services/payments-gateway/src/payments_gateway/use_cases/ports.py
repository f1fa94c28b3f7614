"""What the use cases need of the world: stores in a unit of work, the provider, signatures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from octoco.money import Money
from octoco.ports import MessagingUnit
from payments_gateway.domain.bank_accounts import BankAccount, BankAccountDetails
from payments_gateway.domain.cases import Case
from payments_gateway.domain.checkouts import Checkout, Purchase
from payments_gateway.domain.money_facts import MoneyFact
from payments_gateway.domain.payouts import Payout
from payments_gateway.domain.provider import (
    BankDestination,
    ExecutionAnswer,
    PayoutOrder,
    PayoutReading,
    PurchaseOrder,
    PurchaseReading,
    RegisteredWebhook,
)
from payments_gateway.domain.sensitive import SensitiveText
from payments_gateway.domain.webhooks import RefusedWebhook, WebhookDelivery, WebhookSummary


class PaymentProvider(Protocol):
    """A payment provider, in our words. Every call has a time limit; none is made in a unit.

    Every method raises `octoco.errors.Unavailable` when the provider gave no answer that settles
    the call: it is away, too slow, failing, or it said something that nobody understands.
    """

    def create_purchase(self, order: PurchaseOrder) -> PurchaseReading:
        """Let a user pay. A repeat makes another purchase, which moves nothing until paid.

        Raises:
            ProviderRefused: the provider turned it down; there is no purchase.
        """
        ...

    def read_purchase(self, purchase_id: str) -> PurchaseReading | None:
        """Look at a purchase; None if the provider does not know it."""
        ...

    def cancel_purchase(self, purchase_id: str) -> PurchaseReading | None:
        """See to it that a purchase cannot be paid any more, if that can still be done.

        Returns:
            The purchase as it is afterwards: cancelled, or whatever kept it from being so. None
            if the provider does not know it. A repeat is harmless.
        """
        ...

    def create_payout(self, order: PayoutOrder) -> PayoutReading:
        """Prepare a payout. A repeat prepares another; a prepared payout moves nothing.

        Raises:
            ProviderRefused: the provider turned it down; there is no payout.
        """
        ...

    def execute_payout(
        self, *, payout_id: str, execution_url: SensitiveText, destination: BankDestination
    ) -> ExecutionAnswer:
        """Order a prepared payout to be executed: MONEY MOVES. Never order it twice.

        Returns:
            What the provider said, including that it said no. The payout's reading decides.

        Raises:
            Unavailable: there was no answer, or none that can be understood. The payout may or
                may not have been executed.
        """
        ...

    def read_payout(self, payout_id: str) -> PayoutReading | None:
        """Look at a payout; None if the provider does not know it."""
        ...

    def payout_float(self, currency: str) -> Money:
        """Return how much the provider can pay out for us now."""
        ...

    def webhooks(self, callback_url: str) -> Sequence[RegisteredWebhook]:
        """List the webhooks that call `callback_url`."""
        ...

    def register_webhook(self, callback_url: str) -> RegisteredWebhook:
        """Have all events sent to `callback_url`."""
        ...


class WebhookFormat(Protocol):
    """How the provider writes and signs webhooks."""

    def is_signed_by(self, *, public_key_pem: str, body: bytes, signature: str) -> bool:
        """Tell whether the key's owner signed exactly these bytes."""
        ...

    def summarise(self, body: bytes) -> WebhookSummary | None:
        """Read where a delivery points; None if it cannot be read."""
        ...


class BankAccountVerification(Protocol):
    """How a bank account is found to be its user's. May call the outside; no unit is open."""

    def verified_at_once(self, details: BankAccountDetails) -> bool:
        """Tell whether nothing more is needed; if more is, verification goes on later."""
        ...


@dataclass(frozen=True, slots=True)
class KnownUser:
    """What we keep about a user, because the provider requires it.

    Args:
        as_of: When accounts said so; older news changes nothing.
    """

    user_id: str
    email: str
    full_name: str
    as_of: datetime


class KnownUsers(Protocol):
    def find(self, user_id: str) -> KnownUser | None: ...

    def keep(self, user: KnownUser) -> None:
        """Store a user, unless what is stored is newer."""
        ...


class Checkouts(Protocol):
    def find(self, transaction_id: str) -> Checkout | None: ...
    def lock(self, transaction_id: str) -> Checkout | None: ...
    def insert(self, checkout: Checkout) -> None: ...
    def save(self, checkout: Checkout) -> None: ...


class Purchases(Protocol):
    def find(self, purchase_id: str) -> Purchase | None: ...
    def lock(self, purchase_id: str) -> Purchase | None: ...
    def of_transaction(self, transaction_id: str) -> Sequence[Purchase]: ...
    def insert(self, purchase: Purchase) -> None: ...
    def save(self, purchase: Purchase) -> None: ...


class Payouts(Protocol):
    def find(self, transaction_id: str) -> Payout | None: ...
    def lock(self, transaction_id: str) -> Payout | None: ...
    def transaction_of(self, payout_id: str) -> str | None:
        """Return the transaction that the provider's payout was chosen for."""
        ...

    def insert(self, payout: Payout) -> None: ...
    def save(self, payout: Payout) -> None: ...


class BankAccounts(Protocol):
    def find(self, bank_account_id: str) -> BankAccount | None:
        """Return the account, a removed one too."""
        ...

    def lock(self, bank_account_id: str) -> BankAccount | None: ...
    def kept_by(self, user_id: str) -> Sequence[BankAccount]:
        """Return the user's accounts that are not removed, oldest first."""
        ...

    def insert(self, bank_account: BankAccount) -> None: ...
    def mark_removed(self, bank_account_id: str, *, at: datetime) -> None: ...


class MoneyFacts(Protocol):
    def insert(self, fact: MoneyFact) -> bool:
        """Store a fact under its key, once for ever.

        Returns:
            True if it is new; False if it was told before, which changes nothing.
        """
        ...

    def lock(self, fact_key: str) -> MoneyFact | None: ...
    def save(self, fact: MoneyFact) -> None: ...
    def gone_back(self, purchase_id: str) -> Sequence[MoneyFact]:
        """Return the refunds and chargebacks of a purchase that were told."""
        ...

    def oldest_unanswered_at(self) -> datetime | None:
        """Return when the oldest fact without an answer became known; None if there is none."""
        ...


class Cases(Protocol):
    def open(self, case: Case) -> bool:
        """Store a case, once for its kind and subject.

        Returns:
            True if it is new; False if there is one, which changes nothing.
        """
        ...

    def open_ones(self, *, limit: int) -> Sequence[Case]:
        """Return open cases, newest first."""
        ...

    def count_open(self) -> dict[str, int]:
        """Return how many open cases there are of each kind."""
        ...


class WebhookDeliveries(Protocol):
    def insert(self, delivery: WebhookDelivery) -> bool:
        """Store an authentic delivery.

        Returns:
            True if it is new; False if these very bytes came before.
        """
        ...

    def find(self, delivery_id: str) -> WebhookDelivery | None: ...
    def finish(self, delivery_id: str, *, outcome: str, at: datetime) -> None: ...
    def keep_refused(self, refused: RefusedWebhook) -> None:
        """Store a refused delivery in the place of the oldest one kept."""
        ...


class WebhookRegistrations(Protocol):
    def all(self) -> Sequence[RegisteredWebhook]: ...
    def replace(self, webhooks: Sequence[RegisteredWebhook], *, at: datetime) -> None: ...
    def claim_key_reading(self, *, at: datetime, last_before: datetime) -> bool:
        """Take the turn to read the keys again, if the last turn was before `last_before`."""
        ...


class Tombstones(Protocol):
    """Transactions that were cancelled before their request arrived."""

    def bury(self, transaction_id: str) -> None: ...
    def holds(self, transaction_id: str) -> bool: ...


class Unit(MessagingUnit, Protocol):
    """One unit of work of the payments gateway."""

    @property
    def users(self) -> KnownUsers: ...
    @property
    def checkouts(self) -> Checkouts: ...
    @property
    def purchases(self) -> Purchases: ...
    @property
    def payouts(self) -> Payouts: ...
    @property
    def bank_accounts(self) -> BankAccounts: ...
    @property
    def money_facts(self) -> MoneyFacts: ...
    @property
    def cases(self) -> Cases: ...
    @property
    def deliveries(self) -> WebhookDeliveries: ...
    @property
    def registrations(self) -> WebhookRegistrations: ...
    @property
    def tombstones(self) -> Tombstones: ...
