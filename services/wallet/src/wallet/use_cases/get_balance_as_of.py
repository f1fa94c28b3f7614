"""Show what there was at any instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from octoco.money import Money
from wallet.domain.errors import UserNotKnownYet
from wallet.domain.ledger import Balance
from wallet.domain.statements import KindBalance
from wallet.use_cases.ports import WalletUnit


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """Every kind of ledger account by currency.

    Args:
        lines: Ordered by currency and kind.
        imbalances: The sum of each currency's lines; zero, or the books are broken.
        provisional: True while something may still be booked up to the instant asked for.
    """

    lines: Sequence[KindBalance]
    imbalances: Mapping[str, Money]
    provisional: bool


def get_balance_as_of(unit: WalletUnit, *, user_id: str, at: datetime) -> Sequence[Balance]:
    """Return what a user had at the end of an instant, by what was booked until then.

    Args:
        unit: Open for reading.
        user_id: Whose.
        at: Timezone-aware; what was booked at this very instant counts.

    Returns:
        Ordered by currency; zero where the user had nothing yet.

    Raises:
        UserNotKnownYet: the wallet knows no such user.
    """
    if not unit.users.exists(user_id):
        raise UserNotKnownYet("Your wallet is being prepared; please try again.")
    return [one.balance for one in unit.books.standings_as_of(user_id=user_id, at=at)]


def get_trial_balance(
    unit: WalletUnit, *, at: datetime | None, currency: str | None = None
) -> TrialBalance:
    """Return the sum of all entries by currency and kind of account.

    Args:
        unit: Open for reading.
        at: Timezone-aware; what was booked at this very instant counts. None for now.
        currency: Only this one, if given.
    """
    lines = unit.books.kinds_as_of(at=at, currency=currency)
    imbalances: dict[str, Money] = {}
    for line in lines:
        code = line.balance.currency
        imbalances[code] = imbalances.get(code, Money.zero(code)) + line.balance
    return TrialBalance(lines, imbalances, provisional=at is None or not unit.books.is_final(at))
