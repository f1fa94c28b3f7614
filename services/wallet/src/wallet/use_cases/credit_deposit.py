"""Credit money that came in, or book to suspense what fits no deposit."""

from collections.abc import Collection, Sequence
from datetime import datetime

from octoco.context import WorkContext
from wallet.domain.ledger import Booked, Posting, PostingKind
from wallet.domain.money_facts import (
    ENTERED_BY_OPERATOR,
    MoneyFactAnswer,
    OperatorCase,
    Outcome,
)
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.messages.inbound import DepositPaid
from wallet.messages.outbound import DepositCompleted
from wallet.sagas.deposit import DEPOSIT_SAGA
from wallet.use_cases.announcements import deposit_completed
from wallet.use_cases.answer_money_facts import Decision, answer_money_facts
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
    (answer,) = credit_deposits(unit, [fact], at=at)
    return answer


def credit_deposits(
    unit: WalletUnit,
    facts: Sequence[DepositPaid],
    *,
    contexts: Sequence[WorkContext] | None = None,
    at: datetime,
) -> Sequence[MoneyFactAnswer]:
    """Do for many facts what `credit_deposit` does for each, in as many statements as for one.

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
    transactions = unit.transactions.find_all_for_update(
        {fact.transaction_id for fact in facts if fact.transaction_id is not None}
    )
    known_users = unit.users.known({one.user_id for one in transactions.values()})

    def decide(fact: DepositPaid, transaction: Transaction | None) -> Decision:
        if transaction is not None and transaction.kind is not TransactionKind.DEPOSIT:
            transaction = None
        code = _misfit(fact, transaction, known_users)
        if transaction is None or code is not None:
            return _suspense(fact, transaction, code=code or "", at=at)
        return _credit(fact, transaction, at=at)

    answers = answer_money_facts(
        unit,
        facts,
        transactions=transactions,
        decide=decide,
        fee_subject=lambda fact: fact.purchase_id,
        contexts=contexts,
        at=at,
    )
    for fact, answer in zip(facts, answers, strict=True):
        if answer.code == ENTERED_BY_OPERATOR:
            _tell_operator(unit, fact, at=at)
    return answers


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


def _misfit(
    fact: DepositPaid, transaction: Transaction | None, known_users: Collection[str]
) -> str | None:
    if transaction is None:
        return "unknown_transaction"
    if transaction.user_id not in known_users:
        return "unknown_user"
    if transaction.money.currency != fact.money.currency:
        return "currency_mismatch"
    if transaction.money != fact.money:
        return "amount_mismatch"
    if not transaction.waits_for_money:
        return "already_credited"
    return None


def _credit(fact: DepositPaid, transaction: Transaction, *, at: datetime) -> Decision:
    transaction.provider_id = fact.purchase_id
    transaction.move_to(Status.COMPLETED, at=at, cause="deposit_paid")
    DEPOSIT_SAGA.end(transaction, at=at)

    def completed(booked: Booked) -> DepositCompleted:
        assert booked.available is not None
        return deposit_completed(transaction, available=booked.available, at=at)

    return Decision(
        answer=MoneyFactAnswer(
            fact_key=fact.fact_key,
            money=fact.money,
            outcome=Outcome.CREDITED,
            code=None,
            transaction_id=transaction.id,
            answered_at=at,
        ),
        transaction=transaction,
        posting=_posting(fact, PostingKind.DEPOSIT, user_id=transaction.user_id),
        message=completed,
    )


def _suspense(
    fact: DepositPaid, transaction: Transaction | None, *, code: str, at: datetime
) -> Decision:
    if transaction is not None:
        if transaction.status is Status.PENDING:
            transaction.move_to(Status.REVIEW, at=at, cause="money_suspended", reason_code=code)
            DEPOSIT_SAGA.end(transaction, at=at)
        else:
            transaction.note(at=at, cause="money_suspended", detail=code)
    return Decision(
        answer=MoneyFactAnswer(
            fact_key=fact.fact_key,
            money=fact.money,
            outcome=Outcome.SUSPENDED,
            code=code,
            transaction_id=fact.transaction_id,
            answered_at=at,
        ),
        transaction=transaction,
        posting=_posting(fact, PostingKind.SUSPENSE, user_id=None),
        case=OperatorCase(
            kind=code,
            subject=fact.fact_key,
            transaction_id=fact.transaction_id,
            money=fact.money,
            detail="Money came in that fits no open deposit; it is in suspense.",
            opened_at=at,
        ),
    )


def _posting(fact: DepositPaid, kind: PostingKind, *, user_id: str | None) -> Posting:
    return Posting(
        business_key=f"purchase:{fact.purchase_id}",
        kind=kind,
        user_id=user_id,
        money=fact.money,
        subject=fact.purchase_id,
        effective_at=fact.paid_at,
    )
