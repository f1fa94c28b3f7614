"""Removing a bank account: it stays for the withdrawals that used it, and takes no new ones."""

from datetime import datetime

from payments_gateway.domain.bank_accounts import BankAccount
from payments_gateway.domain.errors import BankAccountNotFound
from payments_gateway.messages.outbound import BankAccountRemoved
from payments_gateway.use_cases.ports import Unit


def remove_bank_account(unit: Unit, *, user_id: str, bank_account_id: str, now: datetime) -> None:
    """Remove one of the user's bank accounts.

    A withdrawal to it whose execution has not begun fails and gives the money back.

    Raises:
        BankAccountNotFound: none with this id is the user's, or it is removed already.
    """
    bank_account = unit.bank_accounts.lock(bank_account_id)
    require_kept_by(bank_account, user_id=user_id)
    unit.bank_accounts.mark_removed(bank_account_id, at=now)
    unit.outbox.add(BankAccountRemoved(bank_account_id=bank_account_id, user_id=user_id))


def require_kept_by(bank_account: BankAccount | None, *, user_id: str) -> BankAccount:
    """Let the user's own bank account pass; another's looks like none at all.

    Raises:
        BankAccountNotFound: there is none, it is another user's, or it is removed.
    """
    foreign = bank_account is not None and bank_account.user_id != user_id
    if bank_account is None or foreign or bank_account.removed_at is not None:
        raise BankAccountNotFound("You have no bank account with this id.")
    return bank_account
