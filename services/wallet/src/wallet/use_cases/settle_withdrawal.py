"""Settle the holds of withdrawals that were paid out."""

from collections.abc import Sequence
from datetime import datetime

from octoco.context import WorkContext
from wallet.domain.ledger import Posting, PostingKind
from wallet.domain.money_facts import MoneyFactAnswer, Outcome
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.messages.inbound import PayoutSucceeded
from wallet.sagas.withdrawal import WITHDRAWAL_SAGA
from wallet.use_cases.announcements import withdrawal_completed
from wallet.use_cases.answer_money_fact import refusal_of
from wallet.use_cases.answer_money_facts import Decision, answer_money_facts
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
    (answer,) = settle_withdrawals(unit, [fact], at=at)
    return answer


def settle_withdrawals(
    unit: WalletUnit,
    facts: Sequence[PayoutSucceeded],
    *,
    contexts: Sequence[WorkContext] | None = None,
    at: datetime,
) -> Sequence[MoneyFactAnswer]:
    """Do for many facts what `settle_withdrawal` does for each, in as many statements as for one.

    Args:
        unit: Open.
        facts: In the order in which they came.
        contexts: Of which work each fact is; None if all are of the work under way.
        at: Now, UTC.

    Returns:
        The answers that were announced, in order.

    Raises:
        FactsNotTogether: only one by one gets these facts right.
    """

    def decide(fact: PayoutSucceeded, transaction: Transaction | None) -> Decision:
        code = _misfit(fact, transaction)
        if transaction is None or code is not None:
            answer, case = refusal_of(
                fact_key=fact.fact_key,
                money=fact.money,
                transaction_id=fact.transaction_id,
                code=code or "",
                at=at,
            )
            return Decision(answer=answer, case=case)
        return _settlement(fact, transaction, at=at)

    return answer_money_facts(
        unit,
        facts,
        transactions=unit.transactions.find_all_for_update({fact.transaction_id for fact in facts}),
        decide=decide,
        # What Revio took is true, whatever the wallet made of the payout.
        fee_subject=lambda fact: fact.payout_id,
        contexts=contexts,
        at=at,
    )


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


def _settlement(fact: PayoutSucceeded, transaction: Transaction, *, at: datetime) -> Decision:
    transaction.provider_id = fact.payout_id
    transaction.move_to(Status.COMPLETED, at=at, cause="payout_succeeded")
    WITHDRAWAL_SAGA.end(transaction, at=at)
    message = withdrawal_completed(transaction, at=at)
    return Decision(
        answer=MoneyFactAnswer(
            fact_key=fact.fact_key,
            money=fact.money,
            outcome=Outcome.SETTLED,
            code=None,
            transaction_id=transaction.id,
            answered_at=at,
        ),
        transaction=transaction,
        posting=Posting(
            business_key=f"hold_end:{transaction.id}",
            kind=PostingKind.SETTLEMENT,
            user_id=transaction.user_id,
            money=fact.money,
            subject=transaction.id,
            effective_at=fact.succeeded_at,
        ),
        message=lambda _: message,
    )
