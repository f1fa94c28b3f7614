"""The mechanism's ports: what a use case may ask of its unit of work, without any framework."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from octoco.context import WorkContext
from octoco.events import OutboundMessage

T = TypeVar("T")
U_co = TypeVar("U_co", covariant=True)
U = TypeVar("U")


class Outbox(Protocol):
    def add(self, message: OutboundMessage) -> str:
        """Store a message with the state change it announces; the relay publishes it later.

        Correlation, causation and trace are taken from the work's context. Add it after the row
        of its aggregate is locked: messages of one aggregate are published in the order of their
        ids, and the lock makes that the order of the changes.

        Returns:
            The message's id.

        Raises:
            ContractViolation: the body does not fit the type's JSON Schema (a bug).
        """
        ...

    def add_all(
        self,
        messages: Sequence[OutboundMessage],
        *,
        contexts: Sequence[WorkContext] | None = None,
    ) -> Sequence[str]:
        """Store many messages in one statement; their ids are in the order given.

        Args:
            messages: As for `add`.
            contexts: Of which work each message is, where several events are handled together;
                None if all are of the work under way.

        Returns:
            The messages' ids, in order.

        Raises:
            ContractViolation: a body does not fit its type's JSON Schema (a bug).
        """
        ...


class Inbox(Protocol):
    def record(self, event_id: str) -> bool:
        """Remember that this consumer handles the event, in the unit of work of its effect.

        Returns:
            True the first time; False if the event was handled before.
        """
        ...

    def record_all(self, event_ids: Collection[str]) -> set[str]:
        """Remember many events in one statement.

        Returns:
            The ids of those that were not handled before.
        """
        ...


class Intents(Protocol):
    """Calls that are to leave the system, stored with the state that wants them."""

    def add(
        self,
        *,
        kind: str,
        subject_id: str,
        data: Mapping[str, object] | None = None,
        due_at: datetime | None = None,
    ) -> bool:
        """Store an intent, once for each kind and subject, forever.

        Args:
            kind: Which handler performs it.
            subject_id: What it is for; with the kind its identity.
            data: JSON-ready facts for the handler.
            due_at: Not before this instant, timezone-aware UTC; None means at once.

        Returns:
            True if it is new; False if it was there, which changes nothing.
        """
        ...

    def hurry(self, *, kind: str, subject_id: str) -> bool:
        """Make a waiting intent due now.

        Returns:
            True if there was one waiting.
        """
        ...


class IdempotencyKeys(Protocol):
    """Which request made which resource, remembered in the commit of the effect."""

    def claim(self, *, user_id: str, key: str, request_hash: str) -> str | None:
        """Take the key for this unit of work.

        Returns:
            None when the key is new; the resource's id when the same request succeeded before.

        Raises:
            IdempotencyKeyInFlight: another unit of work holds the key right now.
            IdempotencyKeyReused: the key came before with another request.
        """
        ...

    def store(self, *, user_id: str, key: str, request_hash: str, resource_id: str) -> None:
        """Bind a claimed key to the resource that the unit of work made."""
        ...


class MessagingUnit(Protocol):
    """What every service's unit of work offers."""

    @property
    def outbox(self) -> Outbox: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def intents(self) -> Intents: ...
    @property
    def idempotency_keys(self) -> IdempotencyKeys: ...


class UnitsOfWork(Protocol[U_co]):
    """Where units of work come from."""

    def run(self, work: Callable[[U_co], T], *, contended_on: str | None = None) -> T:
        """Do the work in one SERIALIZABLE unit: commit on return, roll back on any exception.

        A unit that lost a race is run again from the start, so `work` must be repeatable and
        must not call anything outside.

        Args:
            work: Gets the open unit.
            contended_on: What the unit may have to compete for, such as a user's id: those that
                name the same take turns once they have lost a race.

        Raises:
            Unavailable: the database is away, or the race was lost until the deadline.
        """
        ...

    def read(self, work: Callable[[U_co], T]) -> T:
        """Do reading work on one snapshot; nothing it writes can be committed.

        Raises:
            Unavailable: the database is away.
        """
        ...
