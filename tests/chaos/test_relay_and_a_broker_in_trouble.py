"""While its broker has no memory left, dies and comes back, the relay waits and loses nothing."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from structlog.testing import capture_logs

from octoco.database.tables import messaging_tables_v1
from octoco.messaging import publisher
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.messaging.wire import from_properties
from octoco.outbox.relay import Relay
from octoco.outbox.store import PostgresOutboxStore
from octoco.telemetry.metrics import PUBLISHER_BLOCKED, RELAY_LEADER
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco_runner.layout import layout_for
from octoco_runner.processes import end_processes_of
from octoco_runner.server_users import rabbitmq_user

from ..proof.broker import OwnRabbitMQ

EVENT_TYPE = "troubled.thing.happened.v1"
SERVICE = "troubled"
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Ground:
    """A broker of our own, a queue that takes everything, and an outbox."""

    broker: OwnRabbitMQ
    topology: Topology
    url: str

    def announce(self, numbers: range) -> None:
        rows = [
            (f"msg_{n}", EVENT_TYPE, f"thing {n % 3}", datetime.now(UTC), json.dumps({"n": n}))
            for n in numbers
        ]
        with (
            closing(psycopg2.connect(self.url)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.executemany(
                "INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,"
                " correlation_id) VALUES (%s, %s, %s, %s, %s, 'cor')",
                rows,
            )

    def waiting(self) -> int:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM outbox")
            (count,) = cursor.fetchone() or (0,)
            return int(count)

    def arrived(self) -> list[int]:
        with closing(self.broker.connect()) as connection:
            channel = connection.channel()
            numbers = []
            while (found := channel.basic_get(self.topology.queue, auto_ack=True))[0] is not None:
                numbers.append(from_properties(found[1], found[2]).data["n"])
            return numbers


@pytest.fixture
def ground(
    tmp_path_factory: pytest.TempPathFactory,
    provisioned_schema: Callable[..., ProvisionedSchema],
) -> Iterator[Ground]:
    schema = provisioned_schema(SERVICE, None)
    with closing(psycopg2.connect(schema.owner_url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute(messaging_tables_v1(SERVICE))
    state: Path = tmp_path_factory.mktemp("broker") / "state"
    layout = layout_for(state, rabbitmq_user())
    layout.make_folders()
    broker = OwnRabbitMQ(layout)
    try:
        broker.spawn()
        broker.wait_until_ready()
        topology = Topology(SERVICE)
        with closing(broker.connect()) as connection:
            topology.declare(connection.channel(), [EVENT_TYPE])
        yield Ground(broker, topology, schema.service_url)
    finally:
        if broker.is_running:
            broker.kill()
        # The port mapper that the node has started.
        end_processes_of(layout)
        layout.remove()


@contextmanager
def running(ground: Ground) -> Iterator[None]:
    relay = Relay(
        PostgresOutboxStore(url=ground.url, service=SERVICE),
        ConfirmedPublisher(url=ground.broker.url, exchange=ground.topology.exchange_name),
    )
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def in_order(numbers: list[int], thing: int) -> list[int]:
    return list(dict.fromkeys(number for number in numbers if number % 3 == thing))


@pytest.mark.slow
def test_the_relay_waits_out_an_alarm_and_a_broker_that_dies(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "ANSWER_SECONDS", PATIENCE_SECONDS)
    with running(ground), capture_logs() as logs:
        ground.announce(range(10))
        eventually(lambda: ground.waiting() == 0, what="an empty outbox")

        ground.broker.control("set_vm_memory_high_watermark", "absolute", "1")
        ground.announce(range(10, 20))
        eventually(lambda: PUBLISHER_BLOCKED._value.get() == 1, what="the alarm is told")
        told = time.monotonic()
        assert ground.waiting() == 10
        # For longer than it would wait for a broker that blocks nobody.
        eventually(lambda: time.monotonic() > told + 1.5 * PATIENCE_SECONDS, what="a long alarm")
        ground.broker.control("set_vm_memory_high_watermark", "0.6")
        eventually(lambda: ground.waiting() == 0, within_seconds=20, what="an empty outbox")
        assert PUBLISHER_BLOCKED._value.get() == 0
        assert RELAY_LEADER._value.get() == 1
        arrived = ground.arrived()
        assert sorted(arrived) == list(range(20)), "it waited, and sent nothing twice"
        said = [entry["event"] for entry in logs]
        assert said.count("broker_blocks_publishing") == 1
        assert "relay_waits_for_broker" not in said

        ground.broker.kill()
        ground.announce(range(20, 30))
        eventually(lambda: _told_once(logs), within_seconds=20, what="that the broker is away")
        assert ground.waiting() == 10
        ground.broker.spawn()
        ground.broker.wait_until_ready()
        eventually(lambda: ground.waiting() == 0, within_seconds=30, what="an empty outbox")
        arrived += ground.arrived()
    for thing in range(3):
        assert in_order(arrived, thing) == list(range(thing, 30, 3))
    assert _told_once(logs), "an outage is told once, and not at every try"


def _told_once(logs: list[Any]) -> bool:
    return [entry["event"] for entry in logs].count("relay_waits_for_broker") == 1
