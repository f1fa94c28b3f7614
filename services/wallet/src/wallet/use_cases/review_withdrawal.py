"""Decide about withdrawals that wait in review."""

from collections.abc import Sequence
from datetime import datetime

from octoco.spans import continued
from wallet.domain.errors import OwnWithdrawal, TransactionNotFound, WithdrawalNotInReview
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision
from wallet.domain.transactions import Status, TimelineEvent, Transaction, TransactionKind
from wallet.sagas.withdrawal import EXECUTE_PAYOUT, WITHDRAWAL_SAGA
from wallet.use_cases.announcements import withdrawal_requested
from wallet.use_cases.cancel_withdrawal import end_review
from wallet.use_cases.find_transaction import get_transaction, lock_transaction
from wallet.use_cases.ports import WalletUnit, WithdrawalInReview
from wallet.use_cases.request_withdrawal import require_usable_bank_account
from wallet.use_cases.require_operator import require_operator_not_frozen


def list_reviews(
    unit: WalletUnit, *, after_id: str | None, limit: int
) -> tuple[Sequence[WithdrawalInReview], str | None]:
    """Return one page of the withdrawals that wait for an operator, oldest first.

    Args:
        unit: Open for reading.
        after_id: Where the page before ended; None for the first page.
        limit: Most withdrawals on the page.

    Returns:
        The page, and the `after_id` of the next one; None when this is the last.
    """
    found = unit.transactions.page_in_review(after_id=after_id, limit=limit + 1)
    page = found[:limit]
    return page, page[-1].withdrawal.id if len(found) > limit else None


def get_withdrawal_for_operator(
    unit: WalletUnit, *, transaction_id: str
) -> tuple[Transaction, Sequence[TimelineEvent], Sequence[OperatorDecision]]:
    """Return anybody's withdrawal, its history and what operators decided about it.

    Raises:
        TransactionNotFound: there is no such withdrawal.
    """
    user_id = _user_of(unit, transaction_id)
    transaction = get_transaction(unit, user_id=user_id, transaction_id=transaction_id)
    if transaction.kind is not TransactionKind.WITHDRAWAL:
        raise TransactionNotFound("There is no such withdrawal.")
    timeline = unit.transactions.timeline(transaction_id)
    return transaction, timeline, unit.operator_decisions.of_subject(transaction_id)


def approve_withdrawal(
    unit: WalletUnit, *, transaction_id: str, operator_id: str, reason: str, at: datetime
) -> Transaction:
    """Let a withdrawal in review go on to the gateway, and keep who decided it.

    Its limits were counted when it was asked for and are not counted again. Whether the user or
    the bank account has changed meanwhile is.

    Args:
        unit: Open.
        transaction_id: Which withdrawal.
        operator_id: Who decides, from a verified token.
        reason: Why, in their words.
        at: Now, UTC.

    Returns:
        The withdrawal, `pending`. One that was approved before is returned as it is now, and
        nothing is kept a second time.

    Raises:
        ReasonMissing: none is given, or one that is too long.
        UserFrozen: the operator is frozen.
        TransactionNotFound: there is no such withdrawal.
        OwnWithdrawal: it is the operator's own.
        WithdrawalNotInReview: it was refused or cancelled, or never was in review.
        UserFrozen: its user is frozen.
        BankAccountNotVerified: its bank account was removed.
    """
    decision = _decision(
        DecisionAction.WITHDRAWAL_APPROVED, transaction_id, operator_id, reason, at=at
    )
    require_operator_not_frozen(unit, operator_id)
    # The user's row comes before the transaction's, as everywhere: a freeze and an approval are
    # decided under it.
    user_id = _user_of(unit, transaction_id)
    user = unit.users.lock(user_id)
    assert user is not None
    transaction = _lock_for(unit, decision)
    if transaction.status is not Status.REVIEW:
        return _decided_before(unit, transaction, decision)
    user.require_not_frozen()
    assert transaction.bank_account_id is not None
    require_usable_bank_account(unit, transaction.bank_account_id, user_id=user_id)
    transaction.move_to(Status.PENDING, at=at, cause="approved_in_review")
    WITHDRAWAL_SAGA.await_answers(transaction, EXECUTE_PAYOUT, at=at, not_before=None)
    unit.transactions.save(transaction)
    unit.operator_decisions.add(decision)
    with continued(transaction.origin, "approve withdrawal"):
        unit.outbox.add(withdrawal_requested(transaction))
    return transaction


def refuse_withdrawal(
    unit: WalletUnit, *, transaction_id: str, operator_id: str, reason: str, at: datetime
) -> Transaction:
    """Give the money of a withdrawal in review back to its user, and keep who decided it.

    Args:
        unit: Open.
        transaction_id: Which withdrawal.
        operator_id: Who decides, from a verified token.
        reason: Why, in their words; the user is not shown it.
        at: Now, UTC.

    Returns:
        The withdrawal, `failed`. One that was refused before is returned as it is, and nothing
        is kept a second time.

    Raises:
        ReasonMissing: none is given, or one that is too long.
        UserFrozen: the operator is frozen.
        TransactionNotFound: there is no such withdrawal.
        OwnWithdrawal: it is the operator's own.
        WithdrawalNotInReview: it was approved or cancelled, or never was in review.
    """
    decision = _decision(
        DecisionAction.WITHDRAWAL_REFUSED, transaction_id, operator_id, reason, at=at
    )
    require_operator_not_frozen(unit, operator_id)
    transaction = _lock_for(unit, decision)
    if transaction.status is not Status.REVIEW:
        return _decided_before(unit, transaction, decision)
    end_review(unit, transaction, status=Status.FAILED, cause="refused_in_review", at=at)
    unit.operator_decisions.add(decision)
    return transaction


def _decision(
    action: DecisionAction, transaction_id: str, operator_id: str, reason: str, *, at: datetime
) -> OperatorDecision:
    return OperatorDecision.made(
        operator_id=operator_id, action=action, subject=transaction_id, reason=reason, at=at
    )


def _user_of(unit: WalletUnit, transaction_id: str) -> str:
    user_id = unit.transactions.find_user_of(transaction_id)
    if user_id is None:
        raise TransactionNotFound("There is no such withdrawal.")
    return user_id


def _lock_for(unit: WalletUnit, decision: OperatorDecision) -> Transaction:
    transaction = lock_transaction(unit, decision.subject, kind=TransactionKind.WITHDRAWAL)
    if transaction.user_id == decision.operator_id:
        raise OwnWithdrawal("Nobody decides about their own withdrawal.")
    return transaction


def _decided_before(
    unit: WalletUnit, transaction: Transaction, decision: OperatorDecision
) -> Transaction:
    taken = [one.action for one in unit.operator_decisions.of_subject(transaction.id)]
    if decision.action in taken:
        return transaction
    raise WithdrawalNotInReview(
        f"The withdrawal is {transaction.status.value}.", status=transaction.status.value
    )
