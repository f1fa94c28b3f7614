"""Give money that lies in suspense to the user it belongs to, because an operator says so."""

from dataclasses import replace
from datetime import datetime

from octoco.money import Money
from octoco.spans import continued
from wallet.domain.errors import (
    AlreadyAssigned,
    AssignmentNeedsTwoPeople,
    DepositDoesNotFit,
    OwnAssignment,
    PurchaseNotBooked,
)
from wallet.domain.ledger import Posting, PostingKind, PurchaseMoney
from wallet.domain.money_facts import purchase_fact_key
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.sagas.deposit import DEPOSIT_SAGA
from wallet.use_cases.announcements import deposit_completed, deposit_failed
from wallet.use_cases.ports import WalletUnit
from wallet.use_cases.require_operator import require_operator_not_frozen
from wallet.use_cases.require_user import require_user

_CAUSE = "suspense_assigned"


def assign_suspense(
    unit: WalletUnit,
    *,
    operator_id: str,
    purchase_id: str,
    user_id: str,
    transaction_id: str | None,
    reason: str,
    at: datetime,
) -> PurchaseMoney:
    """Credit all that is left of a purchase in suspense to a user, once.

    With a deposit that the money fits to the cent, that deposit completes. A deposit that waited in
    review for this money and is not the one named has failed: its money was credited apart. Open
    cases about the purchase are closed with the decision. Money that an operator entered takes two
    people, neither of them whom it goes to.

    Args:
        unit: Open.
        operator_id: Who decides, from a verified token; not who entered the money.
        purchase_id: What lies in suspense.
        user_id: Whom it belongs to.
        transaction_id: Their deposit that it pays for; None to credit the user alone.
        reason: Why.
        at: Now, UTC.

    Returns:
        The purchase, with its new owner. A repeat for the same user changes nothing.

    Raises:
        ReasonMissing: no reason is given, or too long a one.
        UserFrozen: the operator is frozen.
        OwnAssignment: it would go to the operator.
        PurchaseNotBooked: nothing came in by this purchase.
        AssignmentNeedsTwoPeople: the operator, or whom it would go to, entered it.
        AlreadyAssigned: it belongs to a user, or nothing of it is left.
        UserNotFound: the wallet knows no such user.
        DepositDoesNotFit: not a deposit of this user, of this amount, that waits for money.
        ExceedsPurchase: a chargeback stands against it, which may yet be won.
    """
    decision = OperatorDecision.made(
        operator_id=operator_id,
        action=DecisionAction.SUSPENSE_ASSIGNED,
        subject=purchase_id,
        reason=reason,
        at=at,
        details={"user_id": user_id, "transaction_id": transaction_id},
    )
    require_operator_not_frozen(unit, operator_id)
    if operator_id == user_id:
        raise OwnAssignment("Nobody assigns money to themselves.", field="user_id")
    purchase = unit.ledger.purchase(purchase_id)
    if purchase is None:
        raise PurchaseNotBooked("Nothing came in by this purchase.")
    _require_two_people(unit, decision, user_id=user_id)
    if purchase.user_id is not None and _is_repeat(unit, purchase, user_id, transaction_id):
        return purchase
    if purchase.user_id is not None or not purchase.left.is_positive:
        raise AlreadyAssigned("Nothing of this purchase lies in suspense.")
    require_user(unit, user_id, currency=purchase.left.currency)
    deposit = None
    if transaction_id is not None:
        deposit = _fitting_deposit(unit, transaction_id, user_id=user_id, money=purchase.left)
    _book(unit, purchase, user_id=user_id, deposit=deposit, at=at)
    _end_review(unit, purchase_id, completed=deposit, at=at)
    unit.operator_cases.close(
        subject=purchase_fact_key(purchase_id), by=operator_id, reason=decision.reason, at=at
    )
    unit.operator_decisions.add(decision)
    return replace(purchase, user_id=user_id)


def deposit_of_purchase(unit: WalletUnit, purchase_id: str) -> str | None:
    """Return the deposit that a purchase's money was credited to, by Revio's word or an operator's.

    Args:
        unit: Open.
        purchase_id: Which purchase; its money is in a user's hands.
    """
    for decision in unit.operator_decisions.of_subject(purchase_id):
        if decision.action is DecisionAction.SUSPENSE_ASSIGNED:
            assigned_to = decision.details.get("transaction_id")
            return None if assigned_to is None else str(assigned_to)
    answer = unit.money_fact_answers.find(purchase_fact_key(purchase_id))
    return None if answer is None else answer.transaction_id


def _require_two_people(unit: WalletUnit, decision: OperatorDecision, *, user_id: str) -> None:
    entered_by = {
        one.operator_id
        for one in unit.operator_decisions.of_subject(decision.subject)
        if one.action is DecisionAction.SUSPENSE_ENTERED
    }
    if entered_by & {decision.operator_id, user_id}:
        raise AssignmentNeedsTwoPeople(
            "Whoever entered this money can neither assign it nor be given it."
        )


def _is_repeat(
    unit: WalletUnit, purchase: PurchaseMoney, user_id: str, transaction_id: str | None
) -> bool:
    assigned = unit.ledger.find_transfer(_business_key(purchase.purchase_id))
    return (
        assigned is not None
        and purchase.user_id == user_id
        and deposit_of_purchase(unit, purchase.purchase_id) == transaction_id
    )


def _fitting_deposit(
    unit: WalletUnit, transaction_id: str, *, user_id: str, money: Money
) -> Transaction:
    deposit = unit.transactions.find_for_update(transaction_id)
    if (
        deposit is None
        or deposit.kind is not TransactionKind.DEPOSIT
        or deposit.user_id != user_id
        or deposit.money != money
        or not deposit.waits_for_money
    ):
        raise DepositDoesNotFit(
            "This is no deposit of this user that waits for this money.", field="transaction_id"
        )
    return deposit


def _book(
    unit: WalletUnit,
    purchase: PurchaseMoney,
    *,
    user_id: str,
    deposit: Transaction | None,
    at: datetime,
) -> None:
    booked = unit.ledger.post(
        Posting(
            business_key=_business_key(purchase.purchase_id),
            kind=PostingKind.SUSPENSE_ASSIGNMENT,
            user_id=user_id,
            money=purchase.left,
            subject=purchase.purchase_id,
            effective_at=at,
        )
    )
    if deposit is None:
        return
    assert booked.available is not None
    deposit.provider_id = purchase.purchase_id
    deposit.move_to(Status.COMPLETED, at=at, cause=_CAUSE)
    DEPOSIT_SAGA.end(deposit, at=at)
    unit.transactions.save(deposit)
    with continued(deposit.origin, "assign suspense"):
        unit.outbox.add(deposit_completed(deposit, available=booked.available, at=at))


def _end_review(
    unit: WalletUnit, purchase_id: str, *, completed: Transaction | None, at: datetime
) -> None:
    answer = unit.money_fact_answers.find(purchase_fact_key(purchase_id))
    if answer is None or answer.transaction_id is None:
        return
    if completed is not None and completed.id == answer.transaction_id:
        return
    waiting = unit.transactions.find_for_update(answer.transaction_id)
    if waiting is None or waiting.status is not Status.REVIEW:
        return
    waiting.move_to(Status.FAILED, at=at, cause=_CAUSE, reason_code="credited_apart")
    DEPOSIT_SAGA.end(waiting, at=at)
    unit.transactions.save(waiting)
    with continued(waiting.origin, "assign suspense"):
        unit.outbox.add(deposit_failed(waiting))


def _business_key(purchase_id: str) -> str:
    return f"suspense_end:{purchase_id}"
