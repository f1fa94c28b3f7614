"""What reading the books of the past asks of the unit of work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from wallet.domain.ledger import Balance
from wallet.domain.statements import KindBalance, Position, Standing, UserEntry


class Books(Protocol):
    """The ledger's past. It is read from entries, never from running balances."""

    def standings_as_of(self, *, user_id: str, at: datetime) -> Sequence[Standing]:
        """Return what a user had at the end of an instant, ordered by currency.

        Args:
            user_id: Whose.
            at: Timezone-aware; what was booked at this very instant counts.
        """
        ...

    def balance_at(self, *, user_id: str, currency: str, position: Position) -> Balance | None:
        """Return what a user had at a place in their history; None if it has no such place."""
        ...

    def entries_between(
        self, *, user_id: str, currency: str, after: Position, up_to: Position, limit: int
    ) -> Sequence[UserEntry]:
        """Return a user's entries between two places in their history, by version.

        Args:
            user_id: Whose.
            currency: ISO 4217 code.
            after: Not included.
            up_to: Included.
            limit: Most entries of each of the three ledger accounts.
        """
        ...

    def kinds_as_of(self, *, at: datetime | None, currency: str | None) -> Sequence[KindBalance]:
        """Return the balance of each kind of ledger account, ordered by currency and kind.

        Args:
            at: Timezone-aware; what was booked at this very instant counts. None for now.
            currency: Only this one, if given.

        Returns:
            Kinds that nothing ever moved are left out.
        """
        ...

    def is_final(self, at: datetime) -> bool:
        """Say whether nothing can any more be booked before an instant, or be committed late."""
        ...
