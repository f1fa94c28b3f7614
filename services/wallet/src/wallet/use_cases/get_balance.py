"""Show a user's money."""

from collections.abc import Sequence

from octoco.money import Money
from wallet.domain.errors import UserNotKnownYet
from wallet.domain.ledger import Balance
from wallet.use_cases.ports import WalletUnit


def get_balance(unit: WalletUnit, *, user_id: str, currency: str | None) -> Sequence[Balance]:
    """Return a user's balances, or the one in a currency.

    Args:
        unit: Open for reading.
        user_id: From a verified token.
        currency: ISO 4217 code; None for all currencies the user has accounts in.

    Returns:
        Ordered by currency. A currency that is asked for and not held is shown as zero.

    Raises:
        UserNotKnownYet: the news of the user has not arrived.
        UnknownCurrency: ISO 4217 has no such code.
    """
    if not unit.users.exists(user_id):
        raise UserNotKnownYet("Your wallet is being prepared; please try again.")
    balances = unit.ledger.balances(user_id=user_id)
    if currency is None:
        return balances
    zero = Money.zero(currency)
    return [b for b in balances if b.currency == currency] or [Balance(zero, zero, zero)]
