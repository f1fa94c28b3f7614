"""Keep which bank accounts money may go to."""

from datetime import datetime

from wallet.messages.inbound import BankAccountRemoved, BankAccountVerified
from wallet.use_cases.ports import WalletUnit


def track_verified_bank_account(unit: WalletUnit, news: BankAccountVerified) -> None:
    """Allow withdrawals to a bank account, unless the news of its removal came first."""
    unit.bank_accounts.remember_verified(
        bank_account_id=news.bank_account_id,
        user_id=news.user_id,
        masked_number=news.masked_number,
        bank_name=news.bank_name,
        verified_at=news.verified_at,
    )


def track_removed_bank_account(unit: WalletUnit, news: BankAccountRemoved, *, at: datetime) -> None:
    """Refuse withdrawals to a bank account from now on, for good."""
    unit.bank_accounts.remember_removed(
        bank_account_id=news.bank_account_id, user_id=news.user_id, removed_at=at
    )
