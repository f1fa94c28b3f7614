"""While its broker has no memory left, the consumer goes on but for copies of what failed."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from octoco.errors import Refusal
from octoco.events import Event
from octoco.messaging.connecting import connecting_to
from octoco.messaging.consumer import Consumer
from octoco.messaging.handling import EventHandling
from octoco.messaging.probes import probe
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.ports import MessagingUnit
from octoco.testing import FakeUnit, FakeUnitsOfWork, eventually
from octoco.testing.conformance.probe import PROBE_CONTRACTS, Happened, event_of
from octoco.testing.memory_stores import MemoryDatabase, MemoryParkedStore, MemorySuspectStore
from octoco_runner.layout import layout_for
from octoco_runner.processes import end_processes_of
from octoco_runner.server_users import rabbitmq_user

from ..proof.broker import OwnRabbitMQ

REFUSED = 0
# Far more than are fetched ahead, so that none comes through unless acks do.
PREFETCH = 4
OTHERS = range(1, 31)


class Handler:
    """Refuses one event and counts the others, once it is let."""

    def __init__(self) -> None:
        self.may_begin = threading.Event()
        self.begun = threading.Event()
        self.handled: list[int] = []

    def __call__(self, _unit: MessagingUnit, event: Event) -> None:
        self.begun.set()
        assert self.may_begin.wait(60)
        number = event.data["n"]
        if number == REFUSED:
            raise Refusal("never")
        self.handled.append(number)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OwnRabbitMQ]:
    layout = layout_for(tmp_path / "state", rabbitmq_user())
    layout.make_folders()
    own = OwnRabbitMQ(layout)
    try:
        own.spawn()
        own.wait_until_ready()
        yield own
    finally:
        if own.is_running:
            own.kill()
        # The port mapper that the node has started.
        end_processes_of(layout)
        layout.remove()


@contextmanager
def consuming(url: str, topology: Topology, handler: Handler) -> Iterator[None]:
    settings = EventSettings(threads=1, prefetch=PREFETCH)
    handling: EventHandling[MessagingUnit] = EventHandling(
        subscriptions={Happened.TYPE: handler},
        units=FakeUnitsOfWork[MessagingUnit](FakeUnit(contracts=PROBE_CONTRACTS)),
        database=MemoryDatabase(),
        parked=MemoryParkedStore(),
        suspects=MemorySuspectStore(),
        contracts=PROBE_CONTRACTS,
        topology=topology,
        settings=settings,
    )
    consumer = Consumer(
        connect=connecting_to(url), topology=topology, handling=handling, settings=settings
    )
    stop = threading.Event()
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def send(broker: OwnRabbitMQ, topology: Topology, *numbers: int) -> None:
    with closing(broker.connect()) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        topology.declare(channel, [Happened.TYPE])
        for number in numbers:
            properties, body = to_properties(event_of(Happened(f"thing {number}", number)))
            channel.basic_publish("", topology.queue, body, properties, mandatory=True)
        channel.basic_publish("", topology.queue, b"", probe(1, reply_to="nobody"), mandatory=True)


def depth(broker: OwnRabbitMQ, queue: str) -> int:
    with closing(broker.connect()) as connection:
        declared = connection.channel().queue_declare(queue, passive=True)
        return int(declared.method.message_count)


def copies_waiting() -> float:
    return REGISTRY.get_sample_value("octoco_event_moves_waiting") or 0.0


@pytest.mark.slow
def test_an_alarm_stops_copies_of_what_failed_and_nothing_else(broker: OwnRabbitMQ) -> None:
    topology, handler = Topology("troubled"), Handler()
    # Between the two lies a probe, which is fetched during the alarm; acks must go on after it.
    send(broker, topology, REFUSED, *OTHERS[:10])
    send(broker, topology, *OTHERS[10:])
    with consuming(broker.url, topology, handler):
        assert handler.begun.wait(30)
        broker.control("set_vm_memory_high_watermark", "absolute", "1")
        handler.may_begin.set()
        eventually(lambda: sorted(handler.handled) == list(OTHERS), what="all others")
        assert copies_waiting() == 1
        broker.control("set_vm_memory_high_watermark", "0.6")
        eventually(lambda: copies_waiting() == 0, within_seconds=20, what="the copy's confirm")
        assert depth(broker, topology.dead_queue) == 1
    assert sorted(handler.handled) == list(OTHERS)
    assert depth(broker, topology.queue) == 0
