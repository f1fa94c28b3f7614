"""Give the money of a withdrawal back that could not be paid out."""

from datetime import datetime

from wallet.domain.money_facts import MoneyFactAnswer, Outcome
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.messages.inbound import PayoutFailed
from wallet.sagas.withdrawal import WITHDRAWAL_SAGA
from wallet.use_cases.announcements import withdrawal_failed
from wallet.use_cases.answer_money_fact import answer_money_fact, refuse_fact
from wallet.use_cases.ports import WalletUnit


def fail_withdrawal(unit: WalletUnit, fact: PayoutFailed, *, at: datetime) -> MoneyFactAnswer:
    """Release the hold of a failed withdrawal, once, and answer the fact on every delivery.

    A failure that comes after the withdrawal was paid is refused: the money has left.

    Args:
        unit: Open.
        fact: What Revio confirmed.
        at: Now, UTC.

    Returns:
        The answer that was announced: `released`, also when a cancel had released the hold
        before; or `refused` with a code.
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
        if transaction.may_become(Status.FAILED):
            _release(unit, fact, transaction, at=at)
        return MoneyFactAnswer(
            fact_key=fact.fact_key,
            money=fact.money,
            outcome=Outcome.RELEASED,
            code=None,
            transaction_id=transaction.id,
            answered_at=at,
        )

    return answer_money_fact(unit, fact_key=fact.fact_key, money=fact.money, at=at, decide=decide)


def _misfit(fact: PayoutFailed, transaction: Transaction | None) -> str | None:
    if transaction is None or transaction.kind is not TransactionKind.WITHDRAWAL:
        return "unknown_transaction"
    if transaction.money.currency != fact.money.currency:
        return "currency_mismatch"
    if transaction.money != fact.money:
        return "amount_mismatch"
    if transaction.status in {Status.COMPLETED, Status.REVERSED}:
        return "hold_already_settled"
    return None


def _release(
    unit: WalletUnit, fact: PayoutFailed, transaction: Transaction, *, at: datetime
) -> None:
    transaction.provider_id = fact.payout_id or transaction.provider_id
    transaction.move_to(Status.FAILED, at=at, cause="payout_failed", reason_code=fact.reason_code)
    WITHDRAWAL_SAGA.end(transaction, at=at)
    unit.ledger.release_hold(
        transaction_id=transaction.id,
        effective_at=fact.failed_at,
        announcing=[withdrawal_failed(transaction)],
    )
    unit.transactions.save(transaction)
