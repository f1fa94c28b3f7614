"""A consumer that a test runs against the real servers, and what came of what it was sent."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pika
from prometheus_client import REGISTRY

from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.events import Event
from octoco.inbox.parked import PostgresParkedStore
from octoco.inbox.suspects import PostgresSuspectStore
from octoco.messaging.connecting import connecting_to
from octoco.messaging.consumer import Consumer
from octoco.messaging.contracts import Contracts
from octoco.messaging.handling import EventHandling, Handler
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties

from .conftest import EVENT_TYPE

Units = PostgresUnitsOfWork[PostgresUnit]
OTHER_TYPE = "probe.thing.unheard.v1"


def store_effect(unit: PostgresUnit, event: Event) -> None:
    """Leave one row for each event."""
    unit.connection.exec_driver_sql(
        "INSERT INTO effects VALUES (%s, %s)", (event.id, event.data["n"])
    )


def event(number: int, *, event_type: str = EVENT_TYPE) -> Event:
    return Event(
        id=f"msg_{number}",
        type=event_type,
        source="probe",
        aggregate_id=f"thing {number}",
        occurred_at=datetime.now(UTC),
        data={"n": number},
        correlation_id=f"cor_{number}",
    )


class Broker:
    """Looks at queues and puts messages into them.

    Args:
        url: Of the real one.
        topology: Whose queues; declared when it is made.
    """

    def __init__(self, url: str, topology: Topology) -> None:
        self.url, self.topology = url, topology
        with self.channel() as channel:
            topology.declare(channel, [EVENT_TYPE, OTHER_TYPE])

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.url))) as made:
            yield made.channel()

    def send(self, *events: Event) -> None:
        with self.channel() as channel:
            channel.confirm_delivery()
            for one in events:
                properties, body = to_properties(one)
                channel.basic_publish("", self.topology.queue, body, properties, mandatory=True)

    def depth(self, queue: str | None = None) -> int:
        with self.channel() as channel:
            declared = channel.queue_declare(queue or self.topology.queue, passive=True)
            return int(declared.method.message_count)

    def take(self, queue: str) -> list[pika.BasicProperties]:
        with self.channel() as channel:
            taken = []
            while (found := channel.basic_get(queue, auto_ack=True))[0] is not None:
                taken.append(found[1])
            return taken

    def moves(self, queue: str, fate: str) -> float:
        """Return how many copies for a queue met a fate in this process."""
        labels = {"queue": queue, "fate": fate}
        return REGISTRY.get_sample_value("octoco_event_moves_total", labels) or 0.0


class Consuming:
    """A consumer of one process.

    Args:
        database: Asked whether it is there; keeps parked events and suspects.
        units: Where handlers run.
        broker: Whose queue it consumes.
        contracts: The schemas.
        handlers: For each type; effects are stored for both if None.
        settings: How many at once, and how long.
        url: The broker's, if it is to be reached by another way.
    """

    def __init__(
        self,
        *,
        database: Database,
        units: Units,
        broker: Broker,
        contracts: Contracts,
        handlers: Mapping[str, Handler[PostgresUnit]] | None = None,
        settings: EventSettings | None = None,
        url: str | None = None,
    ) -> None:
        self.connections = 0
        self.ended_with: BaseException | None = None
        connect = connecting_to(url or broker.url)

        def counted() -> object:
            self.connections += 1
            return connect()

        self.handling = EventHandling(
            subscriptions=handlers or {EVENT_TYPE: store_effect, OTHER_TYPE: store_effect},
            units=units,
            database=database,
            parked=PostgresParkedStore(database),
            suspects=PostgresSuspectStore(database),
            contracts=contracts,
            topology=broker.topology,
            settings=settings,
        )
        self.consumer = Consumer(
            connect=counted, topology=broker.topology, handling=self.handling, settings=settings
        )

    @contextlib.contextmanager
    def running(self) -> Iterator["Consuming"]:
        """Consume for the block; whatever ends it early is kept."""
        stop = threading.Event()

        def run() -> None:
            try:
                self.consumer.run(stop)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.ended_with = error

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive()


def effects_of(database: Database) -> Counter[int]:
    """Return how often each event has had its effect."""
    rows = database.read(lambda c: c.exec_driver_sql("SELECT n FROM effects").all())
    return Counter(row.n for row in rows)
