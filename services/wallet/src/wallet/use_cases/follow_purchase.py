"""Move a deposit to where the money of its purchase is."""

from datetime import datetime

from wallet.domain.ledger import PurchaseMoney
from wallet.domain.money_facts import purchase_fact_key
from wallet.domain.transactions import Status, Transaction
from wallet.sagas.deposit import DEPOSIT_SAGA
from wallet.use_cases.announcements import deposit_failed
from wallet.use_cases.assign_suspense import deposit_of_purchase
from wallet.use_cases.ports import WalletUnit

_CLOSED_BY_THE_WALLET = "wallet"


def follow_purchase(
    unit: WalletUnit, purchase_id: str, *, cause: str, fact_key: str, at: datetime
) -> Transaction | None:
    """Let the deposit of a purchase show what has gone back of its money, after that was booked.

    A deposit that was credited becomes `partially_refunded`, `refunded`, or `reversed` while a
    chargeback stands, and what it was before when all chargebacks are won. One that waited in
    review for money in suspense has failed when all of that has gone back.

    Args:
        unit: Open.
        purchase_id: Whose money moved.
        cause: What brought it about, for the timeline.
        fact_key: The fact behind it, for the timeline.
        at: Now, UTC.

    Returns:
        The deposit; None if the money is no deposit's.
    """
    purchase = unit.ledger.purchase(purchase_id)
    assert purchase is not None
    if purchase.user_id is None:
        return _end_review(unit, purchase, cause=cause, fact_key=fact_key, at=at)
    credited_to = deposit_of_purchase(unit, purchase_id)
    deposit = None if credited_to is None else unit.transactions.find_for_update(credited_to)
    if deposit is None:
        return None
    status = status_shown_by(purchase)
    if status is deposit.status:
        deposit.note(at=at, cause=cause, detail=fact_key)
    else:
        deposit.move_to(status, at=at, cause=cause, reason_code=_REASONS[status])
    unit.transactions.save(deposit)
    return deposit


def status_shown_by(purchase: PurchaseMoney) -> Status:
    """Return the status of a credited deposit whose purchase is in this state."""
    if purchase.charged_back.is_positive:
        return Status.REVERSED
    if purchase.refunded == purchase.came_in:
        return Status.REFUNDED
    if purchase.refunded.is_positive:
        return Status.PARTIALLY_REFUNDED
    return Status.COMPLETED


_REASONS = {
    Status.REVERSED: "charged_back",
    Status.REFUNDED: "refunded",
    Status.PARTIALLY_REFUNDED: "partially_refunded",
    Status.COMPLETED: None,
}


def _end_review(
    unit: WalletUnit, purchase: PurchaseMoney, *, cause: str, fact_key: str, at: datetime
) -> Transaction | None:
    answer = unit.money_fact_answers.find(purchase_fact_key(purchase.purchase_id))
    if purchase.left.is_positive or answer is None:
        return None
    # Nothing is left that an operator could decide about.
    unit.operator_cases.close(
        subject=answer.fact_key,
        by=_CLOSED_BY_THE_WALLET,
        reason=f"All of the money went back: {fact_key}.",
        at=at,
    )
    if answer.transaction_id is None:
        return None
    deposit = unit.transactions.find_for_update(answer.transaction_id)
    if deposit is None or deposit.status is not Status.REVIEW:
        return None
    deposit.move_to(Status.FAILED, at=at, cause=cause, reason_code="money_returned")
    DEPOSIT_SAGA.end(deposit, at=at)
    unit.transactions.save(deposit)
    unit.outbox.add(deposit_failed(deposit))
    return deposit
