"""Ending a payout of which it is certain that nobody was paid."""

from datetime import datetime

from payments_gateway.domain.money_facts import payout_failed_fact_key
from payments_gateway.domain.payouts import Payout, PayoutStatus
from payments_gateway.messages.outbound import PayoutFailed
from payments_gateway.use_cases.ports import Unit
from payments_gateway.use_cases.tell_money_fact import tell_money_fact


def fail_payout(unit: Unit, payout: Payout, *, reason_code: str, now: datetime) -> None:
    """Record that a payout failed for good and tell the wallet, which gives the money back.

    Args:
        unit: Has the payout's row locked or newly inserted.
        payout: As it stands.
        reason_code: Why, in the alphabet of message codes.
        now: UTC.

    Raises:
        IllegalTransition: the payout has ended otherwise (a bug of the caller).
    """
    failed = payout.settled_as(PayoutStatus.FAILED, at=now, reason_code=reason_code)
    unit.payouts.save(failed)
    tell_money_fact(
        unit,
        PayoutFailed(
            fact_key=payout_failed_fact_key(payout.transaction_id),
            transaction_id=payout.transaction_id,
            payout_id=payout.payout_id,
            money=payout.money,
            reason_code=reason_code,
            failed_at=now,
        ),
        now=now,
    )
