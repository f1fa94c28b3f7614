"""Start a withdrawal: its money is held before anything leaves the wallet."""

from datetime import datetime, timedelta

from octoco.ids import new_id
from octoco.money import Money
from wallet.domain.errors import BankAccountNotVerified, UserNotKnownYet
from wallet.domain.limits import Limits
from wallet.domain.transactions import Transaction, TransactionKind
from wallet.sagas.withdrawal import EXECUTE_PAYOUT, WITHDRAWAL_SAGA
from wallet.use_cases.announcements import withdrawal_requested
from wallet.use_cases.ports import WalletUnit

_DAY = timedelta(hours=24)


def request_withdrawal(
    unit: WalletUnit,
    *,
    user_id: str,
    money: Money,
    bank_account_id: str,
    limits: Limits,
    at: datetime,
) -> Transaction:
    """Hold the money, store a pending withdrawal and ask the gateway to pay it out.

    Limits are counted under the user's lock, so that no crowd of requests gets past them.

    Args:
        unit: Open.
        user_id: From a verified token.
        money: What is to be paid out.
        bank_account_id: Where to; must be a verified one of this user.
        limits: What one user may move.
        at: Now, UTC.

    Returns:
        The withdrawal, `pending`; its money has moved from available to held.

    Raises:
        AmountNotPositive: there is nothing to pay out.
        UserNotKnownYet: the news of the user has not arrived.
        CurrencyNotOffered: no limit is set for the currency.
        LimitExceeded: more than one withdrawal, or those of 24 hours, may be.
        BankAccountNotVerified: unknown, removed, or somebody else's.
        InsufficientFunds: less is available.
    """
    transaction = Transaction.requested(
        id=new_id("txn"),
        user_id=user_id,
        kind=TransactionKind.WITHDRAWAL,
        money=money,
        at=at,
        bank_account_id=bank_account_id,
    )
    if not unit.users.lock(user_id):
        raise UserNotKnownYet("Your wallet is being prepared; please try again.")
    within_a_day = unit.transactions.withdrawn_since(
        user_id=user_id, currency=money.currency, since=at - _DAY
    )
    limits.require_withdrawal(money, within_a_day=within_a_day)
    bank_account = unit.bank_accounts.find(bank_account_id)
    if bank_account is None or bank_account.user_id != user_id or not bank_account.is_usable:
        raise BankAccountNotVerified(
            "This is not one of your verified bank accounts.", field="bank_account_id"
        )
    unit.ledger.open_accounts(user_id=user_id, currency=money.currency)
    WITHDRAWAL_SAGA.await_answers(transaction, EXECUTE_PAYOUT, at=at, not_before=None)
    unit.transactions.add(transaction)
    unit.ledger.place_hold(
        transaction_id=transaction.id,
        user_id=user_id,
        money=money,
        effective_at=at,
        announcing=[withdrawal_requested(transaction)],
    )
    return transaction
