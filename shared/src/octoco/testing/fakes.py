"""The ports in memory, for unit tests: the same rules, no database."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from octoco.clock import Clock, SystemClock
from octoco.context import WorkContext, current_context
from octoco.errors import IdempotencyKeyReused
from octoco.events import Event, OutboundMessage
from octoco.messaging.contracts import Contracts
from octoco.outbox.ports import StoredEvent
from octoco.outbox.postgres import OutboxRows
from octoco.testing.memory_units import MemoryTable, TransactionalStore


class FakeOutbox(TransactionalStore):
    """Keeps messages in order and checks each against its schema, as the real one does.

    Units add to it, and a relay reads from it by a `MemoryOutboxStore`. Places are given out when
    a message is added and seen when its unit commits, so a unit that commits late shows a message
    in front of others that were there before it.

    Args:
        contracts: Every message is checked against them; None is the published ones.
        clock: Says when it happened.
        source: The service whose outbox it is.
    """

    def __init__(
        self,
        *,
        contracts: Contracts | None = None,
        clock: Clock | None = None,
        source: str = "test",
    ) -> None:
        self.messages: list[OutboundMessage] = []
        self.waiting: dict[int, StoredEvent] = {}
        # Which of the relay's stores holds the lead.
        self.leader: object | None = None
        self.clock: Clock = clock or SystemClock()
        self._contracts = contracts
        self._source = source
        self._places = itertools.count(1)

    def add(self, message: OutboundMessage) -> str:
        return self._store(message, current_context())

    def add_all(
        self,
        messages: Sequence[OutboundMessage],
        *,
        contexts: Sequence[WorkContext] | None = None,
    ) -> Sequence[str]:
        contexts = contexts or [current_context()] * len(messages)
        return [self._store(*pair) for pair in zip(messages, contexts, strict=True)]

    def of_type(self, event_type: str) -> list[OutboundMessage]:
        return [message for message in self.messages if event_type == message.TYPE]

    def _store(self, message: OutboundMessage, context: WorkContext) -> str:
        rows = OutboxRows(contracts=self._contracts or _published_contracts(), clock=self.clock)
        row: Any = rows.row_of(message, context=context)
        place = next(self._places)
        event = Event(
            id=row["message_id"],
            type=row["event_type"],
            source=self._source,
            aggregate_id=row["aggregate_id"],
            occurred_at=datetime.fromisoformat(row["occurred_at"]),
            data=row["data"],
            correlation_id=row["correlation_id"],
            causation_id=row["causation_id"],
            traceparent=row["traceparent"],
        )
        self.messages.append(message)
        self._on_roll_back(lambda: self._forget(message))
        self._on_commit(lambda: self.waiting.update({place: StoredEvent(place, event)}))
        return event.id

    def _forget(self, message: OutboundMessage) -> None:
        # From the end, for it is nearly always the last one; a test may have cleared the list.
        for place in range(len(self.messages) - 1, -1, -1):
            if self.messages[place] is message:
                del self.messages[place]
                return


class FakeInbox(TransactionalStore):
    """Remembers which events were handled."""

    def __init__(self) -> None:
        self.handled: set[str] = set()

    def record(self, event_id: str) -> bool:
        return bool(self.record_all([event_id]))

    def record_all(self, event_ids: Collection[str]) -> set[str]:
        fresh = set(event_ids) - self.handled
        self.handled |= fresh
        self._on_roll_back(lambda: self.handled.difference_update(fresh))
        return fresh


@dataclass(frozen=True, slots=True)
class StoredIntent:
    """An intent as it is kept; see the columns of the table `intents`."""

    data: Mapping[str, object]
    context: WorkContext
    created_at: datetime
    due_at: datetime
    attempts: int = 0
    lease: int = 0
    leased_until: datetime | None = None
    begun_at: datetime | None = None
    answered_at: datetime | None = None
    last_reason: str | None = None
    finished_at: datetime | None = None


class FakeIntents(MemoryTable[tuple[str, str], StoredIntent]):
    """Keeps intents by kind and subject; an executor leases them by `MemoryIntentLeases`.

    Args:
        clock: Says what "at once" is.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self.hurried: list[tuple[str, str]] = []
        self._clock: Clock = clock or SystemClock()

    @property
    def stored(self) -> Mapping[tuple[str, str], Mapping[str, object]]:
        """What was stored with each intent, by kind and subject."""
        return {key: row.data for key, row in self.rows.items()}

    def add(
        self,
        *,
        kind: str,
        subject_id: str,
        data: Mapping[str, object] | None = None,
        due_at: datetime | None = None,
    ) -> bool:
        if (kind, subject_id) in self.rows:
            return False
        now = self._clock.now()
        row = StoredIntent(dict(data or {}), current_context(), now, due_at or now)
        self.put((kind, subject_id), row)
        return True

    def hurry(self, *, kind: str, subject_id: str) -> bool:
        row = self.rows.get((kind, subject_id))
        if row is None or row.finished_at is not None:
            return False
        self.put((kind, subject_id), replace(row, due_at=min(row.due_at, self._clock.now())))
        self.hurried.append((kind, subject_id))
        self._on_roll_back(self.hurried.pop)
        return True


class FakeIdempotencyKeys(TransactionalStore):
    """Remembers which request made which resource."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], tuple[str, str]] = {}

    def claim(self, *, user_id: str, key: str, request_hash: str) -> str | None:
        found = self.stored.get((user_id, key))
        if found is None:
            return None
        if found[0] != request_hash:
            raise IdempotencyKeyReused("This key was used for a different request.")
        return found[1]

    def store(self, *, user_id: str, key: str, request_hash: str, resource_id: str) -> None:
        self.stored[user_id, key] = (request_hash, resource_id)
        self._on_roll_back(lambda: self.stored.pop((user_id, key)))


@cache
def _published_contracts() -> Contracts:
    return Contracts()


class FakeUnit:
    """A unit of work in memory with what every service's unit offers, and nothing else.

    Args:
        contracts: See `FakeOutbox`.
        clock: Stamps messages and intents.
        source: See `FakeOutbox`.
    """

    def __init__(
        self,
        *,
        contracts: Contracts | None = None,
        clock: Clock | None = None,
        source: str = "test",
    ) -> None:
        self.outbox = FakeOutbox(contracts=contracts, clock=clock, source=source)
        self.inbox = FakeInbox()
        self.intents = FakeIntents(clock=clock)
        self.idempotency_keys = FakeIdempotencyKeys()
