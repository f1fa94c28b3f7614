"""Start a withdrawal: its money is held before anything leaves the wallet."""

from datetime import datetime

from octoco.context import current_context
from octoco.ids import new_id
from octoco.money import Money
from wallet.domain.errors import BankAccountNotVerified, UserNotKnownYet
from wallet.domain.limits import MONTH, Limits
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.sagas.withdrawal import EXECUTE_PAYOUT, REVIEW, WITHDRAWAL_SAGA
from wallet.use_cases.announcements import withdrawal_requested
from wallet.use_cases.ports import WalletUnit


def request_withdrawal(
    unit: WalletUnit,
    *,
    user_id: str,
    money: Money,
    bank_account_id: str,
    limits: Limits,
    at: datetime,
) -> Transaction:
    """Hold the money and ask the gateway to pay it out, or an operator to look at it first.

    Limits are counted under the user's lock, so that no crowd of requests gets past them. A
    withdrawal in review counts like any other, and is not counted again when it is approved.

    Args:
        unit: Open.
        user_id: From a verified token.
        money: What is to be paid out.
        bank_account_id: Where to; must be a verified one of this user.
        limits: What this user may move.
        at: Now, UTC.

    Returns:
        The withdrawal, `pending`, or `review` above the threshold; its money has moved from
        available to held. Nothing was announced yet of one that is in review.

    Raises:
        AmountNotPositive: there is nothing to pay out.
        UserNotKnownYet: the news of the user has not arrived.
        UserFrozen: an operator has frozen the user.
        CurrencyNotOffered: no limit is set for the currency.
        LimitExceeded: more than one withdrawal, or those of an hour, 24 hours or 30 days, may be.
        BankAccountNotVerified: unknown, removed, or somebody else's.
        InsufficientFunds: less is available.
    """
    in_review = limits.withdrawals.need_review(money)
    transaction = Transaction.requested(
        id=new_id("txn"),
        user_id=user_id,
        kind=TransactionKind.WITHDRAWAL,
        money=money,
        at=at,
        bank_account_id=bank_account_id,
        status=Status.REVIEW if in_review else Status.PENDING,
        origin=current_context(),
    )
    user = unit.users.lock(user_id)
    if user is None:
        raise UserNotKnownYet("Your wallet is being prepared; please try again.")
    user.require_not_frozen()
    counted = unit.transactions.counted_since(
        user_id=user_id, kind=TransactionKind.WITHDRAWAL, currency=money.currency, since=at - MONTH
    )
    limits.withdrawals.require_within(money, what="withdrawal", counted=counted, at=at)
    require_usable_bank_account(unit, bank_account_id, user_id=user_id)
    unit.ledger.open_accounts(user_id=user_id, currency=money.currency)
    # The ledger accounts are locked before what the limits count, here as where a hold ends.
    unit.ledger.place_hold(
        transaction_id=transaction.id,
        user_id=user_id,
        money=money,
        effective_at=at,
        announcing=[] if in_review else [withdrawal_requested(transaction)],
    )
    WITHDRAWAL_SAGA.await_answers(
        transaction, REVIEW if in_review else EXECUTE_PAYOUT, at=at, not_before=None
    )
    unit.transactions.add(transaction)
    return transaction


def require_usable_bank_account(unit: WalletUnit, bank_account_id: str, *, user_id: str) -> None:
    """Let a withdrawal pass to a verified bank account of its user.

    Raises:
        BankAccountNotVerified: unknown, removed, or somebody else's.
    """
    bank_account = unit.bank_accounts.find(bank_account_id)
    if bank_account is None or bank_account.user_id != user_id or not bank_account.is_usable:
        raise BankAccountNotVerified(
            "This is not one of your verified bank accounts.", field="bank_account_id"
        )
