"""Ask for a deposit's checkout to be closed."""

from datetime import datetime

from octoco.spans import continued
from wallet.domain.errors import TransactionNotCancellable
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.use_cases.announcements import deposit_cancel_requested
from wallet.use_cases.find_transaction import get_transaction, lock_transaction
from wallet.use_cases.ports import WalletUnit


def cancel_deposit(
    unit: WalletUnit, *, user_id: str, transaction_id: str, at: datetime
) -> Transaction:
    """Ask the gateway to close the checkout; the deposit ends when the gateway says so.

    Money that comes in all the same is credited.

    Args:
        unit: Open.
        user_id: From a verified token.
        transaction_id: Which deposit.
        at: Now, UTC.

    Returns:
        The deposit. One that is cancelled, or asked to be, is returned unchanged.

    Raises:
        TransactionNotFound: the user has no such deposit.
        TransactionNotCancellable: it has ended already.
    """
    get_transaction(unit, user_id=user_id, transaction_id=transaction_id)
    transaction = lock_transaction(unit, transaction_id, kind=TransactionKind.DEPOSIT)
    if transaction.status is Status.CANCELLED:
        return transaction
    if transaction.status is not Status.PENDING:
        raise TransactionNotCancellable(
            f"The deposit is {transaction.status.value}.", status=transaction.status.value
        )
    if transaction.cancel_requested_at is None:
        transaction.cancel_requested_at = at
        transaction.note(at=at, cause="cancel_requested")
        unit.transactions.save(transaction)
        with continued(transaction.origin, "cancel deposit"):
            unit.outbox.add(deposit_cancel_requested(transaction))
    return transaction
