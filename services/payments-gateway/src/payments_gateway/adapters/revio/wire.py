"""Revio's wire format: the only place that knows its field names, statuses and minor units.

Source: the platform's API v1 (Revio's gate; the same product as CHIP Collect and Klix).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from octoco.errors import Refusal, Unavailable
from octoco.money import Money
from payments_gateway.domain.provider import (
    Attempt,
    BankDestination,
    ExecutionAnswer,
    Merchant,
    PayoutOrder,
    PayoutReading,
    PayoutState,
    PurchaseOrder,
    PurchaseReading,
    PurchaseState,
    RegisteredWebhook,
)
from payments_gateway.domain.sensitive import SensitiveText

# A status that is not in here is never an error and never money: look again.
PURCHASE_STATES: Final[Mapping[str, PurchaseState]] = {
    "created": PurchaseState.PAYABLE,
    "sent": PurchaseState.PAYABLE,
    "viewed": PurchaseState.PAYABLE,
    # A failed attempt is not final: the payer may try again.
    "error": PurchaseState.PAYABLE,
    "overdue": PurchaseState.PAYABLE,
    "pending_execute": PurchaseState.UNDER_WAY,
    "pending_charge": PurchaseState.UNDER_WAY,
    "hold": PurchaseState.UNDER_WAY,
    "preauthorized": PurchaseState.UNDER_WAY,
    "pending_capture": PurchaseState.UNDER_WAY,
    "pending_release": PurchaseState.UNDER_WAY,
    "paid": PurchaseState.PAID,
    "cleared": PurchaseState.PAID,
    "settled": PurchaseState.PAID,
    "pending_refund": PurchaseState.PAID_THEN_REVERSED,
    "refunded": PurchaseState.PAID_THEN_REVERSED,
    "chargeback": PurchaseState.PAID_THEN_REVERSED,
    "cancelled": PurchaseState.CANCELLED,
    "released": PurchaseState.CANCELLED,
    "expired": PurchaseState.EXPIRED,
    "blocked": PurchaseState.BLOCKED,
}
PAYOUT_STATES: Final[Mapping[str, PayoutState]] = {
    "initialized": PayoutState.INITIALIZED,
    "pending": PayoutState.PENDING,
    "success": PayoutState.SUCCEEDED,
    "error": PayoutState.ERROR,
}
# Attempts that are no try at paying.
_OTHER_ATTEMPTS: Final = frozenset({"capture", "release", "refund", "delete_recurring_token"})

CREATOR_AGENT: Final = "octoco-wallet/1"
PRODUCT_NAME: Final = "Wallet deposit"
PAYOUT_DESCRIPTION: Final = "Wallet withdrawal"


class NotUnderstood(Unavailable):
    """The provider answered something that does not have the form we know."""

    code = "provider_not_understood"


@dataclass(frozen=True, slots=True)
class WireError:
    """An error as Revio writes it: the first code with its message."""

    code: str
    message: str


def purchase_body(order: PurchaseOrder, *, brand_id: str, return_url: str) -> dict[str, Any]:
    """Write a purchase: one product without tax, so that the total is the price."""
    return {
        "brand_id": brand_id,
        "client": {"email": order.email, "full_name": order.full_name[:128]},
        "purchase": {
            "currency": order.money.currency,
            "products": [{"name": PRODUCT_NAME, "price": order.money.to_minor(), "quantity": "1"}],
            "due_strict": True,
        },
        "due": int(order.expires_at.timestamp()),
        "reference": order.reference,
        "success_redirect": return_url,
        "failure_redirect": return_url,
        "cancel_redirect": return_url,
        "creator_agent": CREATOR_AGENT,
        "platform": "api",
    }


def payout_body(order: PayoutOrder, *, brand_id: str) -> dict[str, Any]:
    """Write a payout to a bank account."""
    return {
        "brand_id": brand_id,
        "client": {
            "email": order.email,
            "full_name": order.full_name[:128],
            "country": "ZA",
            "bank_account": order.destination.account_number.reveal(),
            "bank_code": order.destination.branch_code,
        },
        "payment": {
            "amount": order.money.to_minor(),
            "currency": order.money.currency,
            "description": PAYOUT_DESCRIPTION,
        },
        "reference": order.reference,
    }


def execution_body(destination: BankDestination) -> dict[str, Any]:
    """Write the order to execute a payout to a bank account."""
    return {
        "payout_type": "bank",
        "bank_name": destination.bank_name,
        "bank_code": destination.branch_code,
        "bank_account_name": destination.account_holder,
        "bank_account_number": destination.account_number.reveal(),
    }


def read_purchase(body: Any, *, read_at: datetime) -> PurchaseReading:
    """Read a Purchase.

    Raises:
        NotUnderstood: it lacks what a purchase must have.
    """
    try:
        status = str(body["status"])
        asked = body["purchase"]
        payment = _incoming_payment(body)
        return PurchaseReading(
            purchase_id=_text(body["id"]),
            reference=str(body.get("reference") or ""),
            state=PURCHASE_STATES.get(status, PurchaseState.UNKNOWN),
            provider_status=status,
            asked=_money(asked["total"], asked["currency"]),
            paid=None if payment is None else _money(payment["amount"], payment["currency"]),
            fee=None if payment is None else _fee(payment),
            paid_at=None if payment is None else _paid_at(payment),
            checkout_url=str(body.get("checkout_url") or ""),
            expires_at=_instant(body.get("due")),
            attempts=_attempts(body),
            merchant=_merchant(body),
            read_at=read_at,
            refundable=None if payment is None else _refundable(body, payment),
        )
    except (KeyError, TypeError, ValueError, AttributeError, Refusal) as error:
        raise NotUnderstood(f"no purchase as we know it ({type(error).__name__})") from None


def read_payout(body: Any, *, read_at: datetime) -> PayoutReading:
    """Read a Payout.

    Raises:
        NotUnderstood: it lacks what a payout must have.
    """
    try:
        status = str(body["status"])
        payment = body["payment"]
        url = body.get("execution_url")
        return PayoutReading(
            payout_id=_text(body["id"]),
            reference=str(body.get("reference") or ""),
            state=PAYOUT_STATES.get(status, PayoutState.UNKNOWN),
            provider_status=status,
            amount=_money(payment["amount"], payment["currency"]),
            fee=_fee(payment),
            paid_at=_paid_at(payment),
            attempts=_attempts(body),
            execution_url=SensitiveText(url) if isinstance(url, str) and url else None,
            merchant=_merchant(body),
            read_at=read_at,
        )
    except (KeyError, TypeError, ValueError, AttributeError, Refusal) as error:
        raise NotUnderstood(f"no payout as we know it ({type(error).__name__})") from None


def read_execution_answer(body: Any) -> ExecutionAnswer:
    """Read what Revio says at once to the order to execute; never more than a hint."""
    if not isinstance(body, Mapping):
        return ExecutionAnswer(PayoutState.UNKNOWN, "not_understood")
    error = body.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    state = PAYOUT_STATES.get(str(body.get("status")), PayoutState.UNKNOWN)
    return ExecutionAnswer(state, None if code is None else str(code))


def read_webhook(body: Any) -> RegisteredWebhook:
    """Read a registered webhook.

    Raises:
        NotUnderstood: it lacks its id, its address or its key.
    """
    try:
        return RegisteredWebhook(
            webhook_id=_text(body["id"]),
            callback_url=_text(body["callback"]),
            public_key_pem=_text(body["public_key"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotUnderstood(f"no webhook as we know it ({type(error).__name__})") from None


def read_payout_float(body: Any, currency: str) -> Money:
    """Read how much can be paid out; nothing in a currency that is not listed.

    Installations with a payout balance of its own show it; the others pay out of the one balance.
    """
    try:
        balance = body.get(currency)
        if balance is None:
            return Money.zero(currency)
        own = balance.get("available_payout_balance")
        available = balance["available_balance"] if own is None else own
        return Money.sum_from_minor(_integer(available), currency)
    except (KeyError, TypeError, ValueError, AttributeError, Refusal) as error:
        raise NotUnderstood(f"no balance as we know it ({type(error).__name__})") from None


def read_error(body: Any) -> WireError:
    """Find the first error in either shape: lists of errors, or a single object.

    Errors stand under the field's name, those of the whole request under `__all__`; nested
    fields nest. Messages are for people: only the code is branched on.
    """
    found = _first_error(body, depth=0)
    return found or WireError("unknown", "no reason given")


def execution_path(url: SensitiveText, *, payout_id: str) -> str | None:
    """Return the path of an execution address if it is the payout's, else None.

    Bank details and our key only ever go to the host we are configured for, so the address
    counts for its path alone.
    """
    path = urlsplit(url.reveal()).path
    is_the_payouts = path.startswith("/") and f"/{payout_id}/" in path and ".." not in path
    return path if is_the_payouts else None


def _first_error(body: Any, *, depth: int) -> WireError | None:
    if depth > 8:  # noqa: PLR2004 - no error nests like that; a bound for hostile bodies
        return None
    if isinstance(body, Mapping):
        code = body.get("code")
        if isinstance(code, str) and code:
            return WireError(code[:100], str(body.get("message") or "")[:300])
        inner = [body["__all__"]] if "__all__" in body else []
        inner += [value for name, value in body.items() if name != "__all__"]
    elif isinstance(body, list):
        inner = body
    else:
        return None
    found = (_first_error(value, depth=depth + 1) for value in inner)
    return next((error for error in found if error is not None), None)


def _incoming_payment(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    payment = body.get("payment")
    if not isinstance(payment, Mapping) or not payment:
        return None
    # A payment that went out from us is not what a purchase brought in.
    return None if payment.get("is_outgoing") else payment


def _refundable(body: Mapping[str, Any], payment: Mapping[str, Any]) -> Money | None:
    amount = body.get("refundable_amount")
    return None if amount is None or amount == "" else _money(amount, payment["currency"])


def _attempts(body: Mapping[str, Any]) -> tuple[Attempt, ...]:
    attempts = (body.get("transaction_data") or {}).get("attempts") or ()
    return tuple(
        Attempt(
            successful=bool(attempt.get("successful")),
            error_code=_error_code(attempt.get("error")),
            at=_instant(attempt.get("processing_time")),
        )
        for attempt in attempts
        if attempt.get("type") not in _OTHER_ATTEMPTS
    )


def _error_code(error: Any) -> str | None:
    code = error.get("code") if isinstance(error, Mapping) else None
    return str(code) if code else None


def _merchant(body: Mapping[str, Any]) -> Merchant:
    brand_id = body.get("brand_id")
    is_test = body["is_test"]
    if not isinstance(is_test, bool):
        raise TypeError("is_test is no boolean")
    return Merchant(
        company_id=_text(body["company_id"]),
        brand_id=str(brand_id) if brand_id else None,
        is_test=is_test,
    )


def _fee(payment: Mapping[str, Any]) -> Money | None:
    fee = payment.get("fee_amount")
    if fee is None or fee == "":
        return None
    # The sign of a fee on outgoing payments is not documented; what is meant is its size.
    return _money(abs(_integer(fee)), payment["currency"])


def _paid_at(payment: Mapping[str, Any]) -> datetime | None:
    return _instant(payment.get("paid_on")) or _instant(payment.get("remote_paid_on"))


def _money(amount_minor: Any, currency: Any) -> Money:
    return Money.from_minor(_integer(amount_minor), _text(currency))


def _integer(value: Any) -> int:
    # Some examples of the platform write integers as strings.
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("no text")
    return value


def _instant(value: Any) -> datetime | None:
    if value in {None, "", 0}:
        return None
    return datetime.fromtimestamp(_integer(value), UTC)
