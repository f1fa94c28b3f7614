"""How much a user may move."""

from collections.abc import Mapping
from dataclasses import dataclass

from octoco.money import Money
from wallet.domain.errors import CurrencyNotOffered, LimitExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one user may move, by currency; a currency that is not named is not offered.

    Args:
        deposit_per_transaction: Largest single deposit.
        withdrawal_per_transaction: Largest single withdrawal.
        withdrawal_per_day: Largest sum of withdrawals within any 24 hours.
    """

    deposit_per_transaction: Mapping[str, Money]
    withdrawal_per_transaction: Mapping[str, Money]
    withdrawal_per_day: Mapping[str, Money]

    def require_deposit(self, money: Money) -> None:
        """Let a deposit pass that is within the limits.

        Raises:
            CurrencyNotOffered: no limit is set for the currency.
            LimitExceeded: more than one deposit may be.
        """
        _require("a deposit", money, _of(self.deposit_per_transaction, money.currency))

    def require_withdrawal(self, money: Money, *, within_a_day: Money) -> None:
        """Let a withdrawal pass that is within the limits.

        Args:
            money: What is asked for.
            within_a_day: The sum of the user's other withdrawals of the last 24 hours that did
                not fail; read under the user's lock.

        Raises:
            CurrencyNotOffered: no limit is set for the currency.
            LimitExceeded: more than one withdrawal, or those of one day, may be.
        """
        _require("a withdrawal", money, _of(self.withdrawal_per_transaction, money.currency))
        _require(
            "the withdrawals of 24 hours",
            within_a_day + money,
            _of(self.withdrawal_per_day, money.currency),
        )


def _of(limits: Mapping[str, Money], currency: str) -> Money:
    try:
        return limits[currency]
    except KeyError:
        raise CurrencyNotOffered(
            f"{currency} is not offered.", field="currency", currency=currency
        ) from None


def _require(what: str, money: Money, limit: Money) -> None:
    if money > limit:
        raise LimitExceeded(
            f"The limit for {what} is {limit}.", field="amount", limit=limit.amount_text
        )
