"""Stop a user from starting anything, and let them go on."""

from datetime import datetime
from typing import Final

from wallet.messages.inbound import UserFrozen, UserUnfrozen
from wallet.use_cases.cancel_withdrawal import ask_to_cancel
from wallet.use_cases.ports import WalletUnit

STOPPED_BY_FREEZE: Final = "user_frozen"


def freeze_user(unit: WalletUnit, news: UserFrozen, *, at: datetime) -> None:
    """Let a user start nothing from now on, and ask for what has not begun to be stopped.

    Withdrawals that the gateway has not begun are asked to be cancelled; those in review stay
    there and cannot be approved. Money that comes in is credited as always. News that are older
    than an unfreeze change nothing, whenever they come.

    Args:
        unit: Open.
        news: Who was frozen, and when.
        at: Now, UTC.
    """
    user = unit.users.note_frozen(user_id=news.user_id, seen_at=at, frozen_at=news.frozen_at)
    if not user.is_frozen:
        return
    for withdrawal in unit.transactions.find_cancellable_of(user.id):
        ask_to_cancel(unit, withdrawal, reason_code=STOPPED_BY_FREEZE, at=at)


def unfreeze_user(unit: WalletUnit, news: UserUnfrozen, *, at: datetime) -> None:
    """Let a user go on, unless they were frozen again later.

    What was asked to be cancelled stays so: the user may ask for it again.

    Args:
        unit: Open.
        news: Who may go on, and since when.
        at: Now, UTC.
    """
    unit.users.note_unfrozen(user_id=news.user_id, seen_at=at, unfrozen_at=news.unfrozen_at)
