"""What becomes of deliveries: handled once, alone or together, tried again, parked, or dead."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Generic, Protocol, TypeVar

import structlog

from octoco.context import context_of, work_context
from octoco.errors import Refusal, TooEarly, Unavailable
from octoco.events import Event
from octoco.inbox.parked import ParkedEvents, ParkedStore
from octoco.messaging.contracts import Contracts, ContractViolation
from octoco.messaging.deliveries import Delivery, Verdict
from octoco.messaging.steps import note_result, step_of_handling, steps_of_batch
from octoco.messaging.topology import Topology
from octoco.messaging.wire import MalformedMessage, from_properties
from octoco.ports import MessagingUnit, UnitsOfWork
from octoco.telemetry.metrics import (
    EVENT_BATCH_FALLBACKS,
    EVENT_BATCH_SIZE,
    EVENT_SECONDS,
    EVENTS_HANDLED,
)

U = TypeVar("U", bound=MessagingUnit)
Handler = Callable[[U, Event], None]
# Has the same effect as its type's handler called for each event in turn.
BatchHandler = Callable[[U, Sequence[Event]], None]

STACK_CHARACTERS: Final = 4000
RECONNECT_SECONDS: Final = 1.0
# A batch takes a fraction of this; whoever still waits then handles deliveries one by one.
TURN_SECONDS: Final = 1.0
STOPPING: Final = Verdict("stopping", reason="stopping")


class HandlingDatabase(Protocol):
    """What handling asks of the database itself, beside its units of work."""

    def check(self) -> None:
        """See `Database.check`."""
        ...

    def turn(self, name: str, *, wait_seconds: float) -> AbstractContextManager[bool]:
        """See `Database.turn`."""
        ...


class EventHandling(Generic[U]):
    """Decides what becomes of deliveries; knows nothing of connections.

    Args:
        subscriptions: A handler for each event type.
        batch_subscriptions: For some of these types, a handler of several events at once.
        units: The service's units of work.
        database: Asked, when something was unavailable, whether it is that; its advisory locks
            let one process at a time handle a batch.
        parked: Where events that are too early are kept.
        contracts: Bodies are checked against them before a handler sees them.
        topology: Names the retry and dead queues.

    Raises:
        ValueError: a type has a batch handler and no handler, and could not fall back.
    """

    def __init__(
        self,
        *,
        subscriptions: Mapping[str, Handler[U]],
        batch_subscriptions: Mapping[str, BatchHandler[U]] | None = None,
        units: UnitsOfWork[U],
        database: HandlingDatabase,
        parked: ParkedStore[U],
        contracts: Contracts,
        topology: Topology,
    ) -> None:
        self._subscriptions = subscriptions
        self._batch_subscriptions = batch_subscriptions or {}
        if alone := set(self._batch_subscriptions) - set(subscriptions):
            raise ValueError(f"a batch handler without a handler: {', '.join(sorted(alone))}")
        self._units = units
        self._database = database
        self._contracts = contracts
        self._topology = topology
        self.parked: ParkedEvents[U] = ParkedEvents(
            store=parked, units=units, handle=self.handle_in
        )
        self._log = structlog.get_logger("octoco.consumer")

    @property
    def event_types(self) -> tuple[str, ...]:
        return tuple(self._subscriptions)

    @property
    def batch_types(self) -> frozenset[str]:
        return frozenset(self._batch_subscriptions)

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
            read = self._read(delivery)
            if isinstance(read, Verdict):
                return read
            began = time.perf_counter()
            with step_of_handling(read) as step:
                verdict = self._try(read, delivery, stop)
                note_result(step, verdict.result)
            _measure(read, verdict, began)
        except Exception as error:  # noqa: BLE001 - a thread that ends would be missed by nobody
            self._log.exception("delivery_not_judged")
            return self.retry_or_die(delivery, error)
        return verdict

    def judge_all(
        self,
        deliveries: Sequence[Delivery],
        stop: threading.Event,
        top_up: Callable[[], Sequence[Delivery]],
    ) -> Sequence[Verdict]:
        """Handle deliveries of one type together, or where that fails each by itself.

        One process at a time handles a batch: several at once would lose most of their races.

        Args:
            deliveries: As they came, in their order.
            stop: Ends waiting for a database that is away.
            top_up: Called when the process has its turn; returns the deliveries with those that
                have become ready since.

        Returns:
            A verdict for each delivery, in order.
        """
        event_type = str(deliveries[0].event_type)
        try:
            with self._database.turn("batch", wait_seconds=TURN_SECONDS) as is_ours:
                if is_ours:
                    deliveries = top_up()
                    return self._together(event_type, deliveries)
            self._fall_back(event_type, "turn")
        except Unavailable as error:
            self._fall_back(event_type, error.code)
            self._wait_for_database(stop)
        except Exception as error:  # noqa: BLE001 - each by itself will show whose it is
            self._fall_back(event_type, type(error).__name__)
        return [
            self.judge(delivery, stop) if not stop.is_set() else STOPPING for delivery in deliveries
        ]

    def _read(self, delivery: Delivery) -> Event | Verdict:
        try:
            event = from_properties(delivery.properties, delivery.body)
            self._contracts.check_inbound(event.type, event.data)
        except (MalformedMessage, ContractViolation) as error:
            return self._dead(str(error))
        if event.type not in self._subscriptions:
            return self._dead(f"nobody here listens to {event.type}")
        return event

    def _together(self, event_type: str, deliveries: Sequence[Delivery]) -> Sequence[Verdict]:
        began = time.perf_counter()
        read = [self._read(delivery) for delivery in deliveries]
        events: dict[str, Event] = {}
        for one in read:
            if isinstance(one, Event):
                events.setdefault(one.id, one)
        with steps_of_batch(event_type, events) as steps:
            fresh = self._units.run(lambda unit: self._handle_batch(unit, event_type, steps))
        EVENT_BATCH_SIZE.labels(event_type=event_type).observe(len(deliveries))
        return [
            self._handled(
                steps[one.id], is_first=one.id in fresh and events[one.id] is one, began=began
            )
            if isinstance(one, Event)
            else one
            for one in read
        ]

    def _handle_batch(self, unit: U, event_type: str, events: Mapping[str, Event]) -> set[str]:
        fresh = unit.inbox.record_all(events)
        new = [event for event in events.values() if event.id in fresh]
        if new:
            self._batch_subscriptions[event_type](unit, new)
        return fresh

    def _handled(self, event: Event, *, is_first: bool, began: float) -> Verdict:
        verdict = Verdict("handled" if is_first else "duplicate")
        _measure(event, verdict, began)
        with work_context(context_of(event)):
            self._log.info(
                "event_handled",
                event_id=event.id,
                event_type=event.type,
                attempt=1,
                duplicate=not is_first,
            )
        return verdict

    def _fall_back(self, event_type: str, reason: str) -> None:
        EVENT_BATCH_FALLBACKS.labels(event_type=event_type, reason=reason).inc()
        self._log.warning("batch_taken_apart", event_type=event_type, reason=reason)

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
        if not self._wait_for_database(stop):
            return STOPPING
        return self.retry_or_die(delivery, error)

    def _wait_for_database(self, stop: threading.Event) -> bool:
        while not stop.is_set():
            try:
                self._database.check()
            except Unavailable:
                stop.wait(RECONNECT_SECONDS)
            else:
                return True
        return False

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


def _measure(event: Event, verdict: Verdict, began: float) -> None:
    EVENT_SECONDS.labels(event_type=event.type).observe(time.perf_counter() - began)
    EVENTS_HANDLED.labels(event_type=event.type, result=verdict.result).inc()
