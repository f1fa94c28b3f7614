"""Sagas of two services come about once, whatever goes wrong; and what is broken is found so."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octoco.events import Event
from octoco.inbox.parked import ParkedEvent
from octoco.intents.leases import CallFate, LeasedIntent
from octoco.messaging.deliveries import Verdict
from octoco.messaging.handling import EventHandling
from octoco.messaging.ports import Fate, always
from octoco.outbox.ports import StoredEvent
from octoco.outbox.relay import BATCH, Relay
from octoco.testing.memory_publisher import MemoryPublisher
from octoco.testing.memory_stores import MemoryIntentLeases, MemoryOutboxStore, MemoryParkedStore
from octoco.testing.seeds import examples
from octoco.testing.stepping import SteppedConsumer

from .saga_services import Unit
from .saga_world import Parts, World

STEPS = 500
# So many worlds at most until what is broken is found; most are found in one of the first ten.
SEEDS_MAX = 150


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), orders=st.integers(1, 8), steps=st.integers(20, 800))
def test_every_saga_comes_about_once_whatever_goes_wrong(
    seed: int, orders: int, steps: int
) -> None:
    World(seed=seed, orders=orders).run(steps=steps)


@settings(max_examples=examples(20), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), orders=st.integers(1, 8))
def test_every_saga_comes_about_once_in_whatever_order_its_events_come(
    seed: int, orders: int
) -> None:
    World(seed=seed, orders=orders, is_fair=False).run(steps=STEPS)


def test_a_seed_makes_the_same_world_again() -> None:
    def journal(seed: int) -> list[str]:
        world = World(seed=seed, orders=5)
        world.run(steps=STEPS)
        return world.scheduler.journal

    first = journal(7)
    assert journal(7) == first
    assert journal(8) != first
    assert any("dies" in line for line in first)


class DeletesBeforeConfirm(Relay):
    """Takes messages out of the outbox before the broker has them."""

    def relay_once(self) -> int:
        batch = self._store.read(held_back=(), limit=BATCH)
        self._store.delete([stored.id for stored in batch])
        return len(self._publisher.publish([stored.event for stored in batch]))


class TakesSentForConfirmed(Relay):
    """Deletes what it has sent, whatever became of it."""

    def relay_once(self) -> int:
        batch = self._store.read(held_back=(), limit=BATCH)
        self._publisher.publish([stored.event for stored in batch])
        self._store.delete([stored.id for stored in batch])
        return len(batch)


class KeepsCursor(MemoryOutboxStore):
    """Reads on from where every relay of the outbox was, past rows that commit late."""

    def read(self, *, held_back: Collection[str], limit: int) -> Sequence[StoredEvent]:
        found = super().read(held_back=held_back, limit=10**6)
        return [stored for stored in found if stored.id > self._cursor][:limit]

    def delete(self, ids: Collection[int]) -> None:
        super().delete(ids)
        vars(self._outbox)["cursor"] = max([self._cursor, *ids])

    @property
    def _cursor(self) -> int:
        return int(vars(self._outbox).get("cursor", 0))


class LetsOvertake(MemoryPublisher):
    """Goes on with an aggregate whose message came back."""

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        return [super(LetsOvertake, self).publish([event])[0] for event in events]


class AcksBeforeCommit(SteppedConsumer[Unit]):
    """Acks a delivery when it comes."""

    def step(self) -> bool:
        self._connection.process_data_events(time_limit=0)
        if not self._waiting:
            return False
        delivery = self._waiting.pop(0)
        self._channel.basic_ack(delivery.tag)
        verdict = self._handling.judge(delivery, self._stop)
        if verdict.move_to is not None:
            self.move(verdict.move_to, delivery.properties, delivery.body)
        return True


class AcksWhatFailed(SteppedConsumer[Unit]):
    """Acks whatever became of a delivery."""

    def settle(self, delivery: Any, verdict: Verdict) -> None:
        self._channel.basic_ack(delivery.tag)


class BatchHasNoInbox(EventHandling[Unit]):
    """Takes every event of a batch for new."""

    def _handle_batch(self, unit: Unit, event_type: str, events: Mapping[str, Event]) -> set[str]:
        self._batch_subscriptions[event_type](unit, list(events.values()))
        return set(events)


class RecordsInUnitBefore(EventHandling[Unit]):
    """Remembers an event in a unit of its own, before its effect."""

    def handle_in(self, unit: Unit, event: Event) -> bool:
        if not self._units.run(lambda another: another.inbox.record(event.id)):
            return False
        self._subscriptions[event.type](unit, event)
        return True


@dataclass
class _Later:
    """Units of work that remember the events of a unit after it has committed."""

    units: Any
    events: list[str] = field(default_factory=list)

    def run(self, work: Callable[[Any], Any], *, contended_on: str | None = None) -> Any:
        self.events.clear()
        result = self.units.run(work, contended_on=contended_on)
        for event_id in tuple(self.events):
            self.units.run(lambda unit, event_id=event_id: unit.inbox.record(event_id))
        return result


class RecordsInUnitAfter(EventHandling[Unit]):
    """Remembers an event in a unit of its own, after its effect."""

    def __init__(self, *, units: Any, **parts: Any) -> None:
        self._later = _Later(units)
        remembering: Any = self._later
        super().__init__(units=remembering, **parts)

    def handle_in(self, unit: Unit, event: Event) -> bool:
        if event.id in unit.inbox.handled:
            return False
        self._subscriptions[event.type](unit, event)
        self._later.events.append(event.id)
        return True


class HasNoInbox(EventHandling[Unit]):
    """Takes every event for new."""

    def handle_in(self, unit: Unit, event: Event) -> bool:
        self._subscriptions[event.type](unit, event)
        return True


class _TakesOutWhenClaimed(MemoryParkedStore):
    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def claim(self) -> ParkedEvent | None:
        parked: ParkedEvent | None = self._store.claim()
        if parked is not None:
            self._store.remove(parked.event.id)
        return parked

    def postpone(self, event_id: str) -> None:
        self._store.postpone(event_id)


class ForgetsParked(EventHandling[Unit]):
    """Takes parked events out before they are handled."""

    def __init__(self, *, parked: Any, **parts: Any) -> None:
        super().__init__(parked=_TakesOutWhenClaimed(parked), **parts)


class DoesNotFence(MemoryIntentLeases):
    """Lets whoever has lost the lease record all the same."""

    def still_ours(self, unit: object, leased: LeasedIntent) -> bool:
        return True

    def finish(self, unit: object, leased: LeasedIntent, *, fate: CallFate) -> None:
        row = self._intents.rows[leased.intent.kind, leased.intent.subject_id]
        current = LeasedIntent(leased.intent, row.lease, leased.context)
        super().finish(unit, current, fate=fate)


BROKEN: dict[str, Parts] = {
    "the relay deletes before the confirm": Parts(relay=DeletesBeforeConfirm),
    "the relay takes what was sent for confirmed": Parts(relay=TakesSentForConfirmed),
    "the outbox is read with a cursor": Parts(outbox_store=KeepsCursor),
    "a returned message is overtaken": Parts(publisher=LetsOvertake),
    "the ack goes before the commit": Parts(consumer=AcksBeforeCommit),
    "what failed is acked": Parts(consumer=AcksWhatFailed),
    "the inbox is written in a unit before": Parts(handling=RecordsInUnitBefore),
    "the inbox is written in a unit after": Parts(handling=RecordsInUnitAfter),
    "there is no inbox": Parts(handling=HasNoInbox),
    "a batch has no inbox": Parts(handling=BatchHasNoInbox),
    "what was parked is forgotten": Parts(handling=ForgetsParked),
    "nothing is fenced": Parts(leases=DoesNotFence),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_found(what: str) -> None:
    for seed in range(SEEDS_MAX):
        try:
            World(seed=seed, orders=6, parts=BROKEN[what]).run(steps=STEPS)
        except AssertionError as found:
            print(f"seed {seed}: {found}")  # noqa: T201
            # The same world with nothing broken is no such case.
            World(seed=seed, orders=6).run(steps=STEPS)
            return
    pytest.fail(f"nobody notices that {what}, in {SEEDS_MAX} worlds")


def test_a_world_that_is_calm_takes_nothing_twice() -> None:
    world = World(seed=1, orders=4)
    world.chances.is_calm = True
    world.run(steps=1)
    assert not any("dies" in line for line in world.scheduler.journal)


def test_worlds_leave_no_threads_behind() -> None:
    before = threading.active_count()
    World(seed=3, orders=3).run(steps=STEPS)
    assert threading.active_count() == before
