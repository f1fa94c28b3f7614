"""End a deposit that brought no money."""

from datetime import datetime

from wallet.domain.transactions import Status, TransactionKind
from wallet.messages.inbound import CheckoutClosed
from wallet.sagas.deposit import DEPOSIT_SAGA
from wallet.use_cases.announcements import deposit_failed
from wallet.use_cases.find_transaction import lock_transaction
from wallet.use_cases.ports import WalletUnit


def close_deposit(unit: WalletUnit, news: CheckoutClosed, *, at: datetime) -> None:
    """End a pending deposit as failed, expired or cancelled, and tell the user.

    A deposit that has ended stays as it is: money may have come in before this news.

    Args:
        unit: Open.
        news: How the checkout ended, and why.
        at: Now, UTC.

    Raises:
        TransactionNotFound: the wallet has no such deposit.
    """
    transaction = lock_transaction(unit, news.transaction_id, kind=TransactionKind.DEPOSIT)
    if transaction.status is not Status.PENDING:
        return
    transaction.move_to(
        Status(news.status), at=at, cause="checkout_closed", reason_code=news.reason_code
    )
    DEPOSIT_SAGA.end(transaction, at=at)
    unit.transactions.save(transaction)
    unit.outbox.add(deposit_failed(transaction))
