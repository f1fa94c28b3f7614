"""Whom notifications can reach."""

from dataclasses import dataclass
from typing import Final

DEFAULT_LOCALE: Final = "en_ZA"


@dataclass(frozen=True, slots=True)
class Recipient:
    """What is known of a user, from accounts' events.

    Args:
        locale: Babel's name of the locale amounts are written in.
    """

    user_id: str
    email: str
    full_name: str
    locale: str = DEFAULT_LOCALE
