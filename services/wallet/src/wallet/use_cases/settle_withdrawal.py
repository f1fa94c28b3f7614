"""Settle the hold of a withdrawal that was paid out."""

from datetime import datetime

from wallet.domain.money_facts import MoneyFactAnswer, Outcome
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.messages.inbound import PayoutSucceeded
from wallet.sagas.withdrawal import WITHDRAWAL_SAGA
from wallet.use_cases.announcements import withdrawal_completed
from wallet.use_cases.answer_money_fact import answer_money_fact, refuse_fact
from wallet.use_cases.book_fee import book_fee
from wallet.use_cases.ports import WalletUnit


def settle_withdrawal(unit: WalletUnit, fact: PayoutSucceeded, *, at: datetime) -> MoneyFactAnswer:
    """Let the held money of a paid withdrawal go, once, and answer the fact on every delivery.

    A success that comes after a failure, a second payout for the same withdrawal, or another
    amount than ours is refused: nothing is booked silently, a person has to look at it.

    Args:
        unit: Open.
        fact: What Revio confirmed.
        at: Now, UTC.

    Returns:
        The answer that was announced: `settled`, or `refused` with a code.
    """

    def decide() -> MoneyFactAnswer:
        transaction = unit.transactions.find_for_update(fact.transaction_id)
        code = _misfit(fact, transaction)
        if transaction is None or code is not None:
            return refuse_fact(
                unit,
                fact_key=fact.fact_key,
                money=fact.money,
                transaction_id=fact.transaction_id,
                code=code or "",
                at=at,
            )
        return _settle(unit, fact, transaction, at=at)

    answer = answer_money_fact(unit, fact_key=fact.fact_key, money=fact.money, at=at, decide=decide)
    # What Revio took is true, whatever the wallet made of the payout.
    book_fee(unit, subject=fact.payout_id, fee=fact.fee, at=at)
    return answer


def _misfit(fact: PayoutSucceeded, transaction: Transaction | None) -> str | None:
    if transaction is None or transaction.kind is not TransactionKind.WITHDRAWAL:
        return "unknown_transaction"
    if transaction.money.currency != fact.money.currency:
        return "currency_mismatch"
    if transaction.money != fact.money:
        return "amount_mismatch"
    if transaction.status in {Status.FAILED, Status.CANCELLED}:
        return "hold_already_released"
    if not transaction.may_become(Status.COMPLETED):
        return "hold_already_settled"
    return None


def _settle(
    unit: WalletUnit, fact: PayoutSucceeded, transaction: Transaction, *, at: datetime
) -> MoneyFactAnswer:
    transaction.provider_id = fact.payout_id
    transaction.move_to(Status.COMPLETED, at=at, cause="payout_succeeded")
    WITHDRAWAL_SAGA.end(transaction, at=at)
    unit.ledger.settle_hold(
        transaction_id=transaction.id,
        money=fact.money,
        effective_at=fact.succeeded_at,
        announcing=[withdrawal_completed(transaction, at=at)],
    )
    unit.transactions.save(transaction)
    return MoneyFactAnswer(
        fact_key=fact.fact_key,
        money=fact.money,
        outcome=Outcome.SETTLED,
        code=None,
        transaction_id=transaction.id,
        answered_at=at,
    )
