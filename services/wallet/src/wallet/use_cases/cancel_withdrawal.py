"""Ask for a withdrawal to be stopped, and end one that was."""

from datetime import datetime
from typing import Final

from octoco.spans import continued
from wallet.domain.errors import TransactionNotCancellable
from wallet.domain.money_facts import OperatorCase
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.messages.inbound import PayoutCancelled, PayoutCancelRefused
from wallet.sagas.withdrawal import WITHDRAWAL_SAGA
from wallet.use_cases.announcements import withdrawal_cancel_requested, withdrawal_failed
from wallet.use_cases.find_transaction import get_transaction, lock_transaction
from wallet.use_cases.ports import WalletUnit

CANCELLED_BY_USER: Final = "cancelled_by_user"


def request_withdrawal_cancel(
    unit: WalletUnit, *, user_id: str, transaction_id: str, at: datetime
) -> Transaction:
    """Ask the gateway to stop a withdrawal; the hold stays until the gateway has answered.

    One in review is cancelled at once, because the gateway knows nothing of it.

    Args:
        unit: Open.
        user_id: From a verified token.
        transaction_id: Which withdrawal.
        at: Now, UTC.

    Returns:
        The withdrawal. One that is cancelled, or asked to be, is returned unchanged.

    Raises:
        TransactionNotFound: the user has no such withdrawal.
        TransactionNotCancellable: its payout is under way, or it has ended.
    """
    get_transaction(unit, user_id=user_id, transaction_id=transaction_id)
    transaction = lock_transaction(unit, transaction_id, kind=TransactionKind.WITHDRAWAL)
    if transaction.status is Status.CANCELLED:
        return transaction
    if transaction.status is Status.REVIEW:
        end_review(unit, transaction, status=Status.CANCELLED, cause="cancelled_in_review", at=at)
        return transaction
    if transaction.status is not Status.PENDING:
        raise TransactionNotCancellable(
            f"The withdrawal is {transaction.status.value}.", status=transaction.status.value
        )
    if transaction.cancel_requested_at is None:
        ask_to_cancel(unit, transaction, reason_code=CANCELLED_BY_USER, at=at)
    return transaction


def ask_to_cancel(
    unit: WalletUnit, transaction: Transaction, *, reason_code: str, at: datetime
) -> None:
    """Ask the gateway to stop a pending withdrawal that nobody has asked to stop yet.

    Args:
        unit: Open.
        transaction: Locked.
        reason_code: Why; the withdrawal ends with it if the gateway can still stop it.
        at: Now, UTC.
    """
    transaction.cancel_requested_at = at
    transaction.reason_code = reason_code
    transaction.note(at=at, cause="cancel_requested", detail=reason_code)
    unit.transactions.save(transaction)
    with continued(transaction.origin, "cancel withdrawal"):
        unit.outbox.add(withdrawal_cancel_requested(transaction))


def end_review(
    unit: WalletUnit, transaction: Transaction, *, status: Status, cause: str, at: datetime
) -> None:
    """Give the money of a withdrawal in review back, and tell the user.

    Args:
        unit: Open.
        transaction: Locked and in review.
        status: `cancelled` by its user, or `failed` when an operator refuses it.
        cause: For the timeline.
        at: Now, UTC.
    """
    reason_code = CANCELLED_BY_USER if status is Status.CANCELLED else "refused_in_review"
    transaction.move_to(status, at=at, cause=cause, reason_code=reason_code)
    WITHDRAWAL_SAGA.end(transaction, at=at)
    with continued(transaction.origin, "end review"):
        unit.ledger.release_hold(
            transaction_id=transaction.id,
            effective_at=at,
            announcing=[withdrawal_failed(transaction)],
        )
    unit.transactions.save(transaction)


def cancel_withdrawal(unit: WalletUnit, news: PayoutCancelled, *, at: datetime) -> None:
    """Release the hold of a withdrawal that the gateway has stopped before execution.

    A withdrawal that is under way or was paid contradicts the news: nothing is released, and a
    person has to look at it.

    Args:
        unit: Open.
        news: Which withdrawal.
        at: Now, UTC.

    Raises:
        TransactionNotFound: the wallet has no such withdrawal.
    """
    transaction = lock_transaction(unit, news.transaction_id, kind=TransactionKind.WITHDRAWAL)
    if transaction.status in {Status.CANCELLED, Status.FAILED}:
        return
    if not transaction.may_become(Status.CANCELLED):
        unit.operator_cases.open(
            OperatorCase(
                kind="cancelled_after_execution",
                subject=transaction.id,
                transaction_id=transaction.id,
                money=transaction.money,
                detail=f"The payout was cancelled while {transaction.status.value}.",
                opened_at=at,
            )
        )
        return
    transaction.move_to(
        Status.CANCELLED,
        at=at,
        cause="payout_cancelled",
        reason_code=transaction.reason_code or CANCELLED_BY_USER,
    )
    WITHDRAWAL_SAGA.end(transaction, at=at)
    unit.ledger.release_hold(
        transaction_id=transaction.id,
        effective_at=at,
        announcing=[withdrawal_failed(transaction)],
    )
    unit.transactions.save(transaction)


def note_cancel_refused(unit: WalletUnit, news: PayoutCancelRefused, *, at: datetime) -> None:
    """Add to the timeline that the payout could not be stopped any more.

    Raises:
        TransactionNotFound: the wallet has no such withdrawal.
    """
    transaction = lock_transaction(unit, news.transaction_id, kind=TransactionKind.WITHDRAWAL)
    transaction.note(at=at, cause="cancel_refused", detail=news.reason_code)
    unit.transactions.save(transaction)
