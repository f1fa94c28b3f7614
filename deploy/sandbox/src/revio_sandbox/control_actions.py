"""What control can make happen to purchases, payouts and webhooks."""

from dataclasses import dataclass

from revio_sandbox import payouts, purchases, refunds
from revio_sandbox.api_errors import ApiError
from revio_sandbox.deliveries import Addressee, render_body
from revio_sandbox.objects import Document, StoredObject
from revio_sandbox.outcomes import BadOutcome
from revio_sandbox.purchase_creation import create_purchase
from revio_sandbox.unit import Unit

INSTRUMENT: Document = {
    "method": "visa",
    "extra": {
        "masked_pan": "444433******1111",
        "cardholder_name": "Control",
        "expiry_month": 12,
        "expiry_year": 39,
    },
}


@dataclass(frozen=True)
class ForeignPurchase:
    """A purchase the merchant never asked for; the amount is in minor units."""

    amount: int
    currency: str
    reference: str
    email: str


@dataclass(frozen=True)
class ForcedPayment:
    """How control wants a purchase paid; None is as asked, an error code lets it fail."""

    amount: int | None = None
    currency: str | None = None
    error_code: str = ""
    force: bool = False


def add_purchase(unit: Unit, wanted: ForeignPurchase, *, paid: bool, client_ip: str) -> Document:
    """Create a purchase as if another system of the merchant had, and pay it if wanted."""
    product = {"name": "Made by control", "price": wanted.amount}
    body = {
        "brand_id": unit.settings.brand_id,
        "client": {"email": wanted.email},
        "reference": wanted.reference,
        "purchase": {"currency": wanted.currency, "products": [product]},
    }
    stored = create_purchase(unit, body, client_ip=client_ip)
    if paid:
        purchases.pay(unit, stored, {**INSTRUMENT, "client_ip": client_ip})
    return stored.document


def pay_purchase(
    unit: Unit, purchase_id: str, wanted: ForcedPayment, *, client_ip: str
) -> Document:
    """Pay a purchase or fail an attempt.

    Raises:
        BadOutcome: unknown, or its status takes no payment and it is not forced.
    """
    stored = _purchase(unit, purchase_id)
    allowed = (*purchases.PAYABLE, *purchases.UNDER_WAY) if wanted.force else purchases.PAYABLE
    if wanted.force:
        allowed = (*allowed, "cancelled")
    _require_status(stored, allowed)
    unit.timers.cancel(stored.id)
    instrument = {**INSTRUMENT, "client_ip": client_ip}
    if wanted.error_code:
        purchases.fail_attempt(unit, stored, instrument, code=wanted.error_code)
    else:
        purchases.pay(unit, stored, instrument, amount=wanted.amount, currency=wanted.currency)
    return stored.document


def expire_purchase(unit: Unit, purchase_id: str) -> Document:
    """Let a payable purchase expire now."""
    stored = _purchase(unit, purchase_id)
    _require_status(stored, purchases.PAYABLE)
    purchases.expire(unit, stored, at=unit.now)
    return stored.document


def settle_purchase(unit: Unit, purchase_id: str, *, stale: bool) -> Document:
    """Settle a paid purchase."""
    stored = _purchase(unit, purchase_id)
    _require_status(stored, ("paid", "cleared"))
    purchases.settle(unit, stored, stale=stale)
    return stored.document


def charge_back_purchase(unit: Unit, purchase_id: str) -> Document:
    """Let the payer's bank take back what is left of a paid purchase; returns the Payment."""
    stored = _purchase(unit, purchase_id)
    _require_status(stored, refunds.REFUNDABLE)
    if stored.document["refundable_amount"] == 0:
        raise BadOutcome("nothing is left to take back")
    return refunds.charge_back(unit, stored).document


def succeed_payout(unit: Unit, payout_id: str) -> Document:
    """Let a payout succeed, also one that failed or was never executed."""
    stored = _payout(unit, payout_id)
    _require_status(stored, ("initialized", "pending", "error"))
    if stored.status != "pending":
        payouts.reserve(unit, stored)
    unit.timers.cancel(stored.id)
    payouts.succeed(unit, stored)
    return stored.document


def fail_payout(unit: Unit, payout_id: str, *, code: str) -> Document:
    """Let a pending payout fail at the bank."""
    stored = _payout(unit, payout_id)
    _require_status(stored, ("pending",))
    unit.timers.cancel(stored.id)
    payouts.fail(unit, stored, code=code)
    return stored.document


def snapshot(unit: Unit, object_id: str, *, status: str) -> Document:
    """Return an object as it was when it last had `status`; as it is, when none is named.

    Raises:
        BadOutcome: no such object, or it never had that status.
    """
    found = [
        document
        for document in unit.objects.snapshots(object_id)
        if not status or document["status"] == status
    ]
    if not found:
        raise BadOutcome(f"no object {object_id!r} has been in status {status or 'any'!r}")
    return found[-1]


def send(unit: Unit, event: str, *, document: Document, signature: str) -> list[int]:
    """Sign and send a body to every webhook that asked for `event`; returns delivery ids."""
    if not event:
        raise BadOutcome("event is required")
    body = render_body(document, event)
    source = (str(document.get("type", "")), str(document.get("id", "")))
    return [
        unit.deliveries.enqueue_raw(addressee, event, source=source, body=body, signature=signature)
        for addressee in unit.addressees(event)
    ]


def redeliver(unit: Unit, object_id: str, *, event: str, times: int, signature: str) -> list[int]:
    """Send an object's newest matching delivery again, byte for byte; returns delivery ids.

    Raises:
        BadOutcome: nothing was ever queued for that object and event.
    """
    rows = unit.deliveries.newest_of(object_id, event=event)
    if not rows:
        raise BadOutcome(f"nothing was sent about {object_id!r} {event}".rstrip())
    return [
        unit.deliveries.enqueue_raw(
            Addressee(url=row["url"], key_name=row["key_name"]),
            row["event"],
            source=(row["object_type"], row["object_id"]),
            body=row["body"],
            signature=signature,
        )
        for _ in range(times)
        for row in rows
    ]


def _purchase(unit: Unit, purchase_id: str) -> StoredObject:
    try:
        return purchases.find_purchase(unit, purchase_id)
    except ApiError:
        raise BadOutcome(f"no purchase has the id {purchase_id!r}") from None


def _payout(unit: Unit, payout_id: str) -> StoredObject:
    try:
        return payouts.find_payout(unit, payout_id)
    except ApiError:
        raise BadOutcome(f"no payout has the id {payout_id!r}") from None


def _require_status(stored: StoredObject, allowed: tuple[str, ...]) -> None:
    if stored.status not in allowed:
        raise BadOutcome(f"its status is {stored.status}, and must be one of {allowed}")
