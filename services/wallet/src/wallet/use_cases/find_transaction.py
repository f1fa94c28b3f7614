"""Find transactions: those of a user to be shown, and those that events are about."""

from collections.abc import Sequence

from wallet.domain.errors import TransactionNotFound, UserNotKnownYet
from wallet.domain.transactions import Status, TimelineEvent, Transaction, TransactionKind
from wallet.use_cases.ports import WalletUnit


def get_transaction(unit: WalletUnit, *, user_id: str, transaction_id: str) -> Transaction:
    """Return a user's own transaction.

    Raises:
        TransactionNotFound: there is none, or it is somebody else's, which looks the same.
    """
    transaction = unit.transactions.find_of_user(user_id=user_id, transaction_id=transaction_id)
    if transaction is None:
        raise TransactionNotFound("There is no such transaction.")
    return transaction


def get_transaction_with_timeline(
    unit: WalletUnit, *, user_id: str, transaction_id: str
) -> tuple[Transaction, Sequence[TimelineEvent]]:
    """Return a user's own transaction and its history, oldest first.

    Raises:
        TransactionNotFound: there is none, or it is somebody else's, which looks the same.
    """
    transaction = get_transaction(unit, user_id=user_id, transaction_id=transaction_id)
    return transaction, unit.transactions.timeline(transaction_id)


def list_transactions(
    unit: WalletUnit,
    *,
    user_id: str,
    kind: TransactionKind | None,
    status: Status | None,
    before_id: str | None,
    limit: int,
) -> tuple[Sequence[Transaction], str | None]:
    """Return one page of a user's transactions, newest first.

    Args:
        unit: Open for reading.
        user_id: Whose.
        kind: Only these, if given.
        status: Only these, if given.
        before_id: Where the page before ended; None for the first page.
        limit: Most transactions on the page.

    Returns:
        The page, and the `before_id` of the next one; None when this is the last.

    Raises:
        UserNotKnownYet: the news of the user has not arrived.
    """
    found = unit.transactions.page(
        user_id=user_id, kind=kind, status=status, before_id=before_id, limit=limit + 1
    )
    if not found and not unit.users.exists(user_id):
        raise UserNotKnownYet("Your wallet is being prepared; please try again.")
    page = found[:limit]
    return page, page[-1].id if len(found) > limit else None


def lock_transaction(
    unit: WalletUnit, transaction_id: str, *, kind: TransactionKind
) -> Transaction:
    """Return the transaction that an event is about, locked until the unit ends.

    Raises:
        TransactionNotFound: the wallet has no such transaction of this kind.
    """
    transaction = unit.transactions.find_for_update(transaction_id)
    if transaction is None or transaction.kind is not kind:
        raise TransactionNotFound(f"There is no such {kind.value}.")
    return transaction
