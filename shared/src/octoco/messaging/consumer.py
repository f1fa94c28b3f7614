"""The consumer: each event handled once, acked after its commit, retried in tiers, never lost."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

import pika
import pika.exceptions
import structlog

from octoco.messaging.connecting import Connect
from octoco.messaging.deliveries import Delivery, Hand, ReadyDeliveries, Source, Verdict
from octoco.messaging.failures import copy_properties
from octoco.messaging.handling import RECONNECT_SECONDS, EventHandling
from octoco.messaging.mover import Copy, Mover
from octoco.messaging.probes import ProbeAnswers
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.messaging.watch import Overdue
from octoco.ports import MessagingUnit

U = TypeVar("U", bound=MessagingUnit)

POLL_SECONDS: Final = 0.2
# What is in hand while the database is away is given back after this long: the broker would end
# the channel after half an hour, and another worker may have a way to the database.
AWAY_SECONDS_MAX: Final = 30.0
# For what others have in hand when one handler hangs, and for copies when all is to stop.
FINISH_SECONDS: Final = 5.0
# After as many connections that broke before anything was acked, one delivery is fetched at a
# time: if it is a delivery that breaks them, it alone is counted by the broker, and dies alone.
FRUITLESS_MAX: Final = 3


class HandlerHung(RuntimeError):
    """A handler does not return; the process has to end, for a thread cannot be ended."""


class HandlerEnded(RuntimeError):
    """A thread that handles is no more; what it had in hand is settled by nobody."""


class _DatabaseAway(Exception):
    """What is in hand has been waiting for the database for too long."""


class Consumer(Generic[U]):
    """Takes deliveries from the service's queue and acks each after its verdict is carried out.

    One thread owns the connection and does nothing else, so heartbeats go on however long a
    handler takes; handlers run in threads of their own. What failed is copied to its next queue
    on another connection, and acked when the copy is confirmed; probes are answered on one more.

    Args:
        connect: Makes a connection to the broker.
        topology: Declared at each connection.
        handling: What to do with a delivery.
        settings: How many at once.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        topology: Topology,
        handling: EventHandling[U],
        settings: EventSettings | None = None,
    ) -> None:
        settings = settings or EventSettings()
        self._connect = connect
        self._topology = topology
        self._handling = handling
        self._threads = settings.threads
        self._prefetch = settings.prefetch_count(has_batches=bool(handling.batch_types))
        self._ready = ReadyDeliveries(
            batch_types=handling.batch_types, batch_size=settings.batch_size
        )
        self._mover = Mover(connect=connect, topology=topology)
        self._probes = ProbeAnswers(connect=connect, service=topology.service, queue=topology.queue)
        self._fruitless = 0
        self._connected = threading.Event()
        self._log = structlog.get_logger("octoco.consumer")

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    def move(self, queue: str, properties: pika.BasicProperties, body: bytes) -> None:
        """See `Mover.move`; works while the consumer runs."""
        self._mover.move(queue, properties, body)

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set; what is in hand is finished and acked first.

        Raises:
            HandlerHung: a handler has not returned in time; what the others had in hand is done.
            HandlerEnded: a handler has ended its thread.
        """
        # They end with the process whatever they hang at: what they hold comes again.
        mover = threading.Thread(target=self._mover.run, name="mover", daemon=True)
        probes = threading.Thread(target=self._probes.run, name="probes", daemon=True)
        handlers = [
            threading.Thread(target=self._handle_all, name=f"handler-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for thread in (mover, probes, *handlers):
            thread.start()
        try:
            while not stop.is_set():
                try:
                    self._consume(stop, handlers)
                except _DatabaseAway:
                    self._log.warning("deliveries_given_back", reason="the database is away")
                    self._handling.wait_for_database(stop)
                except (pika.exceptions.AMQPError, OSError) as error:
                    self._log.warning("consumer_lost_broker", error=type(error).__name__)
                self._require_none_hung()
                stop.wait(RECONNECT_SECONDS)
            self._ready.end()
            self._wait_for(handlers, partial(time.sleep, POLL_SECONDS))
        finally:
            self._ready.end()
            self._mover.end()
            self._probes.end()
            mover.join(FINISH_SECONDS)
            probes.join(FINISH_SECONDS)

    def _consume(self, stop: threading.Event, handlers: Sequence[threading.Thread]) -> None:
        connection = self._connect()
        ended, lost = threading.Event(), threading.Event()
        try:
            channel = connection.channel()
            self._topology.declare(channel, self._handling.event_types)
            # A queue that is deleted or loses its leader ends the consumer, and only says so here.
            lost_queue = threading.Event()
            channel.add_on_cancel_callback(lambda _: lost_queue.set())
            source = Source(partial(self._settle_soon, connection, channel, lost), ended)
            is_careful = self._fruitless >= FRUITLESS_MAX
            self._fruitless += 1
            consumer_tag = self._fetch(channel, source, 1 if is_careful else self._prefetch)
            self._connected.set()
            self._log.info("consuming", queue=self._topology.queue)
            while not stop.is_set():
                connection.process_data_events(time_limit=POLL_SECONDS)
                if lost_queue.is_set():
                    raise pika.exceptions.ConsumerCancelled
                if is_careful and not self._fruitless:
                    is_careful = False
                    channel.basic_cancel(consumer_tag)
                    self._fetch(channel, source, self._prefetch)
                if not all(handler.is_alive() for handler in handlers):
                    raise HandlerEnded
                if self._handling.away_seconds() > AWAY_SECONDS_MAX:
                    raise _DatabaseAway
                if self._handling.overdue():
                    break
            # Nobody who waits for the database is waited for.
            ended.set()
            hung = self._handling.overdue()
            self._finish_in_hand(connection, handlers)
            self._require_none_hung(hung)
        finally:
            self._connected.clear()
            ended.set()
            lost.set()
            self._ready.forget()
            if connection.is_open:
                connection.close()

    def _fetch(self, channel: Any, source: Source, most: int) -> Any:
        channel.basic_qos(prefetch_count=most)
        return channel.basic_consume(
            self._topology.queue, partial(self._on_delivery, source), auto_ack=False
        )

    def _finish_in_hand(self, connection: Any, handlers: Sequence[threading.Thread]) -> None:
        self._ready.end()
        self._wait_for(handlers, partial(connection.process_data_events, time_limit=POLL_SECONDS))
        until = time.monotonic() + FINISH_SECONDS
        while not self._mover.is_idle and time.monotonic() < until:
            connection.process_data_events(time_limit=POLL_SECONDS)
        connection.process_data_events(time_limit=0)

    def _wait_for(
        self, handlers: Sequence[threading.Thread], meanwhile: Callable[[], object]
    ) -> None:
        """Wait until the handlers have ended; once one of them hangs, a few seconds more."""
        until = None
        while any(handler.is_alive() for handler in handlers):
            if until is None and self._handling.overdue():
                until = time.monotonic() + FINISH_SECONDS
            if until is not None and time.monotonic() > until:
                return
            meanwhile()

    def _require_none_hung(self, known: Sequence[Overdue] = ()) -> None:
        hung = known or self._handling.overdue()
        for one in hung:
            self._log.error("handler_hung", what=one.what, seconds=one.seconds, stack=one.stack)
        if hung:
            raise HandlerHung(f"{hung[0].what} has not returned for {hung[0].seconds:.0f} s")

    def _on_delivery(
        self,
        source: Source,
        channel: Any,
        method: Any,
        properties: Any,
        body: bytes,
    ) -> None:
        if self._probes.take(properties):
            channel.basic_ack(method.delivery_tag)
            return
        delivery = Delivery(method.delivery_tag, properties, body, method.redelivered)
        self._ready.put(source, delivery)

    def _handle_all(self) -> None:
        is_over = False
        while not is_over:
            with self._ready.take() as hand:
                if hand is None:
                    is_over = True
                # What is not begun the broker gives to whoever comes next.
                elif not hand.source.ended.is_set():
                    try:
                        self._handle(hand)
                    except Exception:  # noqa: BLE001 - one hand must not end its thread
                        # Unacked, so they come again when the connection has ended.
                        ids = [delivery.key for delivery in hand.deliveries]
                        self._log.exception("deliveries_not_settled", message_ids=ids)

    def _handle(self, hand: Hand) -> None:
        def top_up() -> Sequence[Delivery]:
            self._ready.top_up(hand)
            return hand.deliveries

        source = hand.source
        if len(hand.deliveries) > 1:
            for judged in self._handling.judge_all(hand.deliveries, source.ended, top_up):
                source.settle(judged)
        else:
            delivery = hand.deliveries[0]
            source.settle([(delivery, self._handling.judge(delivery, source.ended))])

    def _settle_soon(
        self,
        connection: Any,
        channel: Any,
        lost: threading.Event,
        judged: Sequence[tuple[Delivery, Verdict]],
    ) -> None:
        done = [delivery for delivery, verdict in judged if verdict.is_done]
        self._ack_soon(connection, channel, done)
        for delivery, verdict in judged:
            if verdict.move_to is not None:
                # The copy is confirmed before the original is acked: at worst there are two.
                self._mover.submit(
                    Copy(
                        verdict.move_to,
                        copy_properties(delivery, verdict),
                        delivery.body,
                        on_confirmed=partial(self._ack_soon, connection, channel, [delivery]),
                        is_wanted=lambda: not lost.is_set(),
                    )
                )

    def _ack_soon(self, connection: Any, channel: Any, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        try:
            connection.add_callback_threadsafe(partial(self._ack_all, channel, deliveries))
        except pika.exceptions.ConnectionWrongStateError:
            # Unacked, so they come again; the inbox knows what was done already.
            ids = [delivery.properties.message_id for delivery in deliveries]
            self._log.warning("deliveries_come_again", message_ids=ids)

    def _ack_all(self, channel: Any, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if channel.is_open:
                channel.basic_ack(delivery.tag)
                self._fruitless = 0
