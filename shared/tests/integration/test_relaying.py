"""The relay on real PostgreSQL and RabbitMQ: one leads, the order holds, nothing is lost."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pika
import psycopg2
import pytest

from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.events import Event
from octoco.messaging.ports import BrokerUnavailable, Fate, Publisher, always
from octoco.messaging.publisher import ANSWER_SECONDS, ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.messaging.wire import from_properties
from octoco.outbox import held_back
from octoco.outbox.ports import OutboxUnavailable
from octoco.outbox.relay import Relay
from octoco.outbox.store import PostgresOutboxStore
from octoco.telemetry.metrics import RELAY_HELD_BACK
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.testing.wire import Fate as WireFate
from octoco.testing.wire import Wire

from .conftest import EVENT_TYPE, Happened

Units = PostgresUnitsOfWork[PostgresUnit]


@dataclass(frozen=True)
class Unheard(Happened):
    TYPE: ClassVar[str] = "probe.thing.unheard.v1"


class Queue:
    """The service's queue, bound to its exchange, and what has arrived in it."""

    def __init__(self, amqp_url: str, topology: Topology) -> None:
        self.topology = topology
        self._amqp_url = amqp_url
        self._arrived: list[Event] = []
        self.on_channel(lambda channel: topology.declare(channel, [EVENT_TYPE]))

    def on_channel(self, work: Callable[[Any], object]) -> None:
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self._amqp_url))) as c:
            work(c.channel())

    def bind(self, event_type: str) -> None:
        self.on_channel(
            lambda channel: channel.queue_bind(
                self.topology.queue, self.topology.exchange_name, routing_key=event_type
            )
        )

    def arrived(self) -> list[Event]:
        self.on_channel(self._take_all)
        return self._arrived

    def numbers_of(self, aggregate: str) -> list[int]:
        """Of all that arrived, the first arrivals' numbers, in their order."""
        numbers = [e.data["n"] for e in self.arrived() if e.aggregate_id == aggregate]
        return list(dict.fromkeys(numbers))

    def _take_all(self, channel: Any) -> None:
        while (found := channel.basic_get(self.topology.queue, auto_ack=True))[0] is not None:
            self._arrived.append(from_properties(found[1], found[2]))


@pytest.fixture
def queue(amqp_url: str, topology_of: Callable[..., Topology]) -> Queue:
    return Queue(amqp_url, topology_of("probe"))


@pytest.fixture
def store(schema: ProvisionedSchema, database: Database) -> Iterator[PostgresOutboxStore]:
    with contextlib.closing(PostgresOutboxStore(url=schema.service_url, service="probe")) as made:
        yield made


@pytest.fixture
def publisher(amqp_url: str, queue: Queue) -> Iterator[ConfirmedPublisher]:
    with contextlib.closing(
        ConfirmedPublisher(url=amqp_url, exchange=queue.topology.exchange_name)
    ) as made:
        yield made


@contextlib.contextmanager
def running(*relays: Relay) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=relay.run, args=(stop,)) for relay in relays]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()


def announce(units: Units, *messages: Happened) -> None:
    def add(unit: PostgresUnit) -> None:
        unit.outbox.add_all(messages)

    units.run(add)


def waiting(database: Database) -> int:
    def count(connection: Any) -> int:
        return int(connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one())

    return database.read(count)


def event(number: int, aggregate: str = "one", event_type: str = EVENT_TYPE) -> Event:
    at = datetime.now(UTC)
    return Event(f"msg_{number}", event_type, "probe", aggregate, at, {"n": number}, "cor")


def test_messages_of_one_aggregate_reach_the_broker_in_order(
    units: Units, queue: Queue, store: PostgresOutboxStore, publisher: ConfirmedPublisher
) -> None:
    announce(units, *(Happened(f"aggregate {n % 3}", n) for n in range(150)))
    relay = Relay(store, publisher)
    assert store.lead()
    while relay.relay_once():
        continue
    assert len(queue.arrived()) == 150
    for aggregate in range(3):
        assert queue.numbers_of(f"aggregate {aggregate}") == list(range(aggregate, 150, 3))


def test_only_one_leads_and_who_does_not_reads_nothing(
    schema: ProvisionedSchema, store: PostgresOutboxStore
) -> None:
    other = PostgresOutboxStore(url=schema.service_url, service="probe")
    assert store.lead()
    assert not other.lead()
    assert store.lead(), "it still does"
    with pytest.raises(OutboxUnavailable):
        other.read(held_back=[], limit=1)
    store.close()
    eventually(other.lead, what="the other leads")
    other.close()


def test_a_leader_that_is_cut_off_and_told_nothing_is_followed_within_its_lease(
    units: Units,
    database: Database,
    schema: ProvisionedSchema,
    queue: Queue,
    publisher: ConfirmedPublisher,
    amqp_url: str,
) -> None:
    passes = threading.Event()
    passes.set()

    def hold(_sent: bytes) -> WireFate:
        passes.wait(30)
        return WireFate.ARRIVES

    with Wire.to(schema.service_url) as wire:
        wire.watch = hold
        cut_off = PostgresOutboxStore(
            url=wire.url_through(schema.service_url), service="probe", lease_seconds=2
        )
        next_one = PostgresOutboxStore(url=schema.service_url, service="probe", lease_seconds=2)
        first_publisher = ConfirmedPublisher(url=amqp_url, exchange=queue.topology.exchange_name)
        assert cut_off.lead()
        with running(Relay(cut_off, first_publisher)):
            announce(units, *(Happened("one", n) for n in range(5)))
            eventually(lambda: waiting(database) == 0, what="the first leader's work")
            with running(Relay(next_one, publisher)):
                # Nobody's connection breaks: what the leader asks simply never arrives.
                passes.clear()
                announce(units, *(Happened("one", n) for n in range(5, 10)))
                eventually(
                    lambda: waiting(database) == 0, within_seconds=8, what="the next one's work"
                )
            passes.set()
        cut_off.close()
    assert queue.numbers_of("one") == list(range(10))


def test_a_database_that_takes_connections_and_answers_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://probe@127.0.0.1:{silent.getsockname()[1]}/probe"
        store = PostgresOutboxStore(url=url, service="probe", lease_seconds=1)
        began = time.monotonic()
        with pytest.raises(OutboxUnavailable):
            store.lead()
        assert time.monotonic() - began < 5


class Late:
    """A publisher that publishes only when it is let, whatever has happened meanwhile."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.is_asked = threading.Event()
        self.may_go = threading.Event()

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        if events:
            self.is_asked.set()
            assert self.may_go.wait(30)
        # It does not even ask whether it still may.
        return self.publisher.publish(events)

    def close(self) -> None:
        self.publisher.close()


def test_while_two_believe_that_they_lead_nothing_is_lost_and_the_order_holds(
    units: Units,
    database: Database,
    schema: ProvisionedSchema,
    queue: Queue,
    store: PostgresOutboxStore,
    publisher: ConfirmedPublisher,
    amqp_url: str,
) -> None:
    announce(units, *(Happened(f"aggregate {n % 2}", n) for n in range(20)))
    with Wire.to(schema.service_url) as wire:
        old = PostgresOutboxStore(url=wire.url_through(schema.service_url), service="probe")
        late = Late(ConfirmedPublisher(url=amqp_url, exchange=queue.topology.exchange_name))
        assert old.lead()
        failures: list[Exception] = []

        def lead_on() -> None:
            try:
                Relay(old, late).relay_once()
            except OutboxUnavailable as error:
                failures.append(error)

        thread = threading.Thread(target=lead_on)
        thread.start()
        assert late.is_asked.wait(10)
        wire.cut()
        eventually(store.lead, what="the new leader")
        new = Relay(store, publisher)
        assert new.relay_once() == 20
        late.may_go.set()
        announce(units, *(Happened(f"aggregate {n % 2}", n) for n in range(20, 30)))
        while new.relay_once():
            continue
        thread.join(20)
        assert not thread.is_alive()
        late.close()
    assert len(failures) == 1, "who leads no more deletes nothing"
    assert waiting(database) == 0
    for aggregate in (0, 1):
        assert queue.numbers_of(f"aggregate {aggregate}") == list(range(aggregate, 30, 2))
    assert len(queue.arrived()) == 50, "what the old one had in hand came twice, and no more"


def test_a_wire_to_the_broker_that_breaks_costs_at_worst_a_second_copy(
    units: Units, database: Database, queue: Queue, store: PostgresOutboxStore, amqp_url: str
) -> None:
    with Wire.to(amqp_url) as wire:
        cut = threading.Event()

        def cut_the_first(sent: bytes) -> WireFate:
            if b"msg_" in sent and not cut.is_set():
                cut.set()
                return WireFate.ANSWER_IS_LOST
            return WireFate.ARRIVES

        wire.watch = cut_the_first
        publisher = ConfirmedPublisher(
            url=wire.url_through(amqp_url), exchange=queue.topology.exchange_name
        )
        announce(units, *(Happened(f"aggregate {n % 2}", n) for n in range(10)))
        with running(Relay(store, publisher)):
            eventually(lambda: waiting(database) == 0, what="an empty outbox")
    assert cut.is_set()
    for aggregate in (0, 1):
        assert queue.numbers_of(f"aggregate {aggregate}") == list(range(aggregate, 10, 2))


def test_a_broker_that_is_cut_off_silently_is_noticed_by_its_heartbeat(
    queue: Queue, amqp_url: str
) -> None:
    passes = threading.Event()

    def hold(sent: bytes) -> WireFate:
        if b"msg_" in sent:
            passes.wait(30)
        return WireFate.ARRIVES

    with Wire.to(amqp_url) as wire:
        wire.watch = hold
        publisher = ConfirmedPublisher(
            url=wire.url_through(amqp_url) + "?heartbeat=1",
            exchange=queue.topology.exchange_name,
        )
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            publisher.publish([event(1)])
        assert time.monotonic() - began < ANSWER_SECONDS / 2
        passes.set()
        assert publisher.publish([event(2)]) == [Fate.CONFIRMED]
        publisher.close()


def test_what_is_given_up_is_given_up_at_once_and_the_next_connection_works(
    queue: Queue, amqp_url: str
) -> None:
    gate = threading.Event()

    def hold(sent: bytes) -> WireFate:
        if b"msg_" in sent:
            gate.wait(30)
        return WireFate.ARRIVES

    with Wire.to(amqp_url) as wire:
        wire.watch = hold
        publisher = ConfirmedPublisher(
            url=wire.url_through(amqp_url), exchange=queue.topology.exchange_name
        )
        asked: list[int] = []

        def once() -> bool:
            asked.append(1)
            return len(asked) < 2

        with pytest.raises(BrokerUnavailable):
            publisher.publish([event(1)], may_wait=once)
        assert publisher._link is None, "nothing more of it is sent when nobody waits for it"
        gate.set()
        assert publisher.publish([event(2)]) == [Fate.CONFIRMED]
        publisher.close()
    assert len(asked) == 2


def test_what_no_queue_takes_is_seen_as_held_back_until_a_binding_is_there(
    units: Units,
    database: Database,
    queue: Queue,
    store: PostgresOutboxStore,
    publisher: ConfirmedPublisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_back, "FIRST_SECONDS", 0.3)
    announce(units, Unheard("one", 1), Happened("one", 2), Happened("other", 3))
    with running(Relay(store, publisher)):
        eventually(lambda: queue.numbers_of("other") == [3], what="the other aggregate")
        eventually(lambda: RELAY_HELD_BACK._value.get() == 1, what="one held back")
        assert waiting(database) == 2
        queue.bind(Unheard.TYPE)
        eventually(lambda: waiting(database) == 0, what="an empty outbox")
        eventually(lambda: RELAY_HELD_BACK._value.get() == 0, what="nothing held back")
    assert queue.numbers_of("one") == [1, 2]


def test_what_a_full_queue_refuses_keeps_back_what_comes_after_it(
    queue: Queue, publisher: ConfirmedPublisher
) -> None:
    full = queue.topology.queue + ".full"
    arguments = {
        "x-queue-type": "quorum",
        "x-max-length": 1,
        "x-overflow": "reject-publish",
    }

    def make(channel: Any) -> None:
        channel.queue_declare(full, durable=True, arguments=arguments)
        channel.queue_bind(full, queue.topology.exchange_name, routing_key="full")

    queue.on_channel(make)
    try:
        # A quorum queue may take a few more than it should.
        fates = eventually(
            lambda: _unless_all_confirmed(
                publisher.publish([event(n, "one", "full") for n in range(20)])
            ),
            what="a refusal",
        )
    finally:
        queue.on_channel(lambda channel: channel.queue_delete(full))
    first = fates.index(Fate.REFUSED)
    assert set(fates[:first]) <= {Fate.CONFIRMED}
    assert set(fates[first + 1 :]) <= {Fate.HELD_BACK}


def _unless_all_confirmed(fates: list[Fate]) -> list[Fate] | None:
    return fates if Fate.REFUSED in fates[:-1] else None


def test_a_message_that_cannot_be_written_stops_no_other_aggregate(
    publisher: ConfirmedPublisher,
) -> None:
    unwritable = replace(event(1), type="x" * 300)
    fates = publisher.publish([unwritable, event(2), event(3, "other")])
    assert fates == [Fate.REFUSED, Fate.HELD_BACK, Fate.CONFIRMED]
    assert publisher.publish([event(4)]) == [Fate.CONFIRMED]


def test_a_row_that_commits_late_is_relayed_too(
    units: Units,
    schema: ProvisionedSchema,
    queue: Queue,
    store: PostgresOutboxStore,
    publisher: ConfirmedPublisher,
) -> None:
    late = psycopg2.connect(schema.service_url)
    with late.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,"
            " correlation_id) VALUES ('msg_late', %s, 'late', now(), '{\"n\": 1}', 'c')",
            (EVENT_TYPE,),
        )
    announce(units, Happened("other", 2))
    with running(Relay(store, publisher)):
        eventually(lambda: queue.numbers_of("other") == [2], what="the younger row")
        late.commit()
        late.close()
        eventually(lambda: queue.numbers_of("late") == [1], what="the late row")


def test_batches_of_any_size_are_confirmed_through_a_small_window(
    queue: Queue, amqp_url: str
) -> None:
    publisher = ConfirmedPublisher(url=amqp_url, exchange=queue.topology.exchange_name, window=3)
    fates = publisher.publish([event(n, f"aggregate {n % 20}") for n in range(200)])
    publisher.close()
    assert fates == [Fate.CONFIRMED] * 200
    assert len(queue.arrived()) == 200
