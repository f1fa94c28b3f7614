"""What the wallet knows of a user."""

from dataclasses import dataclass

from wallet.domain.errors import UserFrozen


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user whose news has come.

    Args:
        id: Theirs for ever.
        is_frozen: True while accounts says that they may start nothing.
    """

    id: str
    is_frozen: bool

    def require_not_frozen(self) -> None:
        """Let a user pass who may start something.

        Raises:
            UserFrozen: an operator has frozen them.
        """
        if self.is_frozen:
            raise UserFrozen("Your account is frozen. Please contact support.")
