"""The ports in memory, for unit tests: the same rules, no database."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial

from octoco.clock import Clock, SystemClock
from octoco.context import WorkContext, current_context
from octoco.errors import IdempotencyKeyReused
from octoco.events import Event, OutboundMessage
from octoco.ids import new_id
from octoco.messaging.contracts import Contracts
from octoco.outbox.ports import StoredEvent
from octoco.testing.memory_units import TransactionalStore


class FakeOutbox(TransactionalStore):
    """Keeps messages in order and checks each against its schema, as the real one does.

    Units add to it, and a relay reads from it by a `MemoryOutboxStore`. Places are given out when
    a message is added and seen when its unit commits, so a unit that commits late shows a message
    in front of others that were there before it.

    Args:
        contracts: Every message is checked against them; None is the published ones.
        clock: Says when it happened.
        source: The service whose outbox it is.
        new_message_id: Makes ids; a test that replays a seed hands in one that counts.
    """

    def __init__(
        self,
        *,
        contracts: Contracts | None = None,
        clock: Clock | None = None,
        source: str = "test",
        new_message_id: Callable[[], str] | None = None,
    ) -> None:
        self.messages: list[OutboundMessage] = []
        self.waiting: dict[int, StoredEvent] = {}
        self.stored_at: dict[int, datetime] = {}
        self.clock: Clock = clock or SystemClock()
        self._contracts = contracts
        self._source = source
        self._new_message_id = new_message_id or partial(new_id, "msg")
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
        data = message.to_data()
        (self._contracts or _published_contracts()).check_outbound(message.TYPE, data)
        place = next(self._places)
        event = Event(
            id=self._new_message_id(),
            type=message.TYPE,
            source=self._source,
            aggregate_id=message.aggregate_id,
            occurred_at=self.clock.now(),
            data=data,
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            traceparent=context.traceparent,
        )
        self.messages.append(message)
        self._on_roll_back(lambda: self._forget(message))
        self._on_commit(lambda: self._show(StoredEvent(place, event)))
        return event.id

    def _show(self, stored: StoredEvent) -> None:
        self.waiting[stored.id] = stored
        self.stored_at[stored.id] = stored.event.occurred_at

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
    last_reason: str | None = None
    finished_at: datetime | None = None


class FakeIntents(TransactionalStore):
    """Keeps intents by kind and subject; an executor leases them by `MemoryIntentLeases`.

    Args:
        clock: Says what "at once" is.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.rows: dict[tuple[str, str], StoredIntent] = {}
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

    def put(self, key: tuple[str, str], row: StoredIntent) -> None:
        """Keep a row in the unit under way.

        Args:
            key: Kind and subject.
            row: As it is from now on.
        """
        before = self.rows.get(key)
        self.rows[key] = row
        self._on_roll_back(
            lambda: self.rows.pop(key) if before is None else self.rows.update({key: before})
        )


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
