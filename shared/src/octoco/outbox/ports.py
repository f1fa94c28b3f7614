"""What the relay asks of the table that holds the messages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from octoco.errors import Unavailable
from octoco.events import Event


class OutboxUnavailable(Unavailable):
    """The outbox cannot be reached; whoever led may no longer do so."""

    code = "outbox_unavailable"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that waits in the outbox.

    Args:
        id: Its place; events of one aggregate are published in the order of their places.
        event: What is to be published.
    """

    id: int
    event: Event


@dataclass(frozen=True, slots=True)
class OutboxSize:
    """What waits in the outbox.

    Args:
        waiting: How many messages.
        oldest_age_seconds: Since the first of them was stored; 0 if there is none.
    """

    waiting: int
    oldest_age_seconds: float


class OutboxStore(Protocol):
    """One service's outbox, as its relay sees it; called from one thread at a time.

    Whatever raises `OutboxUnavailable` has lost the lead: the next call is `lead`.
    """

    def lead(self) -> bool:
        """Connect where there is no connection, and take the lead or make sure that it is held.

        At most one holds it, as far as the database can see; it ends with the connection.

        Returns:
            Whether the lead is held.

        Raises:
            OutboxUnavailable: the database is away.
        """
        ...

    def read(self, *, held_back: Collection[str], limit: int) -> Sequence[StoredEvent]:
        """Return the oldest events, in the order of their places.

        Args:
            held_back: Aggregates to leave out.
            limit: At most so many.

        Raises:
            OutboxUnavailable: the connection is lost, and the lead with it.
        """
        ...

    def delete(self, ids: Collection[int]) -> None:
        """Take out what is confirmed; an id that is not there changes nothing.

        Raises:
            OutboxUnavailable: the connection is lost; they are there or they are not.
        """
        ...

    def measure(self) -> OutboxSize:
        """Say how much waits, and how long; whoever has called `lead` may ask, also in vain.

        Raises:
            OutboxUnavailable: the connection is lost, and the lead with it if it was held.
        """
        ...

    def close(self) -> None:
        """Give up the lead and the connection; the next `lead` makes a new one."""
        ...
