"""Stopping a withdrawal while that is certain to stop it."""

from datetime import datetime

from payments_gateway.domain.payouts import Payout, PayoutStatus
from payments_gateway.messages.inbound import WithdrawalCancelRequested
from payments_gateway.messages.outbound import PayoutCancelled, PayoutCancelRefused
from payments_gateway.use_cases.ports import Unit


def cancel_payout(unit: Unit, request: WithdrawalCancelRequested, *, now: datetime) -> None:
    """Cancel a withdrawal unless its execution has begun, and answer either way.

    The row's lock decides the race against the mark that execution begins: whoever commits first
    has won. A cancellation that comes before its request leaves a tombstone and has succeeded.
    A repeat gets the same answer again.
    """
    payout = unit.payouts.lock(request.transaction_id)
    if payout is None:
        unit.tombstones.bury(request.transaction_id)
        unit.outbox.add(PayoutCancelled(transaction_id=request.transaction_id))
        return
    if payout.may_be_cancelled and payout.user_id == request.user_id:
        payout = payout.settled_as(PayoutStatus.CANCELLED, at=now)
        unit.payouts.save(payout)
    refusal = _refusal(payout, user_id=request.user_id)
    if refusal is None:
        unit.outbox.add(PayoutCancelled(transaction_id=request.transaction_id))
    else:
        unit.outbox.add(
            PayoutCancelRefused(transaction_id=request.transaction_id, reason_code=refusal)
        )


def _refusal(payout: Payout, *, user_id: str) -> str | None:
    if payout.user_id != user_id:
        return "not_the_users"
    match payout.status:
        case PayoutStatus.CANCELLED:
            return None
        case PayoutStatus.FAILED:
            return "already_failed"
        case PayoutStatus.SUCCEEDED:
            return "already_paid"
        case _:
            return "execution_begun"
