"""What is in memory keeps to the suites that PostgreSQL and RabbitMQ keep to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from octoco.clock import FixedClock, SystemClock
from octoco.events import Event
from octoco.messaging.connecting import Connect
from octoco.messaging.ports import Publisher
from octoco.messaging.topology import Topology
from octoco.messaging.wire import from_properties
from octoco.outbox.ports import OutboxStore
from octoco.testing import FakeUnit, FakeUnitsOfWork
from octoco.testing.conformance import (
    PROBE_CONTRACTS,
    BrokerConformance,
    ConsumingConformance,
    ConsumingGround,
    InboxConformance,
    IntentsConformance,
    OutboxStoreConformance,
    ParkedConformance,
    PublisherConformance,
)
from octoco.testing.memory_broker import MemoryBroker
from octoco.testing.memory_publisher import MemoryPublisher
from octoco.testing.memory_stores import (
    MemoryDatabase,
    MemoryIntentLeases,
    MemoryOutboxStore,
    MemoryParkedStore,
    MemorySuspectStore,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class StoresGround:
    """Every store of one service in memory, on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = FixedClock(NOON)
        unit = FakeUnit(contracts=PROBE_CONTRACTS, clock=self.clock)
        self.units = FakeUnitsOfWork(unit)
        self.leases = MemoryIntentLeases(unit.intents, clock=self.clock)
        self.parked = MemoryParkedStore(clock=self.clock)

    def open_store(self) -> OutboxStore:
        return MemoryOutboxStore(self.units.unit.outbox)

    def cut(self, store: OutboxStore) -> None:
        assert isinstance(store, MemoryOutboxStore)
        store.cut()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))


class OnStores:
    @pytest.fixture
    def ground(self) -> StoresGround:
        return StoresGround()


class TestMemoryOutbox(OnStores, OutboxStoreConformance):
    pass


class TestMemoryInbox(OnStores, InboxConformance):
    pass


class TestMemoryIntents(OnStores, IntentsConformance):
    pass


class TestMemoryParkedEvents(OnStores, ParkedConformance):
    pass


class MemoryBrokerGround:
    """A broker whose time stands still until it is moved."""

    def __init__(self) -> None:
        self.clock = FixedClock(NOON)
        self.broker = MemoryBroker(clock=self.clock)
        self.publisher: Publisher = MemoryPublisher(self.broker, exchange="events")
        self._channel = self.broker.connect().channel()
        self._channel.exchange_declare("events")

    @property
    def connect(self) -> Connect:
        return self.broker.connect

    def name(self, short: str) -> str:
        return short

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def bind(self, queue: str, pattern: str) -> None:
        self._channel.queue_declare(queue)
        self._channel.queue_bind(queue, "events", pattern)

    def bind_full_queue(self, event_type: str) -> None:
        self.bind("full", event_type)
        self.broker.full.add("full")

    def stored(self, queue: str) -> Sequence[Event]:
        ready = self.broker.queues[queue].ready
        return [from_properties(message.properties, message.body) for message in ready]

    @contextmanager
    def broker_away(self) -> Iterator[None]:
        self.broker.stop()
        yield
        self.broker.start()


class OnBroker:
    @pytest.fixture
    def ground(self) -> MemoryBrokerGround:
        return MemoryBrokerGround()


class TestMemoryPublisher(OnBroker, PublisherConformance):
    pass


class TestMemoryBroker(OnBroker, BrokerConformance):
    pass


def consuming_ground() -> ConsumingGround:
    # The consumer has threads of its own, which wait on the machine's clock.
    broker = MemoryBroker(clock=SystemClock())
    topology = Topology("probe", tier_seconds=(0.02, 0.04))
    topology.declare_exchange(broker.connect().channel())
    unit = FakeUnit(contracts=PROBE_CONTRACTS)
    outbox = MemoryOutboxStore(unit.outbox)
    assert outbox.lead()
    return ConsumingGround(
        units=FakeUnitsOfWork(unit),
        database=MemoryDatabase(),
        parked=MemoryParkedStore(),
        suspects=MemorySuspectStore(),
        outbox=outbox,
        connect=broker.connect,
        publisher=MemoryPublisher(broker, exchange=topology.exchange_name),
        topology=topology,
    )


class TestConsumingInMemory(ConsumingConformance):
    @pytest.fixture
    def ground(self) -> ConsumingGround:
        return consuming_ground()
