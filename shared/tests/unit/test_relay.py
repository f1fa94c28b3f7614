"""What the relay reads, publishes, holds back and gives up, on an outbox and a broker in memory."""

import threading
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import pytest

from octoco.events import Event
from octoco.messaging.ports import BrokerUnavailable, Fate, always
from octoco.outbox import relay as relay_module
from octoco.outbox.ports import OutboxSize, OutboxUnavailable, StoredEvent
from octoco.outbox.relay import BATCH, CHAIN, Relay
from octoco.telemetry.metrics import (
    OUTBOX_OLDEST_AGE,
    OUTBOX_WAITING,
    RELAY_HELD_BACK,
    RELAY_LEADER,
)
from octoco.testing import eventually

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Outbox:
    """Rows in a list; can be away."""

    def __init__(self, *aggregates: str) -> None:
        self.rows = [
            StoredEvent(place, Event(f"msg_{place}", "t", "probe", name, NOON, {}, "cor"))
            for place, name in enumerate(aggregates, start=1)
        ]
        self.is_away = False
        self.leads = True
        self.measured = 0
        self.closed = 0

    def lead(self) -> bool:
        self._check()
        return self.leads

    def read(self, *, held_back: Collection[str], limit: int) -> Sequence[StoredEvent]:
        self._check()
        return [row for row in self.rows if row.event.aggregate_id not in held_back][:limit]

    def delete(self, ids: Collection[int]) -> None:
        self._check()
        self.rows = [row for row in self.rows if row.id not in ids]

    def measure(self) -> OutboxSize:
        self._check()
        self.measured += 1
        return OutboxSize(len(self.rows), 1.0)

    def close(self) -> None:
        self.closed += 1

    def _check(self) -> None:
        if self.is_away:
            raise OutboxUnavailable("away")


class Broker:
    """Notes what comes; gives each aggregate the fate it is told."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.fates: dict[str, Fate] = {}
        self.while_publishing: Callable[[Callable[[], bool]], None] = lambda _may_wait: None
        self.is_closed = False

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        self.batches.append(list(events))
        self.while_publishing(may_wait)
        return [self.fates.get(event.aggregate_id, Fate.CONFIRMED) for event in events]

    def close(self) -> None:
        self.is_closed = True

    @property
    def arrived(self) -> list[str]:
        return [event.id for batch in self.batches for event in batch]


def test_a_returned_message_holds_back_its_aggregate_only_and_is_seen_until_it_goes() -> None:
    outbox, broker = Outbox("one", "two", "one"), Broker()
    broker.fates["one"] = Fate.RETURNED
    relay = Relay(outbox, broker)
    assert relay.relay_once() == 1
    assert [row.event.aggregate_id for row in outbox.rows] == ["one", "one"]
    assert relay.relay_once() == 0
    assert broker.batches[1] == [], "it is left out for a while"
    assert RELAY_HELD_BACK._value.get() == 1


def test_an_aggregate_that_fills_whole_reads_does_not_keep_the_others_waiting() -> None:
    outbox, broker = Outbox(*["flood"] * (2 * BATCH), "one", "two"), Broker()
    Relay(outbox, broker).relay_once()
    names = [event.aggregate_id for event in broker.batches[0]]
    assert names.count("flood") == CHAIN
    assert names[CHAIN:] == ["one", "two"]


def test_what_is_read_twice_is_published_once_and_in_order() -> None:
    outbox = Outbox("two", *["flood"] * BATCH, "two", "one", "two")
    broker = Broker()
    relay = Relay(outbox, broker)
    relay.relay_once()
    first = [event.id for event in broker.batches[0]]
    assert len(first) == len(set(first))
    assert [event.id for event in broker.batches[0] if event.aggregate_id == "two"] == [
        "msg_1",
        f"msg_{BATCH + 2}",
        f"msg_{BATCH + 4}",
    ]
    while relay.relay_once():
        continue
    assert outbox.rows == []
    assert len(broker.arrived) == BATCH + 4


def test_a_leader_that_lost_its_outbox_waits_for_no_confirm() -> None:
    outbox, broker = Outbox("one"), Broker()
    answers: list[bool] = []

    def lose(may_wait: Callable[[], bool]) -> None:
        answers.append(may_wait())
        outbox.is_away = True
        answers.append(may_wait())
        raise BrokerUnavailable("given up")

    broker.while_publishing = lose
    with pytest.raises(BrokerUnavailable):
        Relay(outbox, broker).relay_once()
    assert answers == [True, False]
    assert len(outbox.rows) == 1


def test_a_relay_that_is_to_stop_waits_for_confirms_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "FINISH_SECONDS", 0.2)
    outbox, broker = Outbox("one"), Broker()
    stop = threading.Event()
    waited: list[bool] = []

    def stop_meanwhile(may_wait: Callable[[], bool]) -> None:
        stop.set()
        waited.append(may_wait())
        eventually(lambda: not may_wait(), what="an end of patience")
        raise BrokerUnavailable("given up")

    broker.while_publishing = stop_meanwhile
    thread = threading.Thread(target=Relay(outbox, broker).run, args=(stop,))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert waited == [True]
    assert broker.is_closed
    assert outbox.closed
    assert len(outbox.rows) == 1, "what is not confirmed stays"


def test_a_relay_that_is_to_stop_finishes_the_batch_in_hand() -> None:
    outbox, broker = Outbox("one"), Broker()
    stop = threading.Event()
    broker.while_publishing = lambda _may_wait: stop.set()
    Relay(outbox, broker).run(stop)
    assert outbox.rows == []


def test_the_outbox_is_measured_by_the_clock_and_not_by_the_batch() -> None:
    outbox, broker = Outbox(*(f"a{n}" for n in range(3 * BATCH))), Broker()
    stop = threading.Event()
    thread = threading.Thread(target=Relay(outbox, broker).run, args=(stop,))
    thread.start()
    eventually(lambda: not outbox.rows, what="an empty outbox")
    stop.set()
    thread.join(10)
    assert len(broker.batches) >= 3
    assert outbox.measured == 1


def test_one_that_does_not_lead_publishes_nothing_and_claims_nothing() -> None:
    outbox, broker = Outbox("one"), Broker()
    outbox.leads = False
    stop = threading.Event()
    thread = threading.Thread(target=Relay(outbox, broker).run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(10)
    assert broker.batches == []
    assert RELAY_LEADER._value.get() == 0
    assert OUTBOX_WAITING._value.get() == 0


def test_while_nobody_leads_what_waits_is_seen_all_the_same() -> None:
    outbox, broker = Outbox("one"), Broker()
    outbox.leads = False
    stop = threading.Event()
    thread = threading.Thread(target=Relay(outbox, broker).run, args=(stop,))
    thread.start()
    eventually(lambda: OUTBOX_WAITING._value.get() == 1, what="one that waits")
    eventually(lambda: OUTBOX_OLDEST_AGE._value.get() == 1.0, what="its age")
    assert RELAY_LEADER._value.get() == 0
    stop.set()
    thread.join(10)
    assert broker.batches == []
