"""Events handled together on real PostgreSQL and RabbitMQ: as one by one, and never worse."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pika
import psycopg2
import pytest

from octoco.context import context_of, current_context
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.errors import Refusal, TooEarly, Unavailable
from octoco.events import Event
from octoco.inbox.parked import PostgresParkedStore
from octoco.inbox.suspects import PostgresSuspectStore
from octoco.messaging.connecting import connecting_to
from octoco.messaging.consumer import Consumer
from octoco.messaging.contracts import Contracts
from octoco.messaging.deliveries import Delivery, Verdict
from octoco.messaging.handling import EventHandling
from octoco.messaging.ports import Fate
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.testing.wire import Wire

from .conftest import EVENT_TYPE, Happened

Units = PostgresUnitsOfWork[PostgresUnit]
STOP = threading.Event()


class Effects:
    """The probe's two handlers, which store an effect for each event, and what they were given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.singles: list[int] = []
        self.poison: dict[int, Exception] = {}
        self.before_batch: Callable[[], None] = lambda: None

    def one(self, unit: PostgresUnit, event: Event) -> None:
        number = event.data["n"]
        self.singles.append(number)
        if number in self.poison:
            raise self.poison[number]
        self._store(unit, event)
        unit.outbox.add(Happened(f"made by {number}", number))

    def many(self, unit: PostgresUnit, events: Sequence[Event]) -> None:
        self.batches.append([event.data["n"] for event in events])
        self.before_batch()
        for event in events:
            self._store(unit, event)
            if event.data["n"] in self.poison:
                raise self.poison[event.data["n"]]
        unit.outbox.add_all(
            [Happened(f"made by {event.data['n']}", event.data["n"]) for event in events],
            contexts=[context_of(event) for event in events],
        )

    def _store(self, unit: PostgresUnit, event: Event) -> None:
        unit.connection.exec_driver_sql(
            "INSERT INTO effects VALUES (%s, %s)", (event.id, event.data["n"])
        )


class Probe:
    """What a service would put together, without its connection to the broker."""

    def __init__(
        self,
        database: Database,
        units: Units,
        contracts: Contracts,
        topology: Topology,
        settings: EventSettings | None = None,
    ) -> None:
        self.database, self.topology = database, topology
        self.effects = Effects()
        self.handling = EventHandling(
            subscriptions={EVENT_TYPE: self.effects.one},
            batch_subscriptions={EVENT_TYPE: self.effects.many},
            units=units,
            database=database,
            parked=PostgresParkedStore(database),
            suspects=PostgresSuspectStore(database),
            contracts=contracts,
            topology=topology,
            settings=settings,
        )

    def judge(self, *deliveries: Delivery) -> list[str]:
        return [
            verdict.result if verdict.move_to is None else "moved"
            for judged in self.handling.judge_all(deliveries, STOP, lambda: deliveries)
            for _, verdict in judged
        ]

    def rows(self, query: str) -> list[Any]:
        return list(self.database.read(lambda c: c.exec_driver_sql(query).all()))

    def stored(self) -> Counter[object]:
        return Counter(row[0] for row in self.rows("SELECT n FROM effects"))


@pytest.fixture
def probe(
    database: Database,
    units: Units,
    contracts: Contracts,
    topology_of: Callable[..., Topology],
) -> Probe:
    return Probe(database, units, contracts, topology_of("probe"))


def event(number: int, *, event_id: str | None = None) -> Event:
    return Event(
        id=event_id or f"msg_{number}",
        type=EVENT_TYPE,
        source="probe",
        aggregate_id=f"thing {number}",
        occurred_at=datetime.now(UTC),
        data={"n": number},
        correlation_id=f"cor_{number}",
        traceparent=f"00-{number:032x}-{number:016x}-01",
    )


def delivered(one: Event, tag: int = 1) -> Delivery:
    properties, body = to_properties(one)
    return Delivery(tag, properties, body)


def test_a_batch_is_one_call_in_one_unit(probe: Probe) -> None:
    assert probe.judge(*(delivered(event(n)) for n in range(5))) == ["handled"] * 5
    assert (probe.effects.batches, probe.effects.singles) == ([[0, 1, 2, 3, 4]], [])
    assert probe.stored() == Counter(range(5))
    (units_used,) = probe.rows("SELECT count(DISTINCT xmin::text) FROM inbox")
    assert units_used[0] == 1


def test_messages_of_a_batch_are_in_order_and_keep_the_context_of_their_event(
    probe: Probe,
) -> None:
    probe.judge(*(delivered(event(n)) for n in range(1, 4)))
    rows = probe.rows(
        "SELECT data ->> 'n', correlation_id, causation_id, left(traceparent, 35) FROM outbox"
        " ORDER BY id"
    )
    # Each in its event's own trace, at a step further on.
    assert [tuple(row) for row in rows] == [
        (str(n), f"cor_{n}", f"msg_{n}", f"00-{n:032x}") for n in range(1, 4)
    ]


@pytest.mark.parametrize(
    ("poison", "verdict"),
    [
        (Refusal("never"), "moved"),
        (TooEarly(waits_for="the other"), "parked"),
        (ZeroDivisionError("a bug"), "moved"),
    ],
    ids=["refusal", "too early", "bug"],
)
def test_a_poison_message_costs_the_others_nothing(
    probe: Probe, poison: Exception, verdict: str
) -> None:
    probe.effects.poison = {2: poison}
    results = probe.judge(*(delivered(event(n)) for n in range(5)))
    assert results == ["handled", "handled", verdict, "handled", "handled"]
    assert probe.stored() == Counter([0, 1, 3, 4])
    assert probe.effects.singles == [0, 1, 2, 3, 4]
    assert len(probe.rows("SELECT 1 FROM outbox")) == 4


def test_garbage_in_a_batch_is_dead_and_takes_nothing_apart(probe: Probe) -> None:
    garbage = Delivery(9, pika.BasicProperties(headers={"cloudEvents_type": EVENT_TYPE}), b"\x00")
    results = probe.judge(delivered(event(1)), garbage, delivered(event(2)))
    assert results == ["handled", "moved", "handled"]
    assert probe.effects.batches == [[1, 2]]


def test_repeats_in_a_batch_and_of_one_before_have_no_second_effect(probe: Probe) -> None:
    probe.judge(delivered(event(1)), delivered(event(2)))
    results = probe.judge(
        *(delivered(event(n)) for n in (2, 3)), delivered(event(3)), delivered(event(4))
    )
    assert results == ["duplicate", "handled", "duplicate", "handled"]
    assert probe.effects.batches == [[1, 2], [3, 4]]
    assert probe.stored() == Counter([1, 2, 3, 4])


def test_a_batch_that_finds_something_unavailable_is_tried_one_by_one(probe: Probe) -> None:
    def be_away() -> None:
        raise Unavailable("just now")

    probe.effects.before_batch = be_away
    assert probe.judge(delivered(event(1)), delivered(event(2))) == ["handled", "handled"]
    assert probe.effects.singles == [1, 2]


def test_while_the_database_is_away_a_batch_waits_until_it_is_told_to_stop(
    units: Units, contracts: Contracts, topology_of: Callable[..., Topology]
) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none", application_name="probe")
    probe = Probe(away, units, contracts, topology_of("probe"))
    stop = threading.Event()
    deliveries = [delivered(event(1)), delivered(event(2))]
    verdicts: list[Verdict] = []
    waiting = threading.Thread(
        target=lambda: verdicts.extend(
            verdict
            for judged in probe.handling.judge_all(deliveries, stop, lambda: deliveries)
            for _, verdict in judged
        )
    )
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    stop.set()
    waiting.join(10)
    assert [verdict.result for verdict in verdicts] == ["stopping", "stopping"]
    away.dispose()


def test_who_waits_too_long_for_the_turn_handles_one_by_one(
    database: Database,
    units: Units,
    contracts: Contracts,
    schema: ProvisionedSchema,
    topology_of: Callable[..., Topology],
) -> None:
    impatient = EventSettings(batch_turn_seconds=0.05)
    probe = Probe(database, units, contracts, topology_of("probe"), impatient)
    other_process = Database(schema.service_url, application_name="probe")
    with other_process.turn("batch", wait_seconds=1) as is_ours:
        assert is_ours
        assert probe.judge(delivered(event(1)), delivered(event(2))) == ["handled", "handled"]
    assert (probe.effects.batches, probe.effects.singles) == ([], [1, 2])
    probe.judge(delivered(event(3)), delivered(event(4)))
    assert probe.effects.batches == [[3, 4]]
    other_process.dispose()


def test_a_batch_killed_with_its_connection_is_done_once(
    probe: Probe, schema: ProvisionedSchema
) -> None:
    tries: list[int] = []

    def kill_the_first_time() -> None:
        tries.append(1)
        if len(tries) == 1:
            _terminate_writers(schema)

    probe.effects.before_batch = kill_the_first_time
    assert probe.judge(delivered(event(1)), delivered(event(2))) == ["handled", "handled"]
    assert len(probe.effects.batches) == 2
    assert probe.stored() == Counter([1, 2])


def test_a_handler_of_batches_needs_one_to_fall_back_on(
    database: Database, units: Units, contracts: Contracts, topology_of: Callable[..., Topology]
) -> None:
    with pytest.raises(ValueError, match=EVENT_TYPE):
        EventHandling(
            subscriptions={},
            batch_subscriptions={EVENT_TYPE: Effects().many},
            units=units,
            database=database,
            parked=PostgresParkedStore(database),
            suspects=PostgresSuspectStore(database),
            contracts=contracts,
            topology=topology_of("probe"),
        )


@contextlib.contextmanager
def consuming(probe: Probe, url: str) -> Iterator[Consumer[PostgresUnit]]:
    consumer = Consumer(
        connect=connecting_to(url),
        topology=probe.topology,
        handling=probe.handling,
        settings=EventSettings(batch_size=50),
    )
    stop = threading.Event()
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        yield consumer
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def fill(probe: Probe, amqp_url: str, count: int) -> None:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        probe.topology.declare(connection.channel(), [EVENT_TYPE])
    publisher = ConfirmedPublisher(url=amqp_url, exchange=probe.topology.exchange_name)
    fates = publisher.publish([event(number) for number in range(count)])
    assert set(fates) == {Fate.CONFIRMED}
    publisher.close()


def depth(probe: Probe, amqp_url: str) -> int:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        declared = connection.channel().queue_declare(probe.topology.queue, passive=True)
        return int(declared.method.message_count)


def test_a_flood_is_handled_in_batches_each_event_once(probe: Probe, amqp_url: str) -> None:
    fill(probe, amqp_url, 400)
    with consuming(probe, amqp_url):
        eventually(lambda: len(probe.stored()) == 400, within_seconds=30, what="all effects")
    assert probe.stored() == Counter(range(400))
    assert max(map(len, probe.effects.batches)) > 1
    assert depth(probe, amqp_url) == 0


def test_a_process_that_dies_between_commit_and_ack_leaves_no_second_effect(
    probe: Probe, amqp_url: str
) -> None:
    fill(probe, amqp_url, 20)
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        channel = connection.channel()
        fetched = [channel.basic_get(probe.topology.queue) for _ in range(20)]
        deliveries = [Delivery(m.delivery_tag, p, body) for m, p, body in fetched]
        assert probe.judge(*deliveries) == ["handled"] * 20
        # Closed without a single ack.
    with consuming(probe, amqp_url):
        eventually(lambda: depth(probe, amqp_url) == 0, what="an empty queue")
    assert probe.stored() == Counter(range(20))


def test_a_broker_that_goes_away_in_the_middle_of_a_batch_brings_no_second_effect(
    probe: Probe, amqp_url: str
) -> None:
    fill(probe, amqp_url, 200)
    cuts: list[int] = []
    with Wire.to(amqp_url) as wire:

        def cut_once() -> None:
            if not cuts:
                cuts.append(1)
                wire.cut()

        probe.effects.before_batch = cut_once
        with consuming(probe, wire.url_through(amqp_url)):
            eventually(lambda: len(probe.stored()) == 200, within_seconds=30, what="all effects")
            eventually(lambda: depth(probe, amqp_url) == 0, what="an empty queue")
    assert cuts == [1]
    assert probe.stored() == Counter(range(200))
    assert depth(probe, amqp_url) == 0


def test_outside_of_handlers_a_batch_of_messages_is_of_the_work_under_way(units: Units) -> None:
    def work(unit: PostgresUnit) -> Sequence[str]:
        assert unit.outbox.add_all([]) == []
        return unit.outbox.add_all([Happened("one", n) for n in range(3)])

    stored = units.run(work)
    rows = units.read(
        lambda unit: unit.connection.exec_driver_sql(
            "SELECT message_id FROM outbox ORDER BY id"
        ).all()
    )
    assert [row[0] for row in rows] == list(stored)
    assert current_context().causation_id is None


def _terminate_writers(schema: ProvisionedSchema) -> None:
    with contextlib.closing(psycopg2.connect(schema.admin_url)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'probe' AND datname = current_database()"
                " AND state = 'idle in transaction'"
            )
