"""Remember that a user exists, and open their ledger accounts."""

from collections.abc import Iterable
from datetime import datetime

from wallet.messages.inbound import EmailVerified, UserRegistered
from wallet.use_cases.ports import WalletUnit


def register_user(
    unit: WalletUnit, news: UserRegistered, *, currencies: Iterable[str], at: datetime
) -> None:
    """Make a registered user able to hold money in the offered currencies.

    A repeat changes nothing; news of the verification may have come first.

    Args:
        unit: Open.
        news: Who registered.
        currencies: ISO 4217 codes to open ledger accounts in.
        at: Now, UTC.
    """
    unit.users.remember(user_id=news.user_id, seen_at=at, registered_at=news.registered_at)
    for currency in sorted(currencies):
        unit.ledger.open_accounts(user_id=news.user_id, currency=currency)


def note_email_verified(unit: WalletUnit, news: EmailVerified, *, at: datetime) -> None:
    """Remember that a user's e-mail address is verified, whether their registration came or not."""
    unit.users.remember(user_id=news.user_id, seen_at=at, email_verified_at=news.verified_at)
