"""PostgreSQL and RabbitMQ keep to the suites that what is in memory keeps to."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest

from octoco.clock import Clock, FixedClock, SystemClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.events import Event
from octoco.inbox.parked import PostgresParkedStore
from octoco.inbox.suspects import PostgresSuspectStore
from octoco.intents.leases import PostgresIntentLeases
from octoco.messaging.connecting import Connect, connecting_to
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.messaging.wire import from_properties
from octoco.outbox.ports import OutboxStore
from octoco.outbox.store import PostgresOutboxStore
from octoco.testing import eventually
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
from octoco.testing.provisions import ProvisionedSchema
from octoco.testing.wire import Fate, Wire, nothing_happens

# Before every other clock, the server's among them.
PAST = datetime(2020, 1, 1, 12, 0, tzinfo=UTC)


def units_on(database: Database, clock: Clock) -> PostgresUnitsOfWork[PostgresUnit]:
    return PostgresUnitsOfWork(
        database,
        lambda connection: PostgresUnit(connection, contracts=PROBE_CONTRACTS, clock=clock),
    )


class StoresGround:
    """Every store of one service on PostgreSQL."""

    def __init__(self, database: Database, schema: ProvisionedSchema) -> None:
        self.clock = FixedClock(PAST)
        self.units = units_on(database, self.clock)
        self.leases = PostgresIntentLeases(database, clock=self.clock)
        self.parked = PostgresParkedStore(database)
        self.database = database
        self.schema = schema
        self.opened: list[PostgresOutboxStore] = []

    def open_store(self) -> OutboxStore:
        store = PostgresOutboxStore(url=self.schema.service_url, service="probe")
        self.opened.append(store)
        return store

    def cut(self, store: OutboxStore) -> None:
        with psycopg2.connect(self.schema.admin_url) as admin, admin.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity AS a"
                " JOIN pg_locks AS l ON l.pid = a.pid AND l.locktype = 'advisory'"
                " WHERE a.application_name = 'probe-relay' AND a.datname = current_database()"
            )
            assert cursor.fetchall() == [(True,)]
        admin.close()

    def pass_time(self, seconds: float) -> None:
        self.database.statement(
            "UPDATE parked_events SET due_at = due_at - make_interval(secs => :seconds),"
            " parked_at = parked_at - make_interval(secs => :seconds),"
            " begun_at = begun_at - make_interval(secs => :seconds)",
            {"seconds": seconds},
        )


class OnStores:
    @pytest.fixture
    def ground(self, database: Database, schema: ProvisionedSchema) -> Iterator[StoresGround]:
        ground = StoresGround(database, schema)
        yield ground
        for store in ground.opened:
            store.close()


class TestPostgresOutbox(OnStores, OutboxStoreConformance):
    pass


class TestPostgresInbox(OnStores, InboxConformance):
    pass


class TestPostgresIntents(OnStores, IntentsConformance):
    pass


class TestPostgresParkedEvents(OnStores, ParkedConformance):
    pass


class RabbitGround:
    """Names of its own on the test broker, which are deleted at the end."""

    def __init__(self, url: str) -> None:
        self._prefix = f"test-{secrets.token_hex(6)}."
        self._queues: set[str] = set()
        self._open: list[Any] = []
        self._connect = connecting_to(url)
        self._exchange = self.name("events")
        self._channel.exchange_declare(self._exchange, exchange_type="topic", durable=True)
        self._wire = Wire.to(url)
        self._wire.__enter__()
        self.publisher = ConfirmedPublisher(
            url=self._wire.url_through(url), exchange=self._exchange
        )

    @property
    def connect(self) -> Connect:
        def connect() -> Any:
            connection = self._connect()
            self._open.append(connection)
            return connection

        return connect

    @property
    def _channel(self) -> Any:
        return self.connect().channel()

    def name(self, short: str) -> str:
        self._queues.add(self._prefix + short)
        return self._prefix + short

    def pass_time(self, seconds: float) -> None:
        # What is in a queue of RabbitMQ grows older with the machine's clock only.
        until = time.monotonic() + seconds
        eventually(lambda: time.monotonic() >= until, what="the time")

    def bind(self, queue: str, pattern: str) -> None:
        channel = self._channel
        arguments = {"x-queue-type": "quorum"}
        channel.queue_declare(self.name(queue), durable=True, arguments=arguments)
        channel.queue_bind(self.name(queue), self._exchange, routing_key=pattern)

    def bind_full_queue(self, event_type: str) -> None:
        channel = self._channel
        arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
        channel.queue_declare(self.name("full"), durable=True, arguments=arguments)
        channel.queue_bind(self.name("full"), self._exchange, routing_key=event_type)

    def stored(self, queue: str) -> Sequence[Event]:
        channel = self._channel
        count = channel.queue_declare(self.name(queue), passive=True).method.message_count
        got = [channel.basic_get(self.name(queue)) for _ in range(count)]
        channel.close()
        return [from_properties(properties, body) for _, properties, body in got]

    @contextmanager
    def broker_away(self) -> Iterator[None]:
        self._wire.watch = lambda _: Fate.NEVER_ARRIVES
        self._wire.cut()
        yield
        self._wire.watch = nothing_happens

    def close(self) -> None:
        self.publisher.close()
        self._wire.__exit__(None, None, None)
        channel = self._channel
        for name in self._queues:
            channel.queue_delete(name)
            channel.exchange_delete(name)
        for connection in self._open:
            if connection.is_open:
                connection.close()


class OnRabbit:
    @pytest.fixture
    def ground(self, amqp_url: str) -> Iterator[RabbitGround]:
        ground = RabbitGround(amqp_url)
        yield ground
        ground.close()


class TestConfirmedPublisher(OnRabbit, PublisherConformance):
    pass


class TestRabbitMq(OnRabbit, BrokerConformance):
    pass


class TestConsumingOnRealServers(ConsumingConformance):
    @pytest.fixture
    def ground(
        self,
        database: Database,
        schema: ProvisionedSchema,
        amqp_url: str,
        topology_of: Callable[..., Topology],
    ) -> Iterator[ConsumingGround]:
        topology = topology_of("probe", tier_seconds=(0.02, 0.04))
        outbox = PostgresOutboxStore(url=schema.service_url, service="probe")
        assert outbox.lead()
        publisher = ConfirmedPublisher(url=amqp_url, exchange=topology.exchange_name)
        opened: list[Any] = []

        def connect() -> Any:
            opened.append(connecting_to(amqp_url)())
            return opened[-1]

        yield ConsumingGround(
            units=units_on(database, SystemClock()),
            database=database,
            parked=PostgresParkedStore(database),
            suspects=PostgresSuspectStore(database),
            outbox=outbox,
            connect=connect,
            publisher=publisher,
            topology=topology,
        )
        publisher.close()
        outbox.close()
        for connection in opened:
            if connection.is_open:
                connection.close()
