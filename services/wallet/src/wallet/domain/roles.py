"""The roles that a user's token may carry, as far as the wallet asks for them."""

from enum import StrEnum


class Role(StrEnum):
    """What a user may be, from the least to the most trusted; accounts grants them."""

    USER = "user"
    SUPPORT = "support"
    FINANCE = "finance"
    ADMIN = "admin"
