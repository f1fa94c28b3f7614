"""Credit money that came in, or book to suspense what fits no deposit."""

from datetime import datetime

from wallet.domain.ledger import Posting, PostingKind
from wallet.domain.money_facts import (
    ENTERED_BY_OPERATOR,
    MoneyFactAnswer,
    OperatorCase,
    Outcome,
)
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.messages.inbound import DepositPaid
from wallet.sagas.deposit import DEPOSIT_SAGA
from wallet.use_cases.announcements import deposit_completed
from wallet.use_cases.answer_money_fact import answer_money_fact
from wallet.use_cases.book_fee import book_fee
from wallet.use_cases.ports import WalletUnit


def credit_deposit(unit: WalletUnit, fact: DepositPaid, *, at: datetime) -> MoneyFactAnswer:
    """Book a paid purchase, once, and answer the fact on every delivery.

    Money that came in is never refused: it is credited to the deposit it fits, also when that
    had failed, expired or been cancelled; anything else goes to suspense and to an operator. One
    purchase has one business key for both, so it can never be booked both ways.

    Args:
        unit: Open.
        fact: What Revio confirmed.
        at: Now, UTC.

    Returns:
        The answer that was announced: `credited`, `suspended` with a code, or `refused` when the
        purchase was booked before with another amount.

    Source: docs/ledger.md, rules L3 and L8.
    """

    def decide() -> MoneyFactAnswer:
        transaction = _deposit_of(unit, fact)
        code = _misfit(unit, fact, transaction)
        if transaction is None or code is not None:
            return _suspend(unit, fact, transaction=transaction, code=code or "", at=at)
        return _credit(unit, fact, transaction, at=at)

    answer = answer_money_fact(unit, fact_key=fact.fact_key, money=fact.money, at=at, decide=decide)
    if answer.code == ENTERED_BY_OPERATOR:
        _tell_operator(unit, fact, at=at)
    book_fee(unit, subject=fact.purchase_id, fee=fact.fee, at=at)
    return answer


def _tell_operator(unit: WalletUnit, fact: DepositPaid, *, at: datetime) -> None:
    unit.operator_cases.open(
        OperatorCase(
            kind=ENTERED_BY_OPERATOR,
            subject=fact.fact_key,
            transaction_id=fact.transaction_id,
            money=fact.money,
            detail="Revio has told of money that an operator had entered; it was not booked again.",
            opened_at=at,
        )
    )


def _deposit_of(unit: WalletUnit, fact: DepositPaid) -> Transaction | None:
    if fact.transaction_id is None:
        return None
    transaction = unit.transactions.find_for_update(fact.transaction_id)
    if transaction is None or transaction.kind is not TransactionKind.DEPOSIT:
        return None
    return transaction


def _misfit(unit: WalletUnit, fact: DepositPaid, transaction: Transaction | None) -> str | None:
    if transaction is None:
        return "unknown_transaction"
    if not unit.users.exists(transaction.user_id):
        return "unknown_user"
    if transaction.money.currency != fact.money.currency:
        return "currency_mismatch"
    if transaction.money != fact.money:
        return "amount_mismatch"
    if not transaction.waits_for_money:
        return "already_credited"
    return None


def _credit(
    unit: WalletUnit, fact: DepositPaid, transaction: Transaction, *, at: datetime
) -> MoneyFactAnswer:
    booked = unit.ledger.post(
        Posting(
            business_key=f"purchase:{fact.purchase_id}",
            kind=PostingKind.DEPOSIT,
            user_id=transaction.user_id,
            money=fact.money,
            subject=fact.purchase_id,
            effective_at=fact.paid_at,
        )
    )
    assert booked.available is not None
    transaction.provider_id = fact.purchase_id
    transaction.move_to(Status.COMPLETED, at=at, cause="deposit_paid")
    DEPOSIT_SAGA.end(transaction, at=at)
    unit.transactions.save(transaction)
    unit.outbox.add(deposit_completed(transaction, available=booked.available, at=at))
    return MoneyFactAnswer(
        fact_key=fact.fact_key,
        money=fact.money,
        outcome=Outcome.CREDITED,
        code=None,
        transaction_id=transaction.id,
        answered_at=at,
    )


def _suspend(
    unit: WalletUnit,
    fact: DepositPaid,
    *,
    transaction: Transaction | None,
    code: str,
    at: datetime,
) -> MoneyFactAnswer:
    unit.ledger.post(
        Posting(
            business_key=f"purchase:{fact.purchase_id}",
            kind=PostingKind.SUSPENSE,
            user_id=None,
            money=fact.money,
            subject=fact.purchase_id,
            effective_at=fact.paid_at,
        )
    )
    if transaction is not None:
        if transaction.status is Status.PENDING:
            transaction.move_to(Status.REVIEW, at=at, cause="money_suspended", reason_code=code)
            DEPOSIT_SAGA.end(transaction, at=at)
        else:
            transaction.note(at=at, cause="money_suspended", detail=code)
        unit.transactions.save(transaction)
    unit.operator_cases.open(
        OperatorCase(
            kind=code,
            subject=fact.fact_key,
            transaction_id=fact.transaction_id,
            money=fact.money,
            detail="Money came in that fits no open deposit; it is in suspense.",
            opened_at=at,
        )
    )
    return MoneyFactAnswer(
        fact_key=fact.fact_key,
        money=fact.money,
        outcome=Outcome.SUSPENDED,
        code=code,
        transaction_id=fact.transaction_id,
        answered_at=at,
    )
