"""The consumer: each event handled once, acked after its commit, retried in tiers, never lost."""

import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

import pika
import pika.exceptions
import structlog

from octoco.context import WorkContext, new_traceparent, work_context
from octoco.database.engine import Database
from octoco.database.units import PostgresUnit
from octoco.errors import Refusal, TooEarly, Unavailable
from octoco.events import Event
from octoco.inbox.parked import ParkedEvents
from octoco.messaging.contracts import Contracts, ContractViolation
from octoco.messaging.topology import Topology
from octoco.messaging.wire import PERSISTENT, MalformedMessage, from_properties
from octoco.ports import UnitsOfWork
from octoco.telemetry.metrics import EVENT_SECONDS, EVENTS_HANDLED

U = TypeVar("U", bound=PostgresUnit)
Handler = Callable[[U, Event], None]

ATTEMPT_HEADER: Final = "x-octoco-attempt"
REASON_HEADER: Final = "x-octoco-reason"
STACK_HEADER: Final = "x-octoco-stack"
FAILED_AT_HEADER: Final = "x-octoco-failed-at"
STACK_CHARACTERS: Final = 4000
RECONNECT_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message in hand."""

    tag: int
    properties: Any
    body: bytes

    @property
    def attempt(self) -> int:
        """Which try this is, from 1; a header that is no number counts as none."""
        made = (self.properties.headers or {}).get(ATTEMPT_HEADER)
        return made + 1 if isinstance(made, int) and made >= 0 else 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a delivery: acked, or first published to a queue of ours."""

    result: str
    move_to: str | None = None
    reason: str = ""
    stack: str = ""


class EventHandling(Generic[U]):
    """Decides what becomes of one delivery; knows nothing of connections.

    Args:
        subscriptions: A handler for each event type.
        units: The service's units of work.
        database: Asked, when something was unavailable, whether it is that.
        contracts: Bodies are checked against them before a handler sees them.
        topology: Names the retry and dead queues.
    """

    def __init__(
        self,
        *,
        subscriptions: Mapping[str, Handler[U]],
        units: UnitsOfWork[U],
        database: Database,
        contracts: Contracts,
        topology: Topology,
    ) -> None:
        self._subscriptions = subscriptions
        self._units = units
        self._database = database
        self._contracts = contracts
        self._topology = topology
        self.parked: ParkedEvents[U] = ParkedEvents(
            database=database, units=units, handle=self.handle_in
        )
        self._log = structlog.get_logger("octoco.consumer")

    @property
    def event_types(self) -> tuple[str, ...]:
        return tuple(self._subscriptions)

    def handle_in(self, unit: U, event: Event) -> bool:
        """Handle an event inside an open unit, unless the inbox knows it.

        Returns:
            False for a duplicate, which has no effect.
        """
        if not unit.inbox.record(event.id):
            return False
        self._subscriptions[event.type](unit, event)
        return True

    def judge(self, delivery: Delivery, stop: threading.Event) -> Verdict:
        """Handle a delivery and say what is to become of it.

        Args:
            delivery: As it came.
            stop: Ends waiting for a database that is away.
        """
        try:
            event = from_properties(delivery.properties, delivery.body)
            self._contracts.check(event.type, event.data)
        except (MalformedMessage, ContractViolation) as error:
            return self._dead(str(error))
        if event.type not in self._subscriptions:
            return self._dead(f"nobody here listens to {event.type}")
        context = WorkContext(
            correlation_id=event.correlation_id,
            causation_id=event.id,
            traceparent=event.traceparent or new_traceparent(),
        )
        began = time.perf_counter()
        with work_context(context):
            verdict = self._try(event, delivery, stop)
        EVENT_SECONDS.labels(event_type=event.type).observe(time.perf_counter() - began)
        EVENTS_HANDLED.labels(event_type=event.type, result=verdict.result).inc()
        return verdict

    def _try(self, event: Event, delivery: Delivery, stop: threading.Event) -> Verdict:
        log = self._log.bind(event_id=event.id, event_type=event.type, attempt=delivery.attempt)
        try:
            first_time = self._units.run(lambda unit: self.handle_in(unit, event))
        except TooEarly as early:
            try:
                self.parked.park(event, waits_for=early.waits_for)
            except Unavailable as error:
                return self._wait_and_retry(delivery, error, stop)
            log.info("event_parked", waits_for=early.waits_for)
            return Verdict("parked")
        except Refusal as refusal:
            log.error("event_refused", code=refusal.code)  # noqa: TRY400 - no stack for a refusal
            return self._dead(f"{refusal.code}: {refusal.message}")
        except Unavailable as error:
            log.warning("event_postponed", code=error.code)
            return self._wait_and_retry(delivery, error, stop)
        except Exception as error:
            log.exception("event_failed")
            return self.retry_or_die(delivery, error)
        log.info("event_handled", duplicate=not first_time)
        return Verdict("handled" if first_time else "duplicate")

    def _wait_and_retry(
        self, delivery: Delivery, error: Unavailable, stop: threading.Event
    ) -> Verdict:
        # While the database is away nothing can be handled: holding the delivery here pauses
        # consuming, where moving it on would only use up its tries.
        while not stop.is_set():
            try:
                self._database.check()
                break
            except Unavailable:
                stop.wait(RECONNECT_SECONDS)
        else:
            return Verdict("stopping", move_to=None, reason="stopping")
        return self.retry_or_die(delivery, error)

    def retry_or_die(self, delivery: Delivery, error: Exception) -> Verdict:
        """Send a delivery to the next retry tier, or after the last one to the dead queue."""
        tiers = self._topology.retry_queues
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if delivery.attempt > len(tiers):
            return self._dead(reason, error)
        return Verdict("retried", move_to=tiers[delivery.attempt - 1], reason=reason)

    def _dead(self, reason: str, error: Exception | None = None) -> Verdict:
        stack = "".join(traceback.format_exception(error))[-STACK_CHARACTERS:] if error else ""
        return Verdict("dead", move_to=self._topology.dead_queue, reason=reason, stack=stack)


class Consumer(Generic[U]):
    """Takes deliveries from the service's queue and acks each after its verdict is carried out.

    One thread owns the connection, so heartbeats go on however long a handler takes; handlers
    run in threads of their own.

    Args:
        url: AMQP URL.
        topology: Declared at each connection.
        handling: What to do with a delivery.
        threads: Deliveries handled at once; twice as many are fetched ahead.
    """

    def __init__(
        self, *, url: str, topology: Topology, handling: EventHandling[U], threads: int = 4
    ) -> None:
        self._parameters = pika.URLParameters(url)
        self._topology = topology
        self._handling = handling
        self._threads = threads
        self._deliveries: queue.SimpleQueue[tuple[Any, Delivery] | None] = queue.SimpleQueue()
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
            stop.wait(RECONNECT_SECONDS)
        for _ in handlers:
            self._deliveries.put(None)
        for handler in handlers:
            handler.join()

    def _consume(self, stop: threading.Event, handlers: list[threading.Thread]) -> None:
        connection = pika.BlockingConnection(self._parameters)
        try:
            channel = connection.channel()
            self._topology.declare(channel, self._handling.event_types)
            channel.confirm_delivery()
            channel.basic_qos(prefetch_count=self._threads * 2)
            # A queue that is deleted or loses its leader ends the consumer, and only says so here.
            lost_queue = threading.Event()
            channel.add_on_cancel_callback(lambda _: lost_queue.set())
            channel.basic_consume(
                self._topology.queue, partial(self._on_delivery, connection), auto_ack=False
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
        for _ in handlers:
            self._deliveries.put(None)
        while any(handler.is_alive() for handler in handlers):
            connection.process_data_events(time_limit=POLL_SECONDS)
        connection.process_data_events(time_limit=0)

    def _on_delivery(
        self, connection: Any, channel: Any, method: Any, properties: Any, body: bytes
    ) -> None:
        settle = partial(self._settle_soon, connection, channel)
        self._deliveries.put((settle, Delivery(method.delivery_tag, properties, body)))

    def _handle_all(self, stop: threading.Event) -> None:
        while (item := self._deliveries.get()) is not None:
            settle, delivery = item
            if stop.is_set():
                # Not begun: the broker gives it to whoever comes next.
                continue
            try:
                verdict = self._handling.judge(delivery, stop)
            except Exception as error:  # noqa: BLE001 - a thread that ends would be missed by nobody
                self._log.exception("delivery_not_judged")
                verdict = self._handling.retry_or_die(delivery, error)
            settle(delivery, verdict)

    def _settle_soon(
        self, connection: Any, channel: Any, delivery: Delivery, verdict: Verdict
    ) -> None:
        try:
            connection.add_callback_threadsafe(partial(_settle, channel, delivery, verdict))
        except pika.exceptions.ConnectionWrongStateError:
            # Unacked, so it comes again; the inbox knows what was done already.
            self._log.warning("delivery_comes_again", message_id=delivery.properties.message_id)


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
