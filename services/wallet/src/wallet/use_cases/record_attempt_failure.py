"""Note that a payment attempt failed at the checkout."""

from datetime import datetime

from wallet.domain.transactions import TransactionKind
from wallet.messages.inbound import CheckoutAttemptFailed
from wallet.use_cases.find_transaction import lock_transaction
from wallet.use_cases.ports import WalletUnit


def record_attempt_failure(unit: WalletUnit, news: CheckoutAttemptFailed, *, at: datetime) -> None:
    """Add a failed attempt to the timeline; it ends nothing, the next attempt may pay.

    Args:
        unit: Open.
        news: Which deposit, and why the attempt failed.
        at: Now, UTC.

    Raises:
        TransactionNotFound: the wallet has no such deposit.
    """
    transaction = lock_transaction(unit, news.transaction_id, kind=TransactionKind.DEPOSIT)
    transaction.note(at=at, cause="payment_attempt_failed", detail=news.reason_code)
    unit.transactions.save(transaction)
