"""The ports in memory, for unit tests: the same rules, no database."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from octoco.context import WorkContext
from octoco.errors import IdempotencyKeyReused
from octoco.events import OutboundMessage
from octoco.ids import new_id
from octoco.messaging.contracts import Contracts

T = TypeVar("T")
U = TypeVar("U")


class FakeOutbox:
    """Keeps messages in a list and checks each against its schema, as the real one does."""

    def __init__(self) -> None:
        self.messages: list[OutboundMessage] = []

    def add(self, message: OutboundMessage) -> str:
        _contracts().check(message.TYPE, message.to_data())
        self.messages.append(message)
        return new_id("msg")

    def add_all(
        self,
        messages: Sequence[OutboundMessage],
        *,
        contexts: Sequence[WorkContext] | None = None,
    ) -> Sequence[str]:
        assert contexts is None or len(contexts) == len(messages)
        return [self.add(message) for message in messages]

    def of_type(self, event_type: str) -> list[OutboundMessage]:
        return [message for message in self.messages if event_type == message.TYPE]


class FakeInbox:
    def __init__(self) -> None:
        self.handled: set[str] = set()

    def record(self, event_id: str) -> bool:
        if event_id in self.handled:
            return False
        self.handled.add(event_id)
        return True

    def record_all(self, event_ids: Collection[str]) -> set[str]:
        fresh = set(event_ids) - self.handled
        self.handled |= fresh
        return fresh


class FakeIntents:
    """Keeps intents by kind and subject."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Mapping[str, object]] = {}
        self.due: dict[tuple[str, str], datetime | None] = {}
        self.hurried: list[tuple[str, str]] = []

    def add(
        self,
        *,
        kind: str,
        subject_id: str,
        data: Mapping[str, object] | None = None,
        due_at: datetime | None = None,
    ) -> bool:
        if (kind, subject_id) in self.stored:
            return False
        self.stored[kind, subject_id] = dict(data or {})
        self.due[kind, subject_id] = due_at
        return True

    def hurry(self, *, kind: str, subject_id: str) -> bool:
        if (kind, subject_id) not in self.stored:
            return False
        self.hurried.append((kind, subject_id))
        return True


class FakeIdempotencyKeys:
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


class FakeUnitsOfWork(Generic[U]):
    """Runs work on one in-memory unit, and takes everything back if it raises.

    Args:
        unit: Any object whose attributes are the stores.
    """

    def __init__(self, unit: U) -> None:
        self.unit = unit

    def run(
        self,
        work: Callable[[U], T],
        *,
        contended_on: str | None = None,  # noqa: ARG002 - there is no crowd in memory
    ) -> T:
        before = copy.deepcopy(self.unit.__dict__)
        try:
            return work(self.unit)
        except BaseException:
            self.unit.__dict__.update(before)
            raise

    def read(self, work: Callable[[U], T]) -> T:
        return work(self.unit)


_loaded: list[Contracts] = []


def _contracts() -> Contracts:
    if not _loaded:
        _loaded.append(Contracts())
    return _loaded[0]


def data_of(message: Any) -> Mapping[str, Any]:
    """Return a message's body, for asserting on it."""
    body: Mapping[str, Any] = message.to_data()
    return body
