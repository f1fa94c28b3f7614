"""The consumer: each event handled once, acked after its commit, retried in tiers, never lost."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

import pika
import pika.exceptions
import structlog

from octoco.database.units import PostgresUnit
from octoco.messaging.deliveries import (
    ATTEMPT_HEADER,
    BATCH_SIZE,
    Delivery,
    Hand,
    ReadyDeliveries,
    Settle,
    Verdict,
)
from octoco.messaging.handling import RECONNECT_SECONDS, EventHandling
from octoco.messaging.topology import Topology
from octoco.messaging.wire import PERSISTENT

U = TypeVar("U", bound=PostgresUnit)

REASON_HEADER: Final = "x-octoco-reason"
STACK_HEADER: Final = "x-octoco-stack"
FAILED_AT_HEADER: Final = "x-octoco-failed-at"
POLL_SECONDS: Final = 0.2


class Consumer(Generic[U]):
    """Takes deliveries from the service's queue and acks each after its verdict is carried out.

    One thread owns the connection, so heartbeats go on however long a handler takes; handlers
    run in threads of their own.

    Args:
        url: AMQP URL.
        topology: Declared at each connection.
        handling: What to do with a delivery.
        threads: Deliveries handled at once; twice as many are fetched ahead.
        batch_size: Most deliveries handled together, of the types that may be; as many again are
            fetched ahead while they are.
    """

    def __init__(
        self,
        *,
        url: str,
        topology: Topology,
        handling: EventHandling[U],
        threads: int = 4,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._parameters = pika.URLParameters(url)
        self._topology = topology
        self._handling = handling
        self._threads = threads
        self._prefetch = 2 * max(threads, batch_size if handling.batch_types else 0)
        self._ready = ReadyDeliveries(batch_types=handling.batch_types, batch_size=batch_size)
        self._connected = threading.Event()
        self._log = structlog.get_logger("octoco.consumer")

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set; what is in hand is finished and acked first."""
        handlers = [
            threading.Thread(target=self._handle_all, args=(stop,), name=f"handler-{number}")
            for number in range(self._threads)
        ]
        for handler in handlers:
            handler.start()
        while not stop.is_set():
            try:
                self._consume(stop, handlers)
            except pika.exceptions.AMQPError as error:
                self._log.warning("consumer_lost_broker", error=type(error).__name__)
            except OSError as error:
                self._log.warning("consumer_lost_broker", error=type(error).__name__)
            finally:
                self._connected.clear()
                self._ready.forget()
            stop.wait(RECONNECT_SECONDS)
        self._ready.end()
        for handler in handlers:
            handler.join()

    def _consume(self, stop: threading.Event, handlers: list[threading.Thread]) -> None:
        connection = pika.BlockingConnection(self._parameters)
        try:
            channel = connection.channel()
            self._topology.declare(channel, self._handling.event_types)
            channel.confirm_delivery()
            channel.basic_qos(prefetch_count=self._prefetch)
            # A queue that is deleted or loses its leader ends the consumer, and only says so here.
            lost_queue = threading.Event()
            channel.add_on_cancel_callback(lambda _: lost_queue.set())
            channel.basic_consume(
                self._topology.queue,
                partial(self._on_delivery, partial(self._settle_soon, connection, channel)),
                auto_ack=False,
            )
            self._connected.set()
            self._log.info("consuming", queue=self._topology.queue)
            while not stop.is_set():
                connection.process_data_events(time_limit=POLL_SECONDS)
                if lost_queue.is_set():
                    raise pika.exceptions.ConsumerCancelled
            self._finish_in_hand(connection, handlers)
        finally:
            if connection.is_open:
                connection.close()

    def _finish_in_hand(self, connection: Any, handlers: list[threading.Thread]) -> None:
        self._ready.end()
        while any(handler.is_alive() for handler in handlers):
            connection.process_data_events(time_limit=POLL_SECONDS)
        connection.process_data_events(time_limit=0)

    def _on_delivery(
        self,
        settle: Settle,
        channel: Any,  # noqa: ARG002 - `settle` has it
        method: Any,
        properties: Any,
        body: bytes,
    ) -> None:
        delivery = Delivery(method.delivery_tag, properties, body, method.redelivered)
        self._ready.put(settle, delivery)

    def _handle_all(self, stop: threading.Event) -> None:
        is_over = False
        while not is_over:
            with self._ready.take() as hand:
                if hand is None:
                    is_over = True
                # What is not begun the broker gives to whoever comes next.
                elif not stop.is_set():
                    self._handle(hand, stop)

    def _handle(self, hand: Hand, stop: threading.Event) -> None:
        def top_up() -> Sequence[Delivery]:
            self._ready.top_up(hand)
            return hand.deliveries

        if len(hand.deliveries) > 1:
            verdicts = self._handling.judge_all(hand.deliveries, stop, top_up)
        else:
            verdicts = [self._handling.judge(hand.deliveries[0], stop)]
        hand.settle(list(zip(hand.deliveries, verdicts, strict=True)))

    def _settle_soon(
        self, connection: Any, channel: Any, judged: Sequence[tuple[Delivery, Verdict]]
    ) -> None:
        try:
            connection.add_callback_threadsafe(partial(_settle_all, channel, judged))
        except pika.exceptions.ConnectionWrongStateError:
            # Unacked, so they come again; the inbox knows what was done already.
            ids = [delivery.properties.message_id for delivery, _ in judged]
            self._log.warning("deliveries_come_again", message_ids=ids)


def _settle_all(channel: Any, judged: Sequence[tuple[Delivery, Verdict]]) -> None:
    for delivery, verdict in judged:
        _settle(channel, delivery, verdict)


def _settle(channel: Any, delivery: Delivery, verdict: Verdict) -> None:
    if not channel.is_open or verdict.result == "stopping":
        return
    if verdict.move_to is not None:
        # The copy is confirmed before the original is acked: at worst there are two.
        channel.basic_publish(
            "", verdict.move_to, delivery.body, _moved(delivery, verdict), mandatory=True
        )
    channel.basic_ack(delivery.tag)


def _moved(delivery: Delivery, verdict: Verdict) -> pika.BasicProperties:
    original = delivery.properties
    headers = dict(original.headers or {})
    headers |= {
        ATTEMPT_HEADER: delivery.attempt,
        REASON_HEADER: verdict.reason[:500],
        FAILED_AT_HEADER: datetime.now(UTC).isoformat(),
    }
    if verdict.stack:
        headers[STACK_HEADER] = verdict.stack
    return pika.BasicProperties(
        content_type=original.content_type,
        delivery_mode=PERSISTENT,
        message_id=original.message_id,
        correlation_id=original.correlation_id,
        type=original.type,
        headers=headers,
    )
