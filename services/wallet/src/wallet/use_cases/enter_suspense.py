"""Enter money that lies at Revio and that nobody here knows of, and undo such an entry."""

from datetime import datetime

from octoco.money import Money
from wallet.domain.errors import (
    AlreadyBooked,
    PurchaseNotBooked,
    TransferNotReversible,
)
from wallet.domain.ledger import Posting, PostingKind, PurchaseMoney
from wallet.domain.money_facts import (
    ENTERED_BY_OPERATOR,
    MoneyFactAnswer,
    Outcome,
    purchase_fact_key,
)
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision
from wallet.domain.transactions import require_positive
from wallet.use_cases.ports import WalletUnit
from wallet.use_cases.require_operator import require_operator_not_frozen


def enter_suspense(
    unit: WalletUnit,
    *,
    operator_id: str,
    reference: str,
    money: Money,
    reason: str,
    at: datetime,
) -> PurchaseMoney:
    """Book money to suspense that an operator saw at Revio, once for its reference.

    The reference is Revio's purchase where there is one, and has that purchase's business key: the
    money is then never booked a second time when the gateway tells of it after all. Such a fact is
    answered `suspended` and opens a case.

    Args:
        unit: Open.
        operator_id: Who enters it, from a verified token.
        reference: Under which Revio shows the money.
        money: How much, above zero.
        reason: Why.
        at: Now, UTC.

    Returns:
        What lies in suspense under the reference.

    Raises:
        AmountNotPositive: there is nothing to book.
        ReasonMissing: no reason is given, or too long a one.
        UserFrozen: the operator is frozen.
        AlreadyBooked: money was booked under this reference before, also if that was undone.
    """
    require_positive(money)
    decision = OperatorDecision.made(
        operator_id=operator_id,
        action=DecisionAction.SUSPENSE_ENTERED,
        subject=reference,
        reason=reason,
        at=at,
        details={"amount": money.amount_text, "currency": money.currency},
    )
    require_operator_not_frozen(unit, operator_id)
    fact_key = purchase_fact_key(reference)
    if unit.ledger.find_transfer(fact_key) is not None:
        raise AlreadyBooked("Money is booked under this reference.", field="reference")
    unit.ledger.post(
        Posting(
            business_key=fact_key,
            kind=PostingKind.SUSPENSE,
            user_id=None,
            money=money,
            subject=reference,
            effective_at=at,
        )
    )
    unit.money_fact_answers.add(
        MoneyFactAnswer(
            fact_key=fact_key,
            money=money,
            outcome=Outcome.SUSPENDED,
            code=ENTERED_BY_OPERATOR,
            transaction_id=None,
            answered_at=at,
        )
    )
    unit.operator_decisions.add(decision)
    return _lying(unit, reference)


def undo_suspense_entry(
    unit: WalletUnit, *, operator_id: str, reference: str, reason: str, at: datetime
) -> PurchaseMoney:
    """Reverse what an operator entered, as long as all of it lies in suspense.

    The reference stays used: what is entered after all needs another one.

    Args:
        unit: Open.
        operator_id: Who undoes it, from a verified token.
        reference: Under which it was entered.
        reason: Why.
        at: Now, UTC.

    Returns:
        What became of the entry. A repeat changes nothing.

    Raises:
        ReasonMissing: no reason is given, or too long a one.
        UserFrozen: the operator is frozen.
        PurchaseNotBooked: nothing is booked under the reference.
        TransferNotReversible: it was told by Revio, not entered by an operator.
        ExceedsPurchase: it was assigned or went back, wholly or in part.
    """
    decision = OperatorDecision.made(
        operator_id=operator_id,
        action=DecisionAction.SUSPENSE_UNDONE,
        subject=reference,
        reason=reason,
        at=at,
    )
    require_operator_not_frozen(unit, operator_id)
    fact_key = purchase_fact_key(reference)
    if unit.ledger.find_transfer(fact_key) is None:
        raise PurchaseNotBooked("Nothing is booked under this reference.")
    answer = unit.money_fact_answers.find(fact_key)
    if answer is None or answer.code != ENTERED_BY_OPERATOR:
        raise TransferNotReversible("Only what an operator entered can be undone.")
    if not unit.ledger.reverse(business_key=fact_key, effective_at=at).repeated:
        unit.operator_decisions.add(decision)
    return _lying(unit, reference)


def _lying(unit: WalletUnit, reference: str) -> PurchaseMoney:
    purchase = unit.ledger.purchase(reference)
    assert purchase is not None
    return purchase
