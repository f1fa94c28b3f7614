"""The consumer in memory: what is odd about one delivery is settled, and the others go on."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from octoco.clock import SystemClock
from octoco.events import Event
from octoco.messaging import consumer as consumer_module
from octoco.messaging.consumer import FRUITLESS_MAX, Consumer, HandlerEnded
from octoco.messaging.deliveries import Delivery, Verdict
from octoco.messaging.failures import copy_properties
from octoco.messaging.handling import EventHandling
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.ports import MessagingUnit
from octoco.testing import FakeUnit, FakeUnitsOfWork, eventually
from octoco.testing.conformance import PROBE_CONTRACTS
from octoco.testing.conformance.probe import Happened, Unheard, event_of
from octoco.testing.memory_broker import MemoryBroker
from octoco.testing.memory_stores import MemoryDatabase, MemoryParkedStore, MemorySuspectStore

TOPOLOGY = Topology("probe")
Handlers = Mapping[str, Callable[[MessagingUnit, Event], Any]]


def handling_with(handlers: Handlers) -> EventHandling[Any]:
    return EventHandling(
        subscriptions=handlers,
        units=FakeUnitsOfWork(FakeUnit(contracts=PROBE_CONTRACTS)),
        database=MemoryDatabase(),
        parked=MemoryParkedStore(),
        suspects=MemorySuspectStore(),
        contracts=PROBE_CONTRACTS,
        topology=TOPOLOGY,
    )


def delivery_of(event: Event, **headers: object) -> Delivery:
    properties, body = to_properties(event)
    properties.headers = dict(properties.headers or {}) | headers
    return Delivery(1, properties, body)


class Consuming:
    """A consumer with one thread on a broker of its own."""

    def __init__(self, handler: Callable[[int], object]) -> None:
        self.broker = MemoryBroker(clock=SystemClock())
        self.connections: list[Any] = []
        self.fetched_at_once: list[int] = []
        self.ended_with: list[BaseException] = []
        self._stop = threading.Event()
        TOPOLOGY.declare(self.broker.connect().channel(), [Happened.TYPE])
        self._consumer = Consumer(
            connect=self._connect,
            topology=TOPOLOGY,
            handling=handling_with({Happened.TYPE: lambda _, event: handler(event.data["n"])}),
            settings=EventSettings(threads=1, prefetch=8),
        )

    def send(self, *numbers: int) -> None:
        channel = self.broker.connect().channel()
        for number in numbers:
            properties, body = to_properties(event_of(Happened(f"thing {number}", number)))
            channel.basic_publish("", TOPOLOGY.queue, body, properties)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(20)
            assert not thread.is_alive()

    def _run(self) -> None:
        try:
            self._consumer.run(self._stop)
        except HandlerEnded as error:
            self.ended_with.append(error)

    def _connect(self) -> Any:
        made = self.broker.connect()
        make_channel = made.channel

        def channel() -> Any:
            one = make_channel()
            limit = one.basic_qos

            def basic_qos(prefetch_count: int = 0, **_: object) -> None:
                self.fetched_at_once.append(prefetch_count)
                limit(prefetch_count)

            one.basic_qos = basic_qos  # type: ignore[method-assign]
            return one

        made.channel = channel  # type: ignore[method-assign]
        self.connections.append(made)
        return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect again at once."""
    monkeypatch.setattr(consumer_module, "RECONNECT_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
def test_after_connections_that_broke_before_any_ack_one_at_a_time_is_fetched_until_it_is() -> None:
    handled: list[int] = []
    it = Consuming(handled.append)
    with it.running():
        for broken in range(FRUITLESS_MAX):
            eventually(lambda n=broken: len(it.fetched_at_once) > n, what="a consumer")  # type: ignore[misc]
            it.connections[-1].drop()
        eventually(lambda: len(it.fetched_at_once) > FRUITLESS_MAX, what="a careful consumer")
        assert it.fetched_at_once == [8] * FRUITLESS_MAX + [1]
        it.send(1)
        eventually(lambda: it.fetched_at_once[FRUITLESS_MAX:] == [1, 8], what="more at once")
        it.send(2, 3)
        eventually(lambda: handled == [1, 2, 3], what="the others")
    assert len(it.connections) == FRUITLESS_MAX + 1


def test_a_delivery_that_cannot_be_settled_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def copy(delivery: Delivery, verdict: Verdict) -> Any:
        if "bug" in verdict.reason:
            raise RecursionError
        return copy_properties(delivery, verdict)

    handled: list[int] = []

    def handle(number: int) -> None:
        if number == 1:
            raise ArithmeticError("bug")
        handled.append(number)

    monkeypatch.setattr(consumer_module, "copy_properties", copy)
    it = Consuming(handle)
    it.send(1, 2, 3)
    with it.running():
        eventually(lambda: handled == [2, 3], what="the others")


def test_a_handler_that_ends_its_thread_ends_the_worker_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def leave(_: int) -> None:
        raise SystemExit

    it = Consuming(leave)
    it.send(1)
    with it.running():
        eventually(lambda: it.ended_with, what="the end")


@pytest.mark.parametrize("event_type", [Unheard.TYPE, "of.a.newer.version.v1"])
def test_what_nobody_here_listens_to_yet_takes_the_retry_tiers_before_it_is_dead(
    event_type: str,
) -> None:
    handling = handling_with({Happened.TYPE: lambda _, __: None})
    properties, body = to_properties(event_of(Happened("thing", 1)))
    properties.headers = dict(properties.headers or {}) | {"cloudEvents_type": event_type}
    went_to = []
    for made in range(len(TOPOLOGY.retry_queues) + 1):
        properties.headers["x-octoco-attempt"] = made
        verdict = handling.judge(Delivery(1, properties, body), threading.Event())
        assert verdict.reason == f"nobody here listens to {event_type}"
        went_to.append(verdict.move_to)
    assert went_to == [*TOPOLOGY.retry_queues, TOPOLOGY.dead_queue]


def test_a_stack_shows_the_database_s_complaint_without_the_row_that_it_quotes() -> None:
    def break_a_rule(_: MessagingUnit, __: Event) -> None:
        complaint = (
            "null value in column violates a constraint\n"
            "DETAIL:  Failing row contains (ann@example.com, 1 Long\n\nStreet).\n"
        )
        try:
            raise LookupError(complaint)
        except LookupError as error:
            raise ArithmeticError(f"{complaint}\n[SQL: INSERT INTO people]") from error

    handling = handling_with({Happened.TYPE: break_a_rule})
    stack = handling.judge(delivery_of(event_of(Happened("thing", 1))), threading.Event()).stack
    assert "ann@" not in stack
    assert "Street" not in stack
    assert stack.count("null value in column violates a constraint") == 2
    assert "[SQL: INSERT INTO people]" in stack
    assert "break_a_rule" in stack
