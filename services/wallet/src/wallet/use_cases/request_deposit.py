"""Start a deposit."""

from datetime import datetime

from octoco.context import current_context
from octoco.ids import new_id
from octoco.money import Money
from wallet.domain.errors import UserNotKnownYet
from wallet.domain.limits import MONTH, Limits
from wallet.domain.transactions import Transaction, TransactionKind
from wallet.sagas.deposit import DEPOSIT_SAGA, OPEN_CHECKOUT
from wallet.use_cases.announcements import deposit_requested
from wallet.use_cases.ports import WalletUnit


def request_deposit(
    unit: WalletUnit, *, user_id: str, money: Money, limits: Limits, at: datetime
) -> Transaction:
    """Store a pending deposit and ask the gateway for its checkout.

    The user's ledger accounts in the currency exist from here on, so that the money, once paid,
    always has a place to go. Limits are counted under the user's lock, so that no crowd of requests
    gets past them.

    Args:
        unit: Open.
        user_id: From a verified token.
        money: What the user wants to pay in.
        limits: What this user may move.
        at: Now, UTC.

    Returns:
        The deposit, `pending`.

    Raises:
        AmountNotPositive: there is nothing to pay in.
        UserNotKnownYet: the news of the user has not arrived.
        UserFrozen: an operator has frozen the user.
        CurrencyNotOffered: no limit is set for the currency.
        LimitExceeded: more than one deposit, or those of an hour, 24 hours or 30 days, may be.
    """
    transaction = Transaction.requested(
        id=new_id("txn"),
        user_id=user_id,
        kind=TransactionKind.DEPOSIT,
        money=money,
        at=at,
        origin=current_context(),
    )
    user = unit.users.lock(user_id)
    if user is None:
        raise UserNotKnownYet("Your wallet is being prepared; please try again.")
    user.require_not_frozen()
    counted = unit.transactions.counted_since(
        user_id=user_id, kind=TransactionKind.DEPOSIT, currency=money.currency, since=at - MONTH
    )
    limits.deposits.require_within(money, what="deposit", counted=counted, at=at)
    unit.ledger.open_accounts(user_id=user_id, currency=money.currency)
    DEPOSIT_SAGA.await_answers(transaction, OPEN_CHECKOUT, at=at, not_before=None)
    unit.transactions.add(transaction)
    unit.outbox.add(deposit_requested(transaction))
    return transaction
