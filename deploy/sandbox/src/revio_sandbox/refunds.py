"""Refunds and chargebacks: money of a paid purchase that goes back."""

import uuid

from revio_sandbox import purchases
from revio_sandbox.api_errors import field_refusal, refusal
from revio_sandbox.fields import Fields
from revio_sandbox.money import percentage
from revio_sandbox.objects import StoredObject
from revio_sandbox.outcomes import Outcome
from revio_sandbox.payments import add_attempt, error_of, move_balance, payment_details
from revio_sandbox.timers import Timer
from revio_sandbox.unit import Unit

FINISH = "finish_refund"
REFUNDABLE = (*purchases.PAID, "refunded")
# Revio refunds the same purchase at most once in this time. Source: revio-api, section 3.4.
INTERVAL_SECONDS = 60


def refund(unit: Unit, purchase_id: str, body: object, *, outcome: Outcome) -> StoredObject:
    """Give back `amount` minor units of a purchase, or all that is left.

    Returns:
        A Payment when it is done; the Purchase in `pending_refund` when it takes time.

    Raises:
        ApiError: 404 unknown; 400 with `purchase_refund_wrong_status`,
            `purchase_already_fully_refunded`, `max_value`, `purchase_refund_timeout` or
            `purchase_refund_error`.
    """
    stored = purchases.find_purchase(unit, purchase_id)
    amount = _amount_to_refund(unit, stored, body)
    stored.private["refunded_at"] = unit.now
    after = outcome.after_seconds
    after = unit.settings.pending_seconds if after is None else after
    match outcome.result:
        case "error":
            code = outcome.code or "purchase_refund_error"
            _note_failure(unit, stored, code=code, message=outcome.message)
            unit.announce("purchase.refund_failure", stored)
            return stored
        case "pending" | "pending_then_error":
            fails = outcome.result == "pending_then_error"
            data = {"amount": amount, "code": outcome.code if fails else None, "fails": fails}
            stored.private["status_before_refund"] = stored.status
            stored.move("pending_refund", now=unit.now)
            unit.objects.save(stored)
            unit.announce("purchase.pending_refund", stored)
            unit.timers.add(FINISH, stored.id, after_seconds=after, data=data)
            return stored
        case _:
            return _give_back(unit, stored, amount=amount)


def finish(unit: Unit, timer: Timer) -> None:
    """Let a slow refund come to its end."""
    stored = unit.objects.find(timer.object_id, object_type="purchase")
    if stored is None or stored.status != "pending_refund":
        return
    if not timer.data["fails"]:
        _give_back(unit, stored, amount=timer.data["amount"])
        return
    stored.move(stored.private.pop("status_before_refund"), now=unit.now)
    _note_failure(unit, stored, code=timer.data["code"] or "acquirer_internal_error", message="")
    unit.announce("purchase.refund_failure", stored)


def charge_back(unit: Unit, stored: StoredObject) -> StoredObject:
    """Let the payer's bank take the money back; returns the Payment that tells of it."""
    payment = _payment(unit, stored, amount=stored.document["refundable_amount"])
    payment.document["payment"]["payment_type"] = "custom"
    payment.document["payment"]["description"] = (
        f"Chargeback: {stored.document['reference_generated']}"
    )
    stored.document |= {"refund_availability": "none", "refundable_amount": 0}
    related = {"type": "payment", "id": payment.id}
    stored.move("chargeback", now=unit.now, related_object=related)
    unit.objects.save(stored)
    unit.objects.add(payment)
    _take_from_balance(unit, payment)
    unit.announce("payment.charged_back", payment)
    return payment


def _amount_to_refund(unit: Unit, stored: StoredObject, body: object) -> int:
    given = Fields.of_body(body)
    left: int = stored.document["refundable_amount"]
    amount = given.integer("amount", minimum=1) if given.has("amount") else left
    given.require_clean()
    if stored.status not in REFUNDABLE:
        raise refusal(
            "purchase_refund_wrong_status",
            f"A purchase with status {stored.status} cannot be refunded.",
        )
    if left == 0:
        raise refusal("purchase_already_fully_refunded", "Nothing is left to refund.")
    if amount > left:
        raise field_refusal(
            "amount", "purchase_refund_amount_too_large", f"At most {left} can be refunded."
        )
    last = stored.private.get("refunded_at")
    if last is not None and unit.now - last < INTERVAL_SECONDS / unit.scale:
        raise refusal(
            "purchase_refund_timeout", "This purchase was refunded less than 60 seconds ago."
        )
    return amount


def _note_failure(unit: Unit, stored: StoredObject, *, code: str, message: str) -> None:
    data = stored.document["transaction_data"]
    add_attempt(
        stored,
        "refund",
        at=unit.now,
        method=data["payment_method"],
        extra=data["extra"],
        error=error_of(code, message),
    )
    stored.document["updated_on"] = int(unit.now)
    unit.objects.save(stored)


def _give_back(unit: Unit, stored: StoredObject, *, amount: int) -> StoredObject:
    payment = _payment(unit, stored, amount=amount)
    left = stored.document["refundable_amount"] - amount
    data = stored.document["transaction_data"]
    add_attempt(
        stored,
        "refund",
        at=unit.now,
        method=data["payment_method"],
        extra=data["extra"],
        fee=payment.document["fee_amount"],
    )
    stored.document |= {
        "refundable_amount": left,
        "refund_availability": "all" if left else "none",
    }
    stored.private.pop("status_before_refund", None)
    # `refunded` is used for a partial refund too. Source: revio-api, section 3.3.
    stored.move("refunded", now=unit.now, related_object={"type": "payment", "id": payment.id})
    unit.objects.save(stored)
    unit.objects.add(payment)
    _take_from_balance(unit, payment)
    unit.announce("payment.refunded", payment)
    return payment


def _take_from_balance(unit: Unit, payment: StoredObject) -> None:
    details = payment.document["payment"]
    move_balance(
        unit,
        "ecommerce",
        amount=-details["amount"],
        fee=0,
        currency=details["currency"],
        object_id=payment.id,
    )


def _payment(unit: Unit, stored: StoredObject, *, amount: int) -> StoredObject:
    """Return a Payment as the real samples show it: no brand, no attempts, a fee inside."""
    now = int(unit.now)
    fee = percentage(amount, unit.settings.fee_percent)
    reference = stored.document["reference_generated"]
    client = {key: stored.document["client"].get(key, "") for key in ("email", "full_name")}
    data = stored.document["transaction_data"]
    details = payment_details(
        "refund",
        outgoing=True,
        amount=amount,
        fee=fee,
        currency=stored.document["payment"]["currency"],
        description=f"Refund: {reference}",
        paid_at=unit.now,
    )
    details |= {"owned_bank_account_id": None, "owned_bank_account": None, "owned_bank_code": None}
    return StoredObject(
        {
            "id": str(uuid.uuid4()),
            "type": "payment",
            "created_on": now,
            "updated_on": now,
            "client": {**client, "country": data["country"], "client_id": None},
            "status": "success",
            "payment": details,
            "fee_amount": fee,
            "transaction_data": {key: data[key] for key in data if key != "attempts"},
            "related_to": {"type": "purchase", "id": stored.id, "reference": reference},
            "reference": "",
            "reference_generated": str(unit.next_number("payment_reference", start=201)),
            "refund_availability": "none",
            "currency_conversion": None,
            "company_id": unit.settings.company_id,
            "user_id": None,
            "is_test": True,
        }
    )
