"""Note where a deposit is to be paid."""

from datetime import datetime

from wallet.domain.transactions import Status, TransactionKind
from wallet.messages.inbound import CheckoutOpened
from wallet.sagas.deposit import AWAIT_PAYMENT, DEPOSIT_SAGA
from wallet.use_cases.find_transaction import lock_transaction
from wallet.use_cases.ports import WalletUnit


def open_checkout(unit: WalletUnit, news: CheckoutOpened, *, at: datetime) -> None:
    """Give a pending deposit its checkout address; one that has ended stays as it is.

    Args:
        unit: Open.
        news: The purchase, its address and its expiry.
        at: Now, UTC.

    Raises:
        TransactionNotFound: the wallet has no such deposit.
    """
    transaction = lock_transaction(unit, news.transaction_id, kind=TransactionKind.DEPOSIT)
    if transaction.status is not Status.PENDING or transaction.checkout_url is not None:
        return
    transaction.checkout_url = news.checkout_url
    transaction.checkout_expires_at = news.expires_at
    transaction.provider_id = news.purchase_id
    DEPOSIT_SAGA.await_answers(transaction, AWAIT_PAYMENT, at=at, not_before=news.expires_at)
    transaction.note(at=at, cause="checkout_opened")
    unit.transactions.save(transaction)
