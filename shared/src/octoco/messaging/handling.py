"""What becomes of deliveries: handled once, alone or together, tried again, parked, or dead."""

import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Generic, Protocol, TypeVar

import pika
import structlog

from octoco.context import context_of, work_context
from octoco.errors import DatabaseGone, Refusal, TooEarly, Unavailable
from octoco.events import Event
from octoco.inbox.parked import ParkedEvent, ParkedEvents, ParkedStore
from octoco.inbox.suspects import SuspectStore
from octoco.messaging.contracts import Contracts, ContractViolation
from octoco.messaging.deliveries import PROCESS_DIED, Delivery, Verdict
from octoco.messaging.failures import copy_properties, own_headers, parked_at_of, parked_delivery
from octoco.messaging.settings import EventSettings
from octoco.messaging.steps import note_result, step_of_handling, steps_of_batch
from octoco.messaging.topology import Topology
from octoco.messaging.tries import Tries
from octoco.messaging.watch import Overdue, Watch
from octoco.messaging.wire import MalformedMessage, from_properties
from octoco.ports import MessagingUnit, UnitsOfWork
from octoco.telemetry.metrics import (
    EVENT_BATCH_FALLBACKS,
    EVENT_BATCH_SIZE,
    EVENT_SECONDS,
    EVENTS_SET_ASIDE,
    count_handled,
)

U = TypeVar("U", bound=MessagingUnit)
Handler = Callable[[U, Event], None]
# Has the same effect as its type's handler called for each event in turn.
BatchHandler = Callable[[U, Sequence[Event]], None]
Judged = Sequence[tuple[Delivery, Verdict]]
# Publishes a copy to a queue and returns when the broker has confirmed it, or raises Unavailable.
Move = Callable[[str, pika.BasicProperties, bytes], None]

STACK_CHARACTERS: Final = 4000
RECONNECT_SECONDS: Final = 1.0
# How often an event begins anew after it lost a database that answers again: one that brings its
# own session down each time must come to an end.
LOST_SESSIONS_MAX: Final = 5
# PostgreSQL quotes whole rows there; headers are read by people whom these do not concern.
_DETAIL: Final = re.compile(
    r"^DETAIL:.*?(?=^(?:HINT|CONTEXT|QUERY):|^\[SQL:|^\(Background on|^Traceback|^During handling"
    r"|^The above exception|\Z)",
    re.MULTILINE | re.DOTALL,
)
STOPPING: Final = Verdict("stopping", reason="stopping")


class HandlingDatabase(Protocol):
    """What handling asks of the database itself, beside its units of work."""

    def check(self) -> None:
        """See `Database.check`."""
        ...

    def turn(
        self, name: str, *, wait_seconds: float, seconds_max: float
    ) -> AbstractContextManager[bool]:
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
        suspects: Where is marked what a process may have died of.
        contracts: Bodies are checked against them before a handler sees them.
        topology: Names the retry and dead queues.
        settings: How long things may take.

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
        suspects: SuspectStore,
        contracts: Contracts,
        topology: Topology,
        settings: EventSettings | None = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._batch_subscriptions = batch_subscriptions or {}
        if alone := set(self._batch_subscriptions) - set(subscriptions):
            raise ValueError(f"a batch handler without a handler: {', '.join(sorted(alone))}")
        self._settings = settings or EventSettings()
        self._units = units
        self._database = database
        self._suspects = suspects
        self._contracts = contracts
        self._topology = topology
        self._tries = Tries()
        self._watch = Watch(seconds_max=self._settings.handling_seconds_max)
        self._away_since: float | None = None
        self.parked: ParkedEvents[U] = ParkedEvents(
            store=parked,
            units=units,
            handle=self.handle_in,
            watch=self._watch,
            overdue_seconds=self._settings.parked_seconds_max,
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
            if delivery.is_suspect:
                return self._judge_suspect(delivery, stop)
            return self._judge(delivery, stop)
        except Exception as error:  # noqa: BLE001 - a thread that ends would be missed by nobody
            self._log.exception("delivery_not_judged")
            return self.retry_or_die(delivery, error)

    def judge_all(
        self,
        deliveries: Sequence[Delivery],
        stop: threading.Event,
        top_up: Callable[[], Sequence[Delivery]],
    ) -> Iterator[Judged]:
        """Handle deliveries of one type together, or where that fails each by itself.

        One process at a time handles a batch: several at once would lose most of their races.

        Args:
            deliveries: As they came, in their order.
            stop: Ends waiting for a database that is away.
            top_up: Called when the process has its turn; returns the deliveries with those that
                have become ready since.

        Yields:
            Deliveries with their verdicts, as soon as these are known: all at once, or one by one.
        """
        event_type = str(deliveries[0].event_type)
        verdicts: Sequence[Verdict] | None = None
        try:
            with self._database.turn(
                "batch",
                wait_seconds=self._settings.batch_turn_seconds,
                seconds_max=self._settings.handling_seconds_max,
            ) as is_ours:
                if is_ours:
                    deliveries = top_up()
                    with self._watch.over(f"batch of {len(deliveries)} {event_type}"):
                        verdicts = self._together(event_type, deliveries)
            if not is_ours:
                self._fall_back(event_type, "turn")
        except Unavailable as error:
            self._fall_back(event_type, error.code)
            self.wait_for_database(stop)
        except Exception as error:  # noqa: BLE001 - each by itself will show whose it is
            self._fall_back(event_type, type(error).__name__)
        if verdicts is not None:
            yield list(zip(deliveries, verdicts, strict=True))
            return
        for delivery in deliveries:
            yield [(delivery, self.judge(delivery, stop) if not stop.is_set() else STOPPING)]

    def take_up_parked(self, move: Move) -> int:
        """Try parked events that are due once more; see `ParkedEvents.take_up`.

        Args:
            move: Takes an event that failed to where a delivery that fails so goes.

        Raises:
            Unavailable: the database is away.
        """

        def give_up(parked: ParkedEvent, error: Exception | None) -> None:
            delivery = parked_delivery(parked)
            if error is None:
                verdict = self._set_aside(delivery)
            elif isinstance(error, Refusal):
                verdict = self._refused(error)
            else:
                verdict = self.retry_or_die(delivery, error)
            assert verdict.move_to is not None
            move(verdict.move_to, copy_properties(delivery, verdict), delivery.body)
            count_handled(parked.event.type, verdict.result)

        return self.parked.take_up(give_up)

    def overdue(self) -> Sequence[Overdue]:
        """Return what has been in hand for so long that it counts as hung."""
        return self._watch.overdue()

    def away_seconds(self) -> float:
        """Return for how long deliveries in hand have been waiting for the database."""
        since = self._away_since
        return 0.0 if since is None else time.monotonic() - since

    def wait_for_database(self, stop: threading.Event) -> bool:
        """Wait until the database answers.

        Returns:
            False if `stop` was set before.
        """
        while not stop.is_set():
            if self._database_answers():
                self._away_since = None
                return True
            self._away_since = self._away_since or time.monotonic()
            stop.wait(RECONNECT_SECONDS)
        self._away_since = None
        return False

    def _judge(self, delivery: Delivery, stop: threading.Event) -> Verdict:
        with self._watch.over(f"delivery {delivery.key}"):
            read = self._read(delivery)
        if isinstance(read, Verdict):
            return self._counted(delivery, read)
        began = time.perf_counter()
        with step_of_handling(read) as step:
            verdict = self._try(read, delivery, stop)
            note_result(step, verdict.result)
        _measure(read, verdict, began)
        return verdict

    def _judge_suspect(self, delivery: Delivery, stop: threading.Event) -> Verdict:
        # The mark is committed before anything else is done with it: whoever finds one knows
        # that the process which left it is no more.
        began = None
        while began is None:
            try:
                began = self._suspects.begin(delivery.key)
            except Unavailable:
                if stop.wait(RECONNECT_SECONDS) or not self.wait_for_database(stop):
                    return STOPPING
        if not began:
            return self._counted(delivery, self._set_aside(delivery))
        try:
            return self._judge(delivery, stop)
        finally:
            try:
                self._suspects.end(delivery.key)
            except Unavailable as error:
                self._log.warning("suspect_not_struck_off", key=delivery.key, code=error.code)

    def _set_aside(self, delivery: Delivery) -> Verdict:
        event_type = self._type_of(delivery)
        EVENTS_SET_ASIDE.labels(event_type=event_type).inc()
        self._log.error("event_set_aside", message_id=delivery.key, event_type=event_type)
        return self._next_tier(
            delivery, f"{PROCESS_DIED}: the process ended while it handled this, by itself"
        )

    def _counted(self, delivery: Delivery, verdict: Verdict) -> Verdict:
        count_handled(self._type_of(delivery), verdict.result)
        return verdict

    def _type_of(self, delivery: Delivery) -> str:
        # Whatever anybody sends must not become a metric's label.
        event_type = delivery.event_type
        return event_type if event_type and event_type in self._subscriptions else "unknown"

    def _read(self, delivery: Delivery) -> Event | Verdict:
        try:
            event = from_properties(delivery.properties, delivery.body)
            if event.type not in self._subscriptions:
                # While a new version is rolled out its queue is bound for what this one lacks.
                return self._next_tier(delivery, f"nobody here listens to {event.type}")
            self._contracts.check_inbound(event.type, event.data)
        except (MalformedMessage, ContractViolation) as error:
            return self._dead(str(error))
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
            else self._counted(delivery, one)
            for delivery, one in zip(deliveries, read, strict=True)
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
        sessions_lost = 0
        while True:
            try:
                return self._handle_or_park(event, delivery, stop, log)
            except Refusal as refusal:
                log.error("event_refused", code=refusal.code)  # noqa: TRY400 - no stack for it
                return self._refused(refusal)
            except Unavailable as error:
                log.warning("event_postponed", code=error.code)
                if stop.is_set():
                    return STOPPING
                # While the database is away nothing can be handled: holding the delivery here
                # pauses consuming, where moving it on would only use up its tries.
                if self._database_answers():
                    sessions_lost += isinstance(error, DatabaseGone)
                    if not isinstance(error, DatabaseGone) or sessions_lost > LOST_SESSIONS_MAX:
                        return self.retry_or_die(delivery, error)
                elif not self.wait_for_database(stop):
                    return STOPPING
            except Exception as error:
                log.exception("event_failed")
                return self.retry_or_die(delivery, error)

    def _handle_or_park(
        self, event: Event, delivery: Delivery, stop: threading.Event, log: Any
    ) -> Verdict:
        with self._watch.over(f"event {event.id} of type {event.type}"):
            try:
                first_time = self._tries.run(
                    lambda: self._units.run(lambda unit: self.handle_in(unit, event)),
                    event_type=event.type,
                    stop=stop,
                )
            except TooEarly as early:
                headers = own_headers(delivery.properties.headers)
                self.parked.park(
                    event,
                    waits_for=early.waits_for,
                    headers=headers,
                    parked_at=parked_at_of(headers),
                )
                log.info("event_parked", waits_for=early.waits_for)
                return Verdict("parked")
        log.info("event_handled", duplicate=not first_time)
        return Verdict("handled" if first_time else "duplicate")

    def _database_answers(self) -> bool:
        try:
            self._database.check()
        except Unavailable:
            return False
        return True

    def retry_or_die(self, delivery: Delivery, error: Exception) -> Verdict:
        """Send a delivery to the next retry tier, or after the last one to the dead queue."""
        # What is passing has no stack that anybody would learn from.
        is_bug = not isinstance(error, Unavailable)
        return self._next_tier(delivery, _reason(error), _stack(error) if is_bug else "")

    def _next_tier(self, delivery: Delivery, reason: str, stack: str = "") -> Verdict:
        tiers = self._topology.retry_queues
        if delivery.attempt > len(tiers):
            return self._dead(reason, stack)
        return Verdict("retried", tiers[delivery.attempt - 1], reason, stack)

    def _refused(self, refusal: Refusal) -> Verdict:
        return self._dead(f"{refusal.code}: {refusal.message}")

    def _dead(self, reason: str, stack: str = "") -> Verdict:
        return Verdict("dead", self._topology.dead_queue, reason, stack)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _stack(error: Exception) -> str:
    return _DETAIL.sub("", "".join(traceback.format_exception(error)))[-STACK_CHARACTERS:]


def _measure(event: Event, verdict: Verdict, began: float) -> None:
    EVENT_SECONDS.labels(event_type=event.type).observe(time.perf_counter() - began)
    count_handled(event.type, verdict.result)
