"""Note that Revio has taken a payout on."""

from datetime import datetime

from wallet.domain.transactions import Status, TransactionKind
from wallet.messages.inbound import PayoutAccepted
from wallet.sagas.withdrawal import AWAIT_PAYOUT, WITHDRAWAL_SAGA
from wallet.use_cases.find_transaction import lock_transaction
from wallet.use_cases.ports import WalletUnit


def accept_payout(unit: WalletUnit, news: PayoutAccepted, *, at: datetime) -> None:
    """Move a pending withdrawal to `processing`; one that has gone further stays as it is.

    Args:
        unit: Open.
        news: Which withdrawal, and Revio's payout.
        at: Now, UTC.

    Raises:
        TransactionNotFound: the wallet has no such withdrawal.
    """
    transaction = lock_transaction(unit, news.transaction_id, kind=TransactionKind.WITHDRAWAL)
    if transaction.status is not Status.PENDING:
        return
    transaction.provider_id = news.payout_id
    transaction.move_to(Status.PROCESSING, at=at, cause="payout_accepted")
    WITHDRAWAL_SAGA.await_answers(transaction, AWAIT_PAYOUT, at=at, not_before=None)
    unit.transactions.save(transaction)
