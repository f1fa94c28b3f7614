"""Acting on what the provider shows of a payout: the one place where a withdrawal moves on.

Nothing here executes a payout, and nothing here releases money without the provider's word that
nobody was paid: what cannot be known goes to a person.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from octoco.money import Money
from octoco.spans import continued
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.money_facts import payout_fact_key
from payments_gateway.domain.payouts import (
    Payout,
    PayoutOutcome,
    PayoutStatus,
    newest_attempt,
    outcome_of,
)
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant, PayoutReading, PayoutState
from payments_gateway.messages.outbound import PayoutAccepted, PayoutSucceeded, reason_code
from payments_gateway.use_cases.fail_payout import fail_payout
from payments_gateway.use_cases.ports import Unit
from payments_gateway.use_cases.tell_money_fact import tell_money_fact

EXECUTE_PAYOUT: Final = "execute_payout"
POLL_PAYOUT: Final = "poll_payout"

_ON_THE_WAY: Final = frozenset({PayoutStatus.EXECUTING, PayoutStatus.ACCEPTED})
_NOT_ORDERED: Final = frozenset({PayoutStatus.CREATED, PayoutStatus.CANCELLED})


def record_payout_reading(
    unit: Unit, reading: PayoutReading, *, ours: Merchant, policy: Policy, now: datetime
) -> str:
    """Move a withdrawal to where a reading of its payout shows it to be.

    Repeating a reading, or recording an older one later, changes nothing. A success is told to
    the wallet whatever came before it; a failure only once, and only when it is an answer.

    Args:
        unit: Locks the payout.
        reading: What the provider showed.
        ours: Company, brand and mode that an object must have to be ours.
        policy: How patient we are.
        now: UTC.

    Returns:
        One word for what was found, for the log of deliveries.
    """
    difference = reading.merchant.difference_to(ours)
    if difference is not None:
        _open_case(unit, CaseKind.NOT_OUR_MERCHANT, reading, None, now, differs_in=difference)
        return "not_our_merchant"
    transaction_id = unit.payouts.transaction_of(reading.payout_id)
    payout = unit.payouts.lock(transaction_id or reading.reference)
    with continued(payout.origin if payout else None, "record payout reading"):
        return _record(unit, payout, reading, policy=policy, now=now)


def _record(
    unit: Unit, payout: Payout | None, reading: PayoutReading, *, policy: Policy, now: datetime
) -> str:
    if payout is not None and payout.payout_id is None:
        payout = adopt_payout(unit, payout, reading)
    if payout is None or payout.payout_id != reading.payout_id:
        return _record_stranger(unit, reading, now=now)
    match outcome_of(reading):
        case PayoutOutcome.SUCCEEDED:
            return _record_success(unit, payout, reading, now=now)
        case PayoutOutcome.FAILED:
            return _record_failure(unit, payout, reading, now=now)
        case PayoutOutcome.PENDING:
            return _record_pending(unit, payout, reading, now=now)
        case PayoutOutcome.NOT_BEGUN:
            return _record_not_begun(unit, payout, reading, policy=policy, now=now)
        case PayoutOutcome.UNKNOWN:
            return _record_unknown(unit, payout, reading, policy=policy, now=now)


def adopt_payout(unit: Unit, payout: Payout, reading: PayoutReading) -> Payout:
    """Choose a payout of the provider as the one that may be executed for a withdrawal.

    Returns:
        The withdrawal's payout, unchanged if it waits for none any more or if the reading is not
        what was ordered.
    """
    fits = reading.amount == payout.money and reading.execution_url is not None
    if payout.status is not PayoutStatus.REQUESTED or not fits:
        return payout
    adopted = replace(
        payout.moved_to(PayoutStatus.CREATED),
        payout_id=reading.payout_id,
        execution_url=reading.execution_url,
    )
    unit.payouts.save(adopted)
    unit.intents.add(kind=EXECUTE_PAYOUT, subject_id=payout.transaction_id)
    return adopted


def _record_stranger(unit: Unit, reading: PayoutReading, *, now: datetime) -> str:
    # A lost answer leaves a payout more, which stays untouched for ever and moves nothing. One
    # that moves was not ordered by us.
    if reading.state is PayoutState.INITIALIZED and not reading.attempts:
        return "spare"
    _open_case(unit, CaseKind.UNKNOWN_PAYOUT, reading, None, now, money=reading.amount)
    return "belongs_to_nobody"


def _record_success(unit: Unit, payout: Payout, reading: PayoutReading, *, now: datetime) -> str:
    if payout.status is PayoutStatus.SUCCEEDED:
        return "nothing_new"
    if payout.status in (PayoutStatus.FAILED, PayoutStatus.CANCELLED):
        ended = payout.status.value
        kind = CaseKind.PAYOUT_SUCCEEDED_AFTER_END
        _open_case(unit, kind, reading, payout, now, money=reading.amount, ended=ended)
    if payout.execution_begun_at is None:
        _open_case(unit, CaseKind.PAYOUT_MOVED_UNASKED, reading, payout, now)
    if reading.amount != payout.money:
        asked = str(payout.money)
        kind = CaseKind.AMOUNT_DIFFERS
        _open_case(unit, kind, reading, payout, now, money=reading.amount, asked=asked)
    paid = payout.settled_as(PayoutStatus.SUCCEEDED, at=now)
    unit.payouts.save(_marked_begun(paid, now))
    tell_money_fact(
        unit,
        PayoutSucceeded(
            fact_key=payout_fact_key(reading.payout_id),
            transaction_id=payout.transaction_id,
            payout_id=reading.payout_id,
            money=reading.amount,
            fee=reading.fee,
            succeeded_at=reading.paid_at or now,
        ),
        now=now,
    )
    return "succeeded"


def _record_failure(unit: Unit, payout: Payout, reading: PayoutReading, *, now: datetime) -> str:
    if payout.status is PayoutStatus.SUCCEEDED:
        # A reading from before the success says nothing about what came after it.
        if payout.settled_at is not None and reading.read_at > payout.settled_at:
            _open_case(unit, CaseKind.PAYOUT_FAILED_AFTER_SUCCESS, reading, payout, now)
        return "nothing_new"
    if payout.status in (PayoutStatus.FAILED, PayoutStatus.CANCELLED):
        return "nothing_new"
    if payout.execution_begun_at is None:
        _open_case(unit, CaseKind.PAYOUT_MOVED_UNASKED, reading, payout, now)
    newest = newest_attempt(reading.attempts)
    code = reason_code(newest.error_code if newest else None)
    fail_payout(unit, _marked_begun(payout, now), reason_code=code, now=now)
    return "failed"


def _record_pending(unit: Unit, payout: Payout, reading: PayoutReading, *, now: datetime) -> str:
    if payout.status in _NOT_ORDERED:
        _open_case(unit, CaseKind.PAYOUT_MOVED_UNASKED, reading, payout, now)
    if payout.status not in (PayoutStatus.CREATED, PayoutStatus.EXECUTING):
        return "nothing_new"
    accepted = payout.moved_to(PayoutStatus.ACCEPTED)
    unit.payouts.save(_marked_begun(accepted, now))
    unit.intents.add(kind=POLL_PAYOUT, subject_id=payout.transaction_id)
    unit.outbox.add(
        PayoutAccepted(transaction_id=payout.transaction_id, payout_id=reading.payout_id)
    )
    return "accepted"


def _record_not_begun(
    unit: Unit, payout: Payout, reading: PayoutReading, *, policy: Policy, now: datetime
) -> str:
    begun_at = payout.execution_begun_at
    if payout.status is not PayoutStatus.EXECUTING or begun_at is None:
        return "nothing_new"
    if reading.read_at - begun_at >= policy.execution_stuck_after:
        # Never ordered again and never released by us: the order may still be on its way.
        _open_case(
            unit,
            CaseKind.PAYOUT_NOT_BEGUN,
            reading,
            payout,
            now,
            money=payout.money,
            execution_answer=payout.execution_answer,
        )
    return "not_begun"


def _record_unknown(
    unit: Unit, payout: Payout, reading: PayoutReading, *, policy: Policy, now: datetime
) -> str:
    if payout.status in _NOT_ORDERED:
        _open_case(unit, CaseKind.PAYOUT_MOVED_UNASKED, reading, payout, now)
        if payout.status is PayoutStatus.CREATED:
            unit.payouts.save(_marked_begun(payout.moved_to(PayoutStatus.EXECUTING), now))
            unit.intents.add(kind=POLL_PAYOUT, subject_id=payout.transaction_id)
        return "unknown"
    begun_at = payout.execution_begun_at
    if payout.status not in _ON_THE_WAY or begun_at is None:
        return "nothing_new"
    if now - begun_at >= policy.unknown_after:
        newest = newest_attempt(reading.attempts)
        code = newest.error_code if newest else None
        kind = CaseKind.PAYOUT_UNKNOWN
        _open_case(unit, kind, reading, payout, now, money=payout.money, error_code=code)
    return "unknown"


def _marked_begun(payout: Payout, now: datetime) -> Payout:
    # Somebody else's order is an order too: from here on ours must never be given.
    return replace(payout, execution_begun_at=payout.execution_begun_at or now)


def _open_case(
    unit: Unit,
    kind: CaseKind,
    reading: PayoutReading,
    payout: Payout | None,
    now: datetime,
    *,
    money: Money | None = None,
    **evidence: object,
) -> None:
    unit.cases.open(
        Case(
            kind,
            reading.payout_id,
            now,
            transaction_id=payout.transaction_id if payout else None,
            money=money or reading.amount,
            evidence={
                "provider_status": reading.provider_status,
                "reference": reading.reference,
                **evidence,
            },
        )
    )
