"""Webhook deliveries: what the provider sent, kept as it came."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from octoco.money import Money
from payments_gateway.domain.provider import PayoutState, PurchaseState


class WebhookObject(StrEnum):
    """What a delivery is about."""

    PURCHASE = "purchase"
    PAYOUT = "payout"
    # A movement that belongs to a purchase: a refund or a chargeback.
    PAYMENT = "payment"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class WebhookSummary:
    """Where a delivery points; nothing in it is trusted beyond that.

    Args:
        object_id: The provider's id of the object.
        purchase_id: For a payment, the purchase it belongs to.
        claims: The state that the event's name claims, if it claims one: a reading that does
            not show it yet is looked at again.
        went_back: For a payment that succeeded, how much of the purchase it says went back.
        went_back_at: When it says so, UTC; None if it does not say.
    """

    event_type: str
    object: WebhookObject
    object_id: str
    purchase_id: str | None = None
    claims: PurchaseState | PayoutState | None = None
    went_back: Money | None = None
    went_back_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """An authentic delivery, stored before anything is done about it.

    Args:
        body: The raw bytes that were signed.
        summary: None if the body cannot be read.
        outcome: What was done about it; None until then.
    """

    delivery_id: str
    body: bytes
    signature: str
    summary: WebhookSummary | None
    received_at: datetime
    outcome: str | None = None

    @property
    def body_sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """A delivery that nobody of ours signed; kept within a bound, for a person to look at."""

    code: str
    body: bytes
    signature: str
    received_at: datetime
