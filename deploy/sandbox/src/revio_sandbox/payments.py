"""What purchases, refunds and payouts have in common: payment details, attempts, balance moves."""

from typing import Any

from revio_sandbox.objects import Document, StoredObject
from revio_sandbox.unit import Unit

METHOD_NAMES = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "maestro": "Maestro",
    "ozow": "Ozow",
    "capitec_pay": "Capitec Pay",
    "eft": "EFT",
}
CARD_METHODS = ("visa", "mastercard", "maestro")

# What people read beside an attempt's code. Source: revio-api, section 4 (catalogue of codes).
MESSAGES = {
    "validation_cvc_invalid": "The security code (CVC) is not right.",
    "invalid_card_number": "This card number is not right.",
    "expired_card": "This card has expired.",
    "insufficient_funds": "There is not enough money available.",
    "do_not_honour": "The bank declined the payment.",
    "3ds_authentication_failed": "The bank could not confirm that it was you.",
    "no_matching_terminal": "This kind of card is not accepted here.",
    "payment_rejected_other_reason": "The bank rejected the payment.",
    "validation_bank_account_invalid": "The bank does not know this account.",
    "exceeds_withdrawal_limit": "The amount exceeds a limit of the receiving bank.",
    "timeout_acquirer_status_check": "The bank did not say what became of the payment.",
    "acquirer_connection_error": "The bank could not be reached.",
}


def payment_details(
    payment_type: str,
    *,
    outgoing: bool,
    amount: int,
    fee: int,
    currency: str,
    description: str = "",
    paid_at: float | None = None,
) -> Document:
    """Return PaymentDetails; `amount = net_amount + fee_amount + pending_amount`."""
    paid_on = None if paid_at is None else int(paid_at)
    return {
        "is_outgoing": outgoing,
        "payment_type": payment_type,
        "amount": amount,
        "currency": currency,
        "net_amount": amount - fee,
        "fee_amount": fee,
        "pending_amount": 0,
        "pending_unfreeze_on": None,
        "description": description,
        "paid_on": paid_on,
        "remote_paid_on": paid_on,
    }


def error_of(code: str, message: str = "") -> dict[str, str]:
    """Return an attempt's error."""
    return {"code": code, "message": message or MESSAGES.get(code, "The payment failed.")}


def add_attempt(
    stored: StoredObject,
    attempt_type: str,
    *,
    at: float,
    method: str,
    extra: Document | None = None,
    fee: int = 0,
    client_ip: str = "",
    error: dict[str, str] | None = None,
) -> None:
    """Put an attempt before all earlier ones, and its instrument on the transaction data."""
    data: dict[str, Any] = stored.document["transaction_data"]
    data |= {"payment_method": method, "extra": extra or {}, "country": "ZA"}
    attempt = {
        "type": attempt_type,
        "successful": error is None,
        "payment_method": method,
        "flow": data["flow"],
        "extra": extra or {},
        "country": "ZA",
        "client_ip": client_ip,
        "fee_amount": fee,
        "processing_time": int(at),
        "error": error,
    }
    data["attempts"].insert(0, attempt)


def empty_transaction_data() -> Document:
    """Return the transaction data of an object that nobody has paid or tried to pay."""
    return {
        "payment_method": "",
        "flow": "payform",
        "extra": {},
        "country": "",
        "attempts": [],
    }


def move_balance(
    unit: Unit, balance: str, *, amount: int, currency: str, object_id: str, fee: int = 0
) -> None:
    """Add `amount` (minor units, may be negative) and what it cost to a balance of the company."""
    unit.connection.execute(
        "INSERT INTO balance_moves (balance, currency, amount, fee, object_id)"
        " VALUES (?, ?, ?, ?, ?)",
        (balance, currency, amount, fee, object_id),
    )


def reference_generated(unit: Unit) -> str:
    """Return the next reference the gateway makes itself, such as `RV1042`."""
    return f"RV{unit.next_number('reference', start=1001)}"
