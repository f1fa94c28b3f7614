"""Let an operator act only on users that exist."""

from wallet.domain.errors import UserNotFound
from wallet.use_cases.ports import WalletUnit


def require_user(unit: WalletUnit, user_id: str, *, currency: str) -> None:
    """See to it that a user exists and can hold money in a currency.

    Args:
        unit: Open.
        user_id: Whom an operator named.
        currency: ISO 4217 code.

    Raises:
        UserNotFound: the wallet knows no such user.
    """
    if not unit.users.exists(user_id):
        raise UserNotFound("There is no such user.", field="user_id")
    unit.ledger.open_accounts(user_id=user_id, currency=currency)
