"""What comes of messages, from outbox to effect, on whatever broker and database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from octoco.errors import Refusal, TooEarly
from octoco.events import Event
from octoco.inbox.parked import ParkedStore
from octoco.inbox.suspects import SuspectStore
from octoco.messaging.connecting import Connect
from octoco.messaging.consumer import Consumer
from octoco.messaging.deliveries import Delivery, Verdict
from octoco.messaging.failures import history_of
from octoco.messaging.handling import EventHandling, Handler, HandlingDatabase
from octoco.messaging.ports import Fate, Publisher
from octoco.messaging.topology import Topology
from octoco.outbox.ports import OutboxStore
from octoco.ports import MessagingUnit
from octoco.testing.conformance.probe import PROBE_CONTRACTS, Happened, Units, event_of
from octoco.testing.waiting import eventually


@dataclass(frozen=True, slots=True)
class ConsumingGround:
    """What the suite stands on: one service's empty database, and a broker.

    Args:
        units: The service's units of work.
        database: The same.
        parked: Likewise.
        suspects: Likewise.
        outbox: The relay's side of its outbox, which holds the lead.
        connect: To the broker.
        publisher: To the topology's exchange.
        topology: The service's, with retry tiers of a fraction of a second.
    """

    units: Units
    database: HandlingDatabase
    parked: ParkedStore[Any]
    suspects: SuspectStore
    outbox: OutboxStore
    connect: Connect
    publisher: Publisher
    topology: Topology


class _Probe:
    """A service whose effect of an event is a message about it, which is easily counted."""

    def __init__(self, ground: ConsumingGround, handler: Handler[MessagingUnit]) -> None:
        self.ground = ground
        self.handling: EventHandling[MessagingUnit] = EventHandling(
            subscriptions={Happened.TYPE: handler},
            units=ground.units,
            database=ground.database,
            parked=ground.parked,
            suspects=ground.suspects,
            contracts=PROBE_CONTRACTS,
            topology=ground.topology,
        )
        self._channel = ground.connect().channel()
        ground.topology.declare(self._channel, [Happened.TYPE])

    @contextmanager
    def consuming(self) -> Iterator[Consumer[MessagingUnit]]:
        consumer = Consumer(
            connect=self.ground.connect, topology=self.ground.topology, handling=self.handling
        )
        stop = threading.Event()
        running = threading.Thread(target=consumer.run, args=(stop,))
        running.start()
        try:
            yield consumer
        finally:
            stop.set()
            running.join(20)
            assert not running.is_alive()

    def publish(self, *messages: Happened, event_id: str | None = None) -> None:
        events = [event_of(message, event_id=event_id) for message in messages]
        assert set(self.ground.publisher.publish(events)) == {Fate.CONFIRMED}

    def effects(self) -> list[int]:
        stored = self.ground.outbox.read(held_back=(), limit=1000)
        return [one.event.data["n"] for one in stored]

    def wait_for_effects(self, count: int) -> None:
        eventually(lambda: len(self.effects()) >= count, what=f"{count} effects")

    def depth(self, queue: str) -> int:
        declared = self._channel.queue_declare(queue, passive=True)
        return int(declared.method.message_count)

    def wait_for_depth(self, queue: str, depth: int) -> None:
        eventually(lambda: self.depth(queue) == depth, what=f"{depth} messages in {queue}")

    def take(self, queue: str) -> tuple[Any, Any, bytes]:
        """Fetch a message on a connection that is closed without an ack."""
        connection = self.ground.connect()
        found: tuple[Any, Any, bytes] = connection.channel().basic_get(queue)
        connection.close()
        return found

    def handle_and_die(self) -> Verdict:
        """Handle one delivery as a consumer does that dies between commit and ack."""
        connection = self.ground.connect()
        channel = connection.channel()
        got = eventually(
            lambda: _got(channel.basic_get(self.ground.topology.queue)), what="a delivery"
        )
        method, properties, body = got
        delivery = Delivery(method.delivery_tag, properties, body, method.redelivered)
        verdict = self.handling.judge(delivery, threading.Event())
        connection.close()
        return verdict


def store_effect(unit: MessagingUnit, event: Event) -> None:
    """Have an effect: a message with the event's number."""
    unit.outbox.add(Happened("effect", event.data["n"]))


class ConsumingConformance:
    """Subclass it as `Test...`, with a fixture `ground` that returns a `ConsumingGround`."""

    def test_each_event_is_handled_once_and_leaves_the_queue(self, ground: ConsumingGround) -> None:
        probe = _Probe(ground, store_effect)
        probe.publish(*(Happened(f"thing {n % 3}", n) for n in range(12)))
        with probe.consuming():
            probe.wait_for_effects(12)
        assert sorted(probe.effects()) == list(range(12))
        assert probe.depth(ground.topology.queue) == 0

    def test_events_of_an_aggregate_are_handled_in_order(self, ground: ConsumingGround) -> None:
        probe = _Probe(ground, store_effect)
        probe.publish(*(Happened("one", n) for n in range(10)))
        with probe.consuming():
            probe.wait_for_effects(10)
        assert probe.effects() == list(range(10))

    def test_the_same_message_twice_has_one_effect(self, ground: ConsumingGround) -> None:
        probe = _Probe(ground, store_effect)
        for _ in range(2):
            probe.publish(Happened("one", 1), event_id="msg_twice")
        probe.publish(Happened("other", 2))
        with probe.consuming():
            probe.wait_for_effects(2)
        assert sorted(probe.effects()) == [1, 2]
        assert probe.depth(ground.topology.queue) == 0

    def test_a_consumer_that_dies_between_commit_and_ack_leaves_one_effect(
        self, ground: ConsumingGround
    ) -> None:
        probe = _Probe(ground, store_effect)
        probe.publish(Happened("one", 1))
        assert probe.handle_and_die().result == "handled"
        assert probe.effects() == [1]
        probe.wait_for_depth(ground.topology.queue, 1)
        assert probe.handle_and_die().result == "duplicate"
        with probe.consuming():
            probe.wait_for_depth(ground.topology.queue, 0)
        assert probe.effects() == [1]
        assert probe.depth(ground.topology.dead_queue) == 0

    def test_an_effect_before_a_failure_is_undone_and_had_once_by_the_try_that_succeeds(
        self, ground: ConsumingGround
    ) -> None:
        tries: list[str] = []

        def recover(unit: MessagingUnit, event: Event) -> None:
            tries.append(event.id)
            store_effect(unit, event)
            if len(tries) < 3:
                raise ZeroDivisionError

        probe = _Probe(ground, recover)
        probe.publish(Happened("one", 1))
        with probe.consuming():
            probe.wait_for_effects(1)
        assert (len(tries), probe.effects()) == (3, [1])

    def test_what_always_fails_goes_through_every_tier_and_is_dead_with_its_history(
        self, ground: ConsumingGround
    ) -> None:
        def fail(unit: MessagingUnit, event: Event) -> None:
            store_effect(unit, event)
            raise ZeroDivisionError("on purpose")

        probe = _Probe(ground, fail)
        probe.publish(Happened("one", 1))
        with probe.consuming():
            probe.wait_for_depth(ground.topology.dead_queue, 1)
        _, properties, _ = probe.take(ground.topology.dead_queue)
        tiers = len(ground.topology.tier_seconds)
        assert properties.headers["x-octoco-reason"] == "ZeroDivisionError: on purpose"
        assert properties.headers["x-octoco-attempt"] == tiers + 1
        history = history_of(properties.headers)
        assert [entry["attempt"] for entry in history] == list(range(1, tiers + 2))
        assert probe.effects() == []

    def test_what_is_refused_is_dead_at_once(self, ground: ConsumingGround) -> None:
        tries: list[str] = []

        def refuse(_unit: MessagingUnit, event: Event) -> None:
            tries.append(event.id)
            raise Refusal("never")

        probe = _Probe(ground, refuse)
        probe.publish(Happened("one", 1))
        with probe.consuming():
            probe.wait_for_depth(ground.topology.dead_queue, 1)
        assert len(tries) == 1

    def test_garbage_is_dead_at_once_and_keeps_nobody_waiting(
        self, ground: ConsumingGround
    ) -> None:
        probe = _Probe(ground, store_effect)
        channel = ground.connect().channel()
        channel.basic_publish(ground.topology.exchange_name, Happened.TYPE, b"\x00garbage")
        probe.publish(Happened("one", 1))
        with probe.consuming():
            probe.wait_for_effects(1)
            probe.wait_for_depth(ground.topology.dead_queue, 1)

    def test_what_is_too_early_is_parked_and_handled_once_when_it_may_be(
        self, ground: ConsumingGround
    ) -> None:
        arrived = threading.Event()

        def wait(unit: MessagingUnit, event: Event) -> None:
            if not arrived.is_set():
                raise TooEarly(waits_for="the other")
            store_effect(unit, event)

        probe = _Probe(ground, wait)
        probe.publish(Happened("one", 1))
        with probe.consuming() as consumer:
            eventually(lambda: _parked(ground) == 1, what="a parked event")
            assert probe.effects() == []
            arrived.set()
            assert probe.handling.take_up_parked(consumer.move) == 1
        assert (probe.effects(), _parked(ground)) == ([1], 0)
        probe.wait_for_depth(ground.topology.queue, 0)

    def test_a_suspect_that_kills_again_is_set_aside_and_never_kills_a_third_time(
        self, ground: ConsumingGround
    ) -> None:
        class Died(BaseException):
            pass

        def die(_unit: MessagingUnit, _event: Event) -> None:
            raise Died

        probe = _Probe(ground, die)
        probe.publish(Happened("one", 1))
        # Whoever dies of a suspect leaves its mark behind.
        assert ground.suspects.begin(_first_id(probe))
        assert probe.handle_and_die().move_to == ground.topology.retry_queue(0)

    def test_what_is_retried_reaches_nobody_else(self, ground: ConsumingGround) -> None:
        other = replace(ground.topology, service="other")
        channel = ground.connect().channel()
        other.declare(channel, [Happened.TYPE])
        tries: list[str] = []

        def fail_once(unit: MessagingUnit, event: Event) -> None:
            tries.append(event.id)
            if len(tries) == 1:
                raise ZeroDivisionError
            store_effect(unit, event)

        probe = _Probe(ground, fail_once)
        probe.publish(Happened("one", 1))
        with probe.consuming():
            probe.wait_for_effects(1)
        assert probe.depth(other.queue) == 1
        for queue in other.queues:
            channel.queue_delete(queue.name)


def _got(found: tuple[Any, Any, bytes]) -> tuple[Any, Any, bytes] | None:
    return None if found[0] is None else found


def _first_id(probe: _Probe) -> str:
    _, properties, _ = probe.take(probe.ground.topology.queue)
    probe.wait_for_depth(probe.ground.topology.queue, 1)
    return str(properties.message_id)


def _parked(ground: ConsumingGround) -> int:
    return ground.parked.measure(overdue_seconds=60).count
