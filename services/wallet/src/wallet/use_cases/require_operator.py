"""Let nobody decide whom accounts have frozen."""

from wallet.use_cases.ports import WalletUnit


def require_operator_not_frozen(unit: WalletUnit, operator_id: str) -> None:
    """Let an operator pass who may decide about other people's money.

    A token outlives the freeze of whom it was made for; the news of the freeze does not wait for
    its end. Someone whom the wallet has no news of passes: their token was verified.

    Args:
        unit: Open; the operator's row stays locked, so that a freeze comes before or after.
        operator_id: Who decides, from a verified token.

    Raises:
        UserFrozen: accounts have frozen the operator.
    """
    operator = unit.users.lock(operator_id)
    if operator is not None:
        operator.require_not_frozen()
