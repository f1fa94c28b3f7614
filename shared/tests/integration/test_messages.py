"""From outbox to effect on real PostgreSQL and RabbitMQ: in order, once, and never lost."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

import pika
import psycopg2
import pytest

from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.errors import Refusal, TooEarly
from octoco.events import Event
from octoco.messaging.contracts import Contracts
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.worker import Worker, WorkerParts

from .conftest import EVENT_TYPE, Happened

Units = PostgresUnitsOfWork[PostgresUnit]


class Probe:
    """A running worker with one handler, and looks at what came of it."""

    def __init__(self, database: Database, topology: Topology, amqp_url: str) -> None:
        self.database, self.topology, self.amqp_url = database, topology, amqp_url

    def effects(self) -> list[int]:
        rows = self.database.read(
            lambda c: c.exec_driver_sql("SELECT n FROM effects ORDER BY ctid").all()
        )
        return [row.n for row in rows]

    def waiting(self, table: str) -> int:
        return int(
            self.database.read(
                lambda c: c.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            )
        )

    def depth(self, queue: str) -> int:
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.amqp_url))) as c:
            return int(c.channel().queue_declare(queue, passive=True).method.message_count)

    def take(self, queue: str) -> pika.BasicProperties:
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.amqp_url))) as c:
            _, properties, _ = c.channel().basic_get(queue, auto_ack=True)
            return properties


def store_effect(unit: PostgresUnit, event: Event) -> None:
    unit.connection.exec_driver_sql(
        "INSERT INTO effects VALUES (%s, %s)", (event.id, event.data["n"])
    )


@pytest.fixture
def run_probe(
    database: Database,
    units: Units,
    contracts: Contracts,
    schema: ProvisionedSchema,
    amqp_url: str,
    topology_of: Callable[..., Topology],
) -> Iterator[Callable[..., Probe]]:
    running: list[tuple[threading.Event, threading.Thread]] = []

    def start(handler: Callable[[PostgresUnit, Event], None] = store_effect) -> Probe:
        topology = topology_of("probe")
        worker = Worker(
            WorkerParts(
                service="probe",
                database_url=schema.service_url,
                database=database,
                units=units,
                contracts=contracts,
                amqp_url=amqp_url,
                subscriptions={EVENT_TYPE: handler},
                topology=topology,
            )
        )
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        running.append((stop, thread))
        eventually(lambda: all(worker.readiness().values()), what="a ready worker")
        return Probe(database, topology, amqp_url)

    yield start
    for stop, thread in running:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def _add(message: Happened, unit: PostgresUnit) -> str:
    return unit.outbox.add(message)


def announce(units: Units, *messages: Happened) -> None:
    for message in messages:
        units.run(partial(_add, message))


def test_messages_are_all_handled_and_leave_the_outbox(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    announce(units, *(Happened("one", n) for n in range(20)))
    probe = run_probe()
    eventually(lambda: len(probe.effects()) == 20, what="twenty effects")
    assert sorted(probe.effects()) == list(range(20))
    eventually(lambda: probe.waiting("outbox") == 0, what="an empty outbox")


def test_a_deleted_queue_is_declared_again_and_what_was_announced_arrives(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    probe = run_probe()
    announce(units, Happened("one", 1))
    eventually(lambda: probe.effects() == [1], what="the first effect")
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(probe.amqp_url))) as c:
        c.channel().queue_delete(probe.topology.queue)
    announce(units, Happened("two", 2))
    eventually(lambda: probe.effects() == [1, 2], within_seconds=20, what="the second effect")


def test_headers_that_make_no_sense_stop_nobody(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    probe = run_probe()
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(probe.amqp_url))) as c:
        for attempt in ("abc", -5, None, {"x": 1}, "abc", "abc", "abc", "abc"):
            properties = pika.BasicProperties(headers={"x-octoco-attempt": attempt})
            c.channel().basic_publish(
                probe.topology.exchange_name, EVENT_TYPE, b"garbage", properties
            )
    announce(units, Happened("one", 1))
    eventually(lambda: probe.effects() == [1], what="the effect")
    eventually(lambda: probe.depth(probe.topology.dead_queue) == 8, what="eight dead messages")


def test_the_same_message_twice_has_one_effect(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    probe = run_probe()
    announce(units, Happened("one", 1))
    eventually(probe.effects, what="the effect")
    # The relay that died between confirm and delete publishes again: the same row, the same id.
    row = units.read(
        lambda unit: unit.connection.exec_driver_sql("SELECT event_id FROM inbox").scalar_one()
    )
    repeat = Event(row, EVENT_TYPE, "probe", "one", _now(), {"n": 1}, correlation_id="c")
    _publish(probe, repeat)
    _publish(
        probe, Event("msg_x", EVENT_TYPE, "probe", "one", _now(), {"n": 2}, correlation_id="c")
    )
    eventually(lambda: len(probe.effects()) == 2, what="the second effect")
    assert probe.effects() == [1, 2]


def test_a_message_that_no_queue_takes_stays_and_holds_back_its_aggregate_only(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    class Unheard(Happened):
        TYPE: ClassVar[str] = "probe.thing.unheard.v1"

    probe = run_probe()
    announce(units, Unheard("one", 1), Happened("one", 2), Happened("other", 3))
    eventually(lambda: probe.effects() == [3], what="the other aggregate's effect")
    assert probe.waiting("outbox") == 2


def test_a_failing_handler_is_tried_in_tiers_and_then_dead_with_its_reason(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    tries: list[int] = []

    def fail(unit: PostgresUnit, event: Event) -> None:
        tries.append(1)
        raise ZeroDivisionError("on purpose")

    probe = run_probe(fail)
    announce(units, Happened("one", 1))
    eventually(lambda: probe.depth(probe.topology.dead_queue) == 1, what="a dead message")
    assert len(tries) == 3
    headers = probe.take(probe.topology.dead_queue).headers
    assert headers["x-octoco-reason"] == "ZeroDivisionError: on purpose"
    assert headers["x-octoco-attempt"] == 3
    assert probe.waiting("inbox") == 0


def test_a_handler_that_recovers_has_its_effect_once(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    tries: list[int] = []

    def recover(unit: PostgresUnit, event: Event) -> None:
        tries.append(1)
        store_effect(unit, event)
        if len(tries) < 3:
            raise ZeroDivisionError

    probe = run_probe(recover)
    announce(units, Happened("one", 1))
    eventually(lambda: probe.effects() == [1], what="the effect")
    assert len(tries) == 3


def test_a_refused_event_is_dead_at_once(units: Units, run_probe: Callable[..., Probe]) -> None:
    tries: list[int] = []

    def refuse(unit: PostgresUnit, event: Event) -> None:
        tries.append(1)
        raise Refusal("never")

    probe = run_probe(refuse)
    announce(units, Happened("one", 1))
    eventually(lambda: probe.depth(probe.topology.dead_queue) == 1, what="a dead message")
    assert len(tries) == 1


def test_garbage_is_dead_and_blocks_nothing(units: Units, run_probe: Callable[..., Probe]) -> None:
    probe = run_probe()
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(probe.amqp_url))) as c:
        c.channel().basic_publish(probe.topology.exchange_name, EVENT_TYPE, b"\x00garbage")
    announce(units, Happened("one", 1))
    eventually(lambda: probe.effects() == [1], what="the effect")
    eventually(lambda: probe.depth(probe.topology.dead_queue) == 1, what="a dead message")


def test_an_event_that_is_too_early_is_parked_and_taken_up_later(
    units: Units, run_probe: Callable[..., Probe]
) -> None:
    arrived = threading.Event()

    def wait(unit: PostgresUnit, event: Event) -> None:
        if not arrived.is_set():
            raise TooEarly(waits_for="the other")
        store_effect(unit, event)

    probe = run_probe(wait)
    announce(units, Happened("one", 1))
    eventually(lambda: probe.waiting("parked_events") == 1, what="a parked event")
    assert probe.effects() == []
    arrived.set()
    eventually(lambda: probe.effects() == [1], what="the effect")
    eventually(lambda: probe.waiting("parked_events") == 0, what="nothing parked")


def test_one_worker_leads_and_another_takes_over(
    units: Units, schema: ProvisionedSchema, run_probe: Callable[..., Probe]
) -> None:
    probe = run_probe()
    run_probe()
    _terminate_relays(schema)
    announce(units, *(Happened(f"a{n}", n) for n in range(5)))
    eventually(lambda: len(probe.effects()) == 5, within_seconds=15, what="five effects")
    assert sorted(probe.effects()) == list(range(5))


def _now() -> datetime:
    return datetime.now(UTC)


def _publish(probe: Probe, event: Event) -> None:
    properties, body = to_properties(event)
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(probe.amqp_url))) as c:
        c.channel().basic_publish(probe.topology.exchange_name, event.type, body, properties)


def _terminate_relays(schema: ProvisionedSchema) -> None:
    admin = psycopg2.connect(schema.admin_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'probe-relay' AND datname = current_database()"
        )
    admin.close()
