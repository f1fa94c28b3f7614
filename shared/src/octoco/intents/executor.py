"""The executor: performs intents under a lease, with no unit of work open during a call."""

import random
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog

from octoco.errors import NotTried, OctocoError, Unavailable
from octoco.intents.intent import Again, Done, Intent, IntentHandler
from octoco.intents.leases import CallFate, IntentLeases, LeasedIntent
from octoco.intents.renewal import LeaseRenewal, Moment
from octoco.ports import UnitsOfWork
from octoco.spans import Attributes, Kind, Span, span
from octoco.telemetry.metrics import INTENTS_PERFORMED

U = TypeVar("U")

THREADS_PER_KIND: Final = 4
LEASE_SECONDS: Final = 60.0
CALL_SECONDS_MAX: Final = 600.0
IDLE_SECONDS: Final = 0.5
REASON_CHARACTERS_MAX: Final = 500


class _LeaseLost(OctocoError):
    """Another executor has taken the intent over; what was learnt here is not recorded."""


@dataclass(slots=True)
class _Try:
    """One performance of an intent, and what is known about its call so far."""

    leased: LeasedIntent
    since: Moment
    fate: CallFate = CallFate.NOT_MADE


class Executor(Generic[U]):
    """Performs due intents until it is stopped, each kind in a number of places of its own.

    A kind whose other side is slow or dead fills its own places and nobody else's.

    Args:
        leases: Where the intents are.
        units: The service's units of work.
        handlers: One for each kind.
        threads_per_kind: Calls of one kind in flight at once.
        lease_seconds: How long after an executor died its intents are taken over. A lease is
            renewed while the call runs.
        call_seconds_max: A call that takes longer counts as hung and is overtaken; well above
            what any handler's own time limits come to.
    """

    def __init__(
        self,
        *,
        leases: IntentLeases[U],
        units: UnitsOfWork[U],
        handlers: Mapping[str, IntentHandler[U, Any, Any]],
        threads_per_kind: int = THREADS_PER_KIND,
        lease_seconds: float = LEASE_SECONDS,
        call_seconds_max: float = CALL_SECONDS_MAX,
    ) -> None:
        self._leases = leases
        self._units = units
        self._handlers = handlers
        self._threads_per_kind = threads_per_kind
        self._lease_seconds = lease_seconds
        self._renewal = LeaseRenewal(
            leases, lease_seconds=lease_seconds, call_seconds_max=call_seconds_max
        )
        self._lock = threading.Lock()
        self._places = dict.fromkeys(handlers, threads_per_kind)
        # There is a thread for every place, so what is leased waits for none.
        self._in_hand: deque[tuple[LeasedIntent, Moment]] = deque()
        self._looking = threading.Lock()
        self._wake = threading.Event()
        self._log = structlog.get_logger("octoco.intents")

    def wake(self) -> None:
        """Say that there may be something due."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; calls in flight are finished first, their leases renewed."""
        if not self._handlers:
            stop.wait()
            return
        all_ended = threading.Event()
        renewing = threading.Thread(
            target=self._renewal.run, args=(all_ended,), name="executor-leases"
        )
        workers = [
            threading.Thread(target=self._work, args=(stop,), name=f"executor-{number}")
            for number in range(self._threads_per_kind * len(self._handlers))
        ]
        for thread in (renewing, *workers):
            thread.start()
        for worker in workers:
            worker.join()
        all_ended.set()
        renewing.join()

    def perform_next(self) -> bool:
        """Perform the one intent that has been due for longest, if there is one.

        Its lease is not renewed: that is `run`'s to do.

        Returns:
            True if there was one, whatever became of it.

        Raises:
            Unavailable: the database is away.
        """
        since = Moment.now()
        due = self._leases.lease_due(
            places=dict.fromkeys(self._handlers, 1), most=1, lease_seconds=self._lease_seconds
        )
        for leased in due:
            self._perform(leased, since=since)
        return bool(due)

    def _work(self, stop: threading.Event) -> None:
        while True:
            # One thread at a time looks for what is due, and performs the first of it itself:
            # to hand it to another thread would cost as much as the whole of a short call.
            with self._looking:
                found = self._next(stop)
            if found is None:
                return
            self._perform_in_its_place(*found)

    def _next(self, stop: threading.Event) -> tuple[LeasedIntent, Moment] | None:
        # What is leased is performed even if `stop` is set meanwhile: its try is counted.
        while not self._in_hand:
            if stop.is_set():
                return None
            if not self._lease():
                self._wake.wait(IDLE_SECONDS)
                self._wake.clear()
        return self._in_hand.popleft()

    def _lease(self) -> bool:
        with self._lock:
            free = {kind: places for kind, places in self._places.items() if places > 0}
        if not free:
            return False
        since = Moment.now()
        try:
            due = self._leases.lease_due(
                places=free, most=sum(free.values()), lease_seconds=self._lease_seconds
            )
        except Unavailable as error:
            self._log.warning("intents_wait_for_database", error=error.message)
            return False
        except Exception:  # noqa: BLE001 - a thread that ends here would be missed by nobody
            self._log.exception("executor_failed")
            return False
        with self._lock:
            for leased in due:
                self._places[leased.intent.kind] -= 1
        self._in_hand.extend((leased, since) for leased in due)
        return bool(due)

    def _perform_in_its_place(self, leased: LeasedIntent, since: Moment) -> None:
        try:
            with self._renewal.held(leased, since=since):
                self._perform(leased, since=since)
        except Exception:  # noqa: BLE001 - the thread goes on with what is next
            self._log.exception("executor_failed")
        finally:
            with self._lock:
                self._places[leased.intent.kind] += 1
            self._wake.set()

    def _perform(self, leased: LeasedIntent, *, since: Moment) -> None:
        intent = leased.intent
        attributes: Attributes = {
            "octoco.intent.kind": intent.kind,
            "octoco.intent.subject_id": intent.subject_id,
            "octoco.intent.attempt": intent.attempt,
            "octoco.correlation_id": leased.context.correlation_id,
        }
        with span(
            f"perform {intent.kind}",
            kind=Kind.CONSUMER,
            context=leased.context,
            attributes=attributes,
        ) as step:
            outcome = self._outcome_of(_Try(leased, since), step)
            INTENTS_PERFORMED.labels(kind=intent.kind, outcome=outcome).inc()
            step.note({"octoco.outcome": outcome})
            self._log.info(
                "intent_performed",
                kind=intent.kind,
                subject_id=intent.subject_id,
                attempt=intent.attempt,
                outcome=outcome,
            )

    def _outcome_of(self, this: _Try, step: Span) -> str:
        intent = this.leased.intent
        try:
            verdict = self._three_steps(this)
            return "done" if isinstance(verdict, Done) else "again"
        except _LeaseLost:
            return "lease_lost"
        except NotTried as error:
            # Spread, so that what waited does not all come back in one moment.
            seconds = error.retry_after_seconds * random.uniform(1.0, 1.5)
            again = Again(reason=f"{error.code}: {error.message}", after_seconds=seconds)
            self._postpone(this, again, attempts=intent.attempt - 1)
            return "not_tried"
        except Unavailable as error:
            again = Again(reason=f"{error.code}: {error.message}")
            self._postpone(this, again, attempts=intent.attempt)
            return "unavailable"
        except Exception as error:  # noqa: BLE001 - logged and counted, and tried again
            # A bug must not lose the intent: it stays due on its schedule, and it rings.
            self._log.exception("intent_failed", kind=intent.kind, subject_id=intent.subject_id)
            step.fail(type(error).__name__)
            again = Again(reason=f"bug: {type(error).__name__}")
            self._postpone(this, again, attempts=intent.attempt)
            return "failed"

    def _three_steps(self, this: _Try) -> Done | Again:
        leased = this.leased
        intent = leased.intent
        handler = self._handlers[intent.kind]

        def prepare(unit: U) -> Any:
            if not self._leases.begin(unit, leased):
                raise _LeaseLost(f"{intent.kind} {intent.subject_id}")
            prepared = handler.prepare(unit, intent)
            if prepared is None:
                self._leases.finish(unit, leased, fate=CallFate.NOT_MADE)
            return prepared

        prepared = self._units.run(prepare)
        if prepared is None:
            return Done()
        if not self._renewal.is_ours_still(leased, since=this.since):
            raise _LeaseLost(f"{intent.kind} {intent.subject_id}")
        this.fate = CallFate.UNANSWERED
        try:
            answer = handler.call(prepared)
        except NotTried:
            this.fate = CallFate.NOT_MADE
            raise

        def record(unit: U) -> Done | Again:
            self._fence(unit, leased)
            verdict = handler.record(unit, intent, prepared=prepared, answer=answer)
            self._settle(unit, leased, verdict)
            return verdict

        return self._units.run(record)

    def _fence(self, unit: U, leased: LeasedIntent) -> None:
        if not self._leases.still_ours(unit, leased):
            raise _LeaseLost(f"{leased.intent.kind} {leased.intent.subject_id}")

    def _settle(self, unit: U, leased: LeasedIntent, verdict: Done | Again) -> None:
        if isinstance(verdict, Done):
            self._leases.finish(unit, leased, fate=CallFate.ANSWERED)
            return
        seconds = verdict.after_seconds
        self._leases.reschedule(
            unit,
            leased,
            after_seconds=self._scheduled_seconds(leased.intent) if seconds is None else seconds,
            # An answer with a time of its own is no failure: the next failure is the first one.
            attempts=leased.intent.attempt if seconds is None else 0,
            reason=verdict.reason[:REASON_CHARACTERS_MAX],
            fate=CallFate.UNANSWERED if verdict.in_doubt else CallFate.ANSWERED,
        )

    def _postpone(self, this: _Try, again: Again, *, attempts: int) -> None:
        leased = this.leased
        seconds = again.after_seconds
        if seconds is None:
            seconds = self._scheduled_seconds(leased.intent)

        def work(unit: U) -> None:
            self._fence(unit, leased)
            self._leases.reschedule(
                unit,
                leased,
                after_seconds=seconds,
                attempts=attempts,
                reason=again.reason[:REASON_CHARACTERS_MAX],
                fate=this.fate,
            )

        try:
            self._units.run(work)
        except (Unavailable, _LeaseLost):
            # The lease ends by itself and the intent is taken up again.
            self._log.warning(
                "intent_not_postponed", kind=leased.intent.kind, id=leased.intent.subject_id
            )

    def _scheduled_seconds(self, intent: Intent) -> float:
        schedule = self._handlers[intent.kind].schedule_seconds
        return schedule[min(intent.attempt, len(schedule)) - 1]
