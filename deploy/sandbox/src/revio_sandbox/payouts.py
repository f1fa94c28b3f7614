"""Payouts: creating one moves nothing, executing it moves money."""

import uuid
from dataclasses import dataclass

from revio_sandbox import balances
from revio_sandbox.api_errors import not_found, refusal
from revio_sandbox.fields import Fields
from revio_sandbox.money import CURRENCIES
from revio_sandbox.objects import Document, StoredObject
from revio_sandbox.outcomes import ORDINARY, Outcome
from revio_sandbox.payments import (
    add_attempt,
    empty_transaction_data,
    error_of,
    move_balance,
    payment_details,
    reference_generated,
)
from revio_sandbox.purchase_creation import check_brand, read_client
from revio_sandbox.timers import Timer
from revio_sandbox.unit import Unit

FINISH = "finish_payout"
METHOD = "bank_eft"
EXECUTABLE = ("initialized", "error")
REJECTED = "payment_rejected_other_reason"

# The last six digits of a bank account number decide what its bank does.
MAGIC_SUFFIXES: dict[str, Outcome] = {
    "900001": Outcome(result="error", code=REJECTED),
    "900002": Outcome(result="pending_then_error", code=REJECTED),
    "900003": Outcome(result="pending_then_error", code="validation_bank_account_invalid"),
    "900004": Outcome(result="pending", lost="close"),
    "900005": Outcome(result="pending", lost="504"),
    "900006": Outcome(result="stuck"),
    "900007": Outcome(lost_before="504"),
    "900008": Outcome(result="success"),
    "900009": Outcome(result="pending_then_error", code="timeout_acquirer_status_check"),
    "900010": Outcome(result="error", code="exceeds_withdrawal_limit"),
    "900011": Outcome(result="error_then_success", code=REJECTED),
    "900012": Outcome(result="pending", delay_seconds=10.0),
}


@dataclass(frozen=True)
class BankAccount:
    """Where a payout goes, as its execution names it."""

    holder: str
    bank_name: str
    bank_code: str
    number: str

    @property
    def outcome(self) -> Outcome:
        """What this account's bank does when nothing else was asked for."""
        return MAGIC_SUFFIXES.get(self.number[-6:], ORDINARY)


def create_payout(unit: Unit, body: object) -> StoredObject:
    """Create a payout; it moves nothing until it is executed.

    Raises:
        ApiError: 400 with every field that is wrong.

    Source: revio-api, section 4 and example B.
    """
    request = Fields.of_body(body)
    check_brand(unit, request)
    client = read_client(request, required=True)
    payment = request.nested("payment", required=True)
    amount = currency = description = None
    if request.has("payment"):
        amount = payment.integer("amount", required=True, minimum=1, maximum=10**12)
        currency = payment.text("currency", max_length=3, required=True)
        if currency and currency not in CURRENCIES:
            payment.refuse("currency", "invalid_choice", f'"{currency}" is not a valid choice.')
        description = payment.text("description", max_length=256)
        request.absorb("payment", payment)
    whitelist = request.texts("payout_method_whitelist")
    if whitelist and METHOD not in whitelist:
        request.refuse("payout_method_whitelist", "invalid", f"Only {METHOD} is available.")
    reference = request.text("reference", max_length=128)
    sender_name = request.text("sender_name", max_length=128)
    request.require_clean()
    details = payment_details(
        "payout",
        outgoing=True,
        amount=amount or 0,
        fee=min(unit.settings.payout_fee, amount or 0),
        currency=currency or "",
        description=description or "",
    )
    stored = StoredObject(
        _document(unit, client, details, reference=reference, sender_name=sender_name)
    )
    unit.objects.add(stored)
    unit.announce("payout.created", stored)
    return stored


def find_payout(unit: Unit, payout_id: str) -> StoredObject:
    """Return a payout.

    Raises:
        ApiError: 404, there is none with that id.
    """
    stored = unit.objects.find(payout_id, object_type="payout")
    if stored is None:
        raise not_found()
    return stored


def read_bank_account(body: object) -> BankAccount:
    """Return the account an execution names.

    Raises:
        ApiError: 400 with every field that is wrong.

    Source: revio-api, section 4, the bank form of an execution.
    """
    request = Fields.of_body(body)
    if request.text("payout_type", max_length=16, required=True) not in ("", "bank"):
        request.refuse("payout_type", "invalid_choice", 'Only "bank" is available here.')
    account = BankAccount(
        holder=request.text("bank_account_name", max_length=128, required=True),
        bank_name=request.text("bank_name", max_length=128, required=True),
        bank_code=request.text("bank_code", max_length=11, required=True),
        number=request.text("bank_account_number", max_length=34, required=True),
    )
    request.require_clean()
    return account


def execute(
    unit: Unit, payout_id: str, account: BankAccount, *, outcome: Outcome, client_ip: str
) -> StoredObject:
    """Send the money on its way; from `error` this is allowed again.

    Raises:
        ApiError: 404 unknown; 400 `payout_execute_wrong_status` once pending or successful.
    """
    stored = find_payout(unit, payout_id)
    if stored.status not in EXECUTABLE or stored.private.get("late_success"):
        raise refusal(
            "payout_execute_wrong_status",
            f"A payout with status {stored.status} cannot be executed.",
        )
    stored.private["instrument"] = {
        "method": METHOD,
        "extra": {
            "bank_name": account.bank_name,
            "bank_code": account.bank_code,
            "bank_account_name": account.holder,
            "masked_bank_account": f"******{account.number[-4:]}",
        },
        "client_ip": client_ip,
    }
    details = stored.document["payment"]
    if details["amount"] > balances.available_for_payouts(unit, details["currency"]):
        _fail(unit, stored, code="insufficient_funds")
        return stored
    reserve(unit, stored)
    _go(unit, stored, outcome)
    return stored


def finish(unit: Unit, timer: Timer) -> None:
    """Let the bank answer."""
    stored = unit.objects.find(timer.object_id, object_type="payout")
    if stored is None:
        return
    if timer.data.get("late_success"):
        if stored.status == "error" and stored.private.pop("late_success", False):
            reserve(unit, stored)
            succeed(unit, stored)
    elif stored.status != "pending":
        return
    elif timer.data["code"] is None:
        succeed(unit, stored)
    else:
        fail(unit, stored, code=timer.data["code"], message=timer.data["message"])
        if timer.data.get("then_success"):
            stored.private["late_success"] = True
            unit.objects.save(stored)
            after = unit.settings.payout_seconds
            unit.timers.add(FINISH, stored.id, after_seconds=after, data={"late_success": True})


def succeed(unit: Unit, stored: StoredObject) -> None:
    """Let the money arrive. The caller has reserved it."""
    details = stored.document["payment"]
    details |= {"paid_on": int(unit.now), "remote_paid_on": int(unit.now)}
    _note_attempt(unit, stored, fee=details["fee_amount"])
    stored.move("success", now=unit.now)
    unit.objects.save(stored)
    _release(unit, stored)
    move_balance(
        unit,
        "payout",
        amount=-details["amount"],
        fee=details["fee_amount"],
        currency=details["currency"],
        object_id=stored.id,
    )
    unit.announce("payout.success", stored)


def fail(unit: Unit, stored: StoredObject, *, code: str, message: str = "") -> None:
    """Let the bank turn the payout down, and give the reserved money back."""
    _release(unit, stored)
    _fail(unit, stored, code=code, message=message)


def _go(unit: Unit, stored: StoredObject, outcome: Outcome) -> None:
    after = outcome.after_seconds
    after = unit.settings.payout_seconds if after is None else after
    code = outcome.code or REJECTED
    match outcome.result:
        case "success":
            succeed(unit, stored)
            return
        case "error":
            fail(unit, stored, code=code, message=outcome.message)
            return
    stored.move("pending", now=unit.now)
    unit.objects.save(stored)
    unit.announce("payout.pending", stored)
    if outcome.result == "stuck":
        return
    fails = outcome.result in ("pending_then_error", "error_then_success")
    data = {
        "code": code if fails else None,
        "message": outcome.message,
        "then_success": outcome.result == "error_then_success",
    }
    unit.timers.add(FINISH, stored.id, after_seconds=after, data=data)


def _fail(unit: Unit, stored: StoredObject, *, code: str, message: str = "") -> None:
    _note_attempt(unit, stored, error=error_of(code, message))
    stored.move("error", now=unit.now)
    unit.objects.save(stored)
    unit.announce("payout.failed", stored)


def _note_attempt(
    unit: Unit, stored: StoredObject, *, fee: int = 0, error: dict[str, str] | None = None
) -> None:
    instrument = stored.private.get("instrument") or {"method": METHOD}
    add_attempt(stored, "execute", at=unit.now, fee=fee, error=error, **instrument)


def reserve(unit: Unit, stored: StoredObject) -> None:
    """Set the payout's money aside until it succeeds or fails."""
    details = stored.document["payment"]
    move_balance(
        unit,
        "payout_pending",
        amount=details["amount"],
        currency=details["currency"],
        object_id=stored.id,
    )


def _release(unit: Unit, stored: StoredObject) -> None:
    details = stored.document["payment"]
    move_balance(
        unit,
        "payout_pending",
        amount=-details["amount"],
        currency=details["currency"],
        object_id=stored.id,
    )


def _document(
    unit: Unit, client: Document, payment: Document, *, reference: str, sender_name: str
) -> Document:
    payout_id = str(uuid.uuid4())
    now = int(unit.now)
    return {
        "id": payout_id,
        "type": "payout",
        "created_on": now,
        "updated_on": now,
        "client": client,
        "payment": payment,
        "transaction_data": empty_transaction_data(),
        "status": "initialized",
        "status_history": [{"status": "initialized", "timestamp": now}],
        "reference": reference,
        "reference_generated": reference_generated(unit),
        "sender_name": sender_name,
        "recipient_card_country": "",
        "recipient_card_brand": "",
        "execution_url": unit.settings.execution_url(f"/po/{payout_id}/{METHOD}/"),
        "issuer_details": {},
        "company_id": unit.settings.company_id,
        "brand_id": unit.settings.brand_id,
        "user_id": None,
        "is_test": True,
    }
