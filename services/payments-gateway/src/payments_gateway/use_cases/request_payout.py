"""Taking up a withdrawal that the wallet asks for."""

from datetime import datetime
from typing import Final

from octoco.context import current_context
from octoco.errors import TooEarly
from payments_gateway.domain.bank_accounts import BankAccount
from payments_gateway.domain.payouts import Payout, PayoutStatus
from payments_gateway.messages.inbound import WithdrawalRequested
from payments_gateway.use_cases.fail_payout import fail_payout
from payments_gateway.use_cases.ports import Unit

CREATE_PAYOUT: Final = "create_payout"


def request_payout(unit: Unit, request: WithdrawalRequested, *, now: datetime) -> None:
    """Store a withdrawal's payout and the intent to create it.

    A request that came before changes nothing. One whose cancellation came first was answered
    with that and is never carried out. One to a bank account that may not be paid to fails.

    Raises:
        TooEarly: the user's registration has not arrived yet.
    """
    if unit.payouts.lock(request.transaction_id) is not None:
        return
    if unit.users.find(request.user_id) is None:
        raise TooEarly(waits_for=f"user {request.user_id}")
    payout = Payout(
        transaction_id=request.transaction_id,
        user_id=request.user_id,
        bank_account_id=request.bank_account_id,
        money=request.money,
        status=PayoutStatus.REQUESTED,
        created_at=now,
        origin=current_context(),
    )
    if unit.tombstones.holds(request.transaction_id):
        unit.payouts.insert(payout.settled_as(PayoutStatus.CANCELLED, at=now))
        return
    unit.payouts.insert(payout)
    obstacle = obstacle_to_paying(
        unit.bank_accounts.find(request.bank_account_id), user_id=request.user_id
    )
    if obstacle is not None:
        fail_payout(unit, payout, reason_code=obstacle, now=now)
        return
    unit.intents.add(kind=CREATE_PAYOUT, subject_id=request.transaction_id)


def obstacle_to_paying(bank_account: BankAccount | None, *, user_id: str) -> str | None:
    """Say why nothing may be paid to a bank account for this user; None if it may."""
    if bank_account is None or bank_account.user_id != user_id:
        return "bank_account_not_found"
    if bank_account.removed_at is not None:
        return "bank_account_removed"
    if bank_account.verified_at is None:
        return "bank_account_not_verified"
    return None
