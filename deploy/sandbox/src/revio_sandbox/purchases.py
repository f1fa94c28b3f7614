"""Purchases after their creation: what can become of one, and when."""

from revio_sandbox.api_errors import not_found, refusal
from revio_sandbox.money import percentage
from revio_sandbox.objects import Document, StoredObject
from revio_sandbox.payments import add_attempt, error_of, move_balance, payment_details
from revio_sandbox.timers import Timer
from revio_sandbox.unit import Unit

FINISH = "finish_purchase"

PAYABLE = ("created", "sent", "viewed", "error", "overdue")
# An attempt that has begun may end in these as well.
UNDER_WAY = ("pending_execute", "expired")
PAID = ("paid", "cleared", "settled")
MONEY_WAS_IN = (*PAID, "refunded", "pending_refund", "chargeback")

Instrument = Document


def find_purchase(unit: Unit, purchase_id: str) -> StoredObject:
    """Return a purchase, with its due date taken into account.

    Raises:
        ApiError: 404, there is none with that id.
    """
    stored = unit.objects.find(purchase_id, object_type="purchase")
    if stored is None:
        raise not_found()
    _observe_due_date(unit, stored)
    return stored


def mark_viewed(unit: Unit, stored: StoredObject) -> None:
    """Note that the payer opened the form; only the first time counts."""
    if stored.status not in ("created", "sent"):
        return
    stored.document["viewed_on"] = int(unit.now)
    stored.move("viewed", now=unit.now)
    unit.objects.save(stored)
    unit.announce("purchase.viewed", stored)


def cancel(unit: Unit, purchase_id: str) -> StoredObject:
    """Cancel a purchase; success guarantees that it will not be paid.

    Raises:
        ApiError: 404 unknown; 400 `purchase_cancel_wrong_status`, also for a repeat.
    """
    stored = find_purchase(unit, purchase_id)
    if stored.status not in PAYABLE:
        raise refusal(
            "purchase_cancel_wrong_status",
            f"A purchase with status {stored.status} cannot be cancelled.",
        )
    _cancel(unit, stored)
    return stored


def pay(
    unit: Unit,
    stored: StoredObject,
    instrument: Instrument,
    *,
    amount: int | None = None,
    currency: str | None = None,
) -> None:
    """Let the money come in: attempt, payment, status `paid`, event, callback.

    Args:
        unit: The open unit of work.
        stored: A purchase that is payable or whose attempt is under way.
        instrument: `method`, `extra` and `client_ip` of the attempt.
        amount: Minor units really paid, when other than asked.
        currency: Currency really paid, when other than asked.
    """
    asked = stored.document["purchase"]
    amount = asked["total"] if amount is None else amount
    currency = currency or asked["currency"]
    fee = percentage(amount, unit.settings.fee_percent)
    add_attempt(stored, "execute", at=unit.now, fee=fee, **instrument)
    invoice_url = unit.settings.url(f"/p/{stored.id}/invoice/")
    stored.document |= {
        "payment": payment_details(
            "purchase", outgoing=False, amount=amount, fee=fee, currency=currency, paid_at=unit.now
        ),
        "refund_availability": "all",
        "refundable_amount": amount,
        "invoice_url": invoice_url,
        "checkout_url": invoice_url,
    }
    stored.private.pop("open_attempt", None)
    stored.move("paid", now=unit.now)
    unit.objects.save(stored)
    move_balance(unit, "ecommerce", amount=amount, fee=fee, currency=currency, object_id=stored.id)
    unit.announce("purchase.paid", stored, callback=stored.document["success_callback"])


def fail_attempt(
    unit: Unit, stored: StoredObject, instrument: Instrument, *, code: str, message: str = ""
) -> None:
    """Note a failed attempt. It is not final, unless the purchase allows a single one."""
    add_attempt(stored, "execute", at=unit.now, error=error_of(code, message), **instrument)
    stored.private.pop("open_attempt", None)
    if stored.status != "expired":
        stored.move("error", now=unit.now)
    unit.objects.save(stored)
    unit.announce("purchase.payment_failure", stored)
    if stored.private.get("single_attempt") and stored.status == "error":
        _cancel(unit, stored)


def begin_pending(
    unit: Unit,
    stored: StoredObject,
    instrument: Instrument,
    *,
    after_seconds: float,
    code: str | None,
    status: str = "pending_execute",
) -> None:
    """Leave the attempt to a slow acquirer, which answers `after_seconds` from now.

    Args:
        unit: The open unit of work.
        stored: A payable purchase.
        instrument: `method`, `extra` and `client_ip` of the attempt.
        after_seconds: Seconds of the sandbox's clock.
        code: The attempt's error then, or None when it will be paid.
        status: `pending_execute`, or `expired` for an attempt that outlives the due date.
    """
    stored.private.pop("open_attempt", None)
    stored.move(status, now=unit.now)
    unit.objects.save(stored)
    if status == "pending_execute":
        unit.announce("purchase.pending_execute", stored)
    data = {"instrument": instrument, "code": code}
    unit.timers.add(FINISH, stored.id, after_seconds=after_seconds, data=data)


def finish(unit: Unit, timer: Timer) -> None:
    """Let the slow acquirer answer."""
    stored = unit.objects.find(timer.object_id, object_type="purchase")
    if stored is None or stored.status not in UNDER_WAY:
        return
    if timer.data["code"] is None:
        pay(unit, stored, timer.data["instrument"])
    else:
        fail_attempt(unit, stored, timer.data["instrument"], code=timer.data["code"])


def expire(unit: Unit, stored: StoredObject, *, at: float) -> None:
    """Let the purchase expire; no event tells of it."""
    stored.move("expired", now=at)
    unit.objects.save(stored)


def settle(unit: Unit, stored: StoredObject, *, stale: bool) -> None:
    """Announce `purchase.settled`; `stale` sends the object as it was, still saying paid.

    Source: revio-api, section 3.3 (a real sample body does that).
    """
    if not stale:
        stored.move("settled", now=unit.now)
        unit.objects.save(stored)
    unit.announce("purchase.settled", stored)


def _cancel(unit: Unit, stored: StoredObject) -> None:
    stored.private.pop("open_attempt", None)
    unit.timers.cancel(stored.id)
    stored.move("cancelled", now=unit.now)
    unit.objects.save(stored)
    unit.announce("purchase.cancelled", stored)


def _observe_due_date(unit: Unit, stored: StoredObject) -> None:
    due = stored.document["due"]
    if due is None or unit.now < due or stored.status not in PAYABLE:
        return
    if stored.document["purchase"]["due_strict"]:
        expire(unit, stored, at=max(due, stored.document["updated_on"]))
    elif stored.status != "overdue":
        stored.move("overdue", now=max(due, stored.document["updated_on"]))
        unit.objects.save(stored)
