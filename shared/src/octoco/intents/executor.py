"""The executor: performs intents under a lease, with no unit of work open during a call."""

import random
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

import structlog

from octoco.clock import Clock
from octoco.context import work_context
from octoco.errors import NotTried, OctocoError, Unavailable
from octoco.intents.intent import Again, Done, Intent, IntentHandler
from octoco.intents.leases import IntentLeases, LeasedIntent
from octoco.ports import UnitsOfWork
from octoco.telemetry.metrics import INTENTS_PERFORMED

U = TypeVar("U")

LEASE_SECONDS: Final = 60
IDLE_SECONDS: Final = 0.5


class _LeaseLost(OctocoError):
    """Another executor has taken the intent over; what was learnt here is not recorded."""


class Executor(Generic[U]):
    """Performs due intents in a number of threads until it is stopped.

    Args:
        leases: Where the intents are.
        units: The service's units of work.
        handlers: One for each kind.
        clock: Decides what is due.
        threads: Calls in flight at once.
    """

    def __init__(
        self,
        *,
        leases: IntentLeases[U],
        units: UnitsOfWork[U],
        handlers: Mapping[str, IntentHandler[U, Any, Any]],
        clock: Clock,
        threads: int = 4,
    ) -> None:
        self._leases = leases
        self._units = units
        self._handlers = handlers
        self._clock = clock
        self._threads = threads
        self._wake = threading.Event()
        self._log = structlog.get_logger("octoco.intents")

    def wake(self) -> None:
        """Say that there may be something due."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; calls in flight are finished first."""
        if not self._handlers:
            stop.wait()
            return
        workers = [
            threading.Thread(target=self._loop, args=(stop,), name=f"executor-{number}")
            for number in range(self._threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def perform_next(self) -> bool:
        """Perform one due intent, if there is one.

        Returns:
            True if there was one, whatever became of it.

        Raises:
            Unavailable: the database is away.
        """
        leased = self._leases.lease_next(
            kinds=self._handlers, now=self._clock.now(), lease_seconds=LEASE_SECONDS
        )
        if leased is None:
            return False
        with work_context(leased.context):
            self._perform(leased)
        return True

    def _loop(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if self.perform_next():
                    continue
            except Unavailable as error:
                self._log.warning("intents_wait_for_database", error=str(error))
            except Exception:  # noqa: BLE001 - a thread that ends here would be missed by nobody
                self._log.exception("executor_failed")
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()

    def _perform(self, leased: LeasedIntent) -> None:
        intent = leased.intent
        log = self._log.bind(kind=intent.kind, subject_id=intent.subject_id, attempt=intent.attempt)
        try:
            verdict = self._three_steps(leased)
            outcome = "done" if isinstance(verdict, Done) else "again"
        except _LeaseLost:
            outcome = "lease_lost"
        except NotTried as error:
            outcome = "not_tried"
            # Spread, so that what waited does not all come back in one moment.
            seconds = error.retry_after_seconds * random.uniform(1.0, 1.5)
            again = Again(reason=f"{error.code}: {error.message}", after_seconds=seconds)
            self._postpone(leased, again, attempts=intent.attempt - 1)
        except Unavailable as error:
            outcome = "unavailable"
            again = Again(reason=f"{error.code}: {error.message}")
            self._postpone(leased, again, attempts=intent.attempt)
        except Exception as error:
            # A bug must not lose the intent: it stays due on its schedule, and it rings.
            outcome = "failed"
            log.exception("intent_failed")
            again = Again(reason=f"bug: {type(error).__name__}")
            self._postpone(leased, again, attempts=intent.attempt)
        INTENTS_PERFORMED.labels(kind=intent.kind, outcome=outcome).inc()
        log.info("intent_performed", outcome=outcome)

    def _three_steps(self, leased: LeasedIntent) -> Done | Again:
        intent = leased.intent
        handler = self._handlers[intent.kind]

        def prepare(unit: U) -> Any:
            self._fence(unit, leased)
            prepared = handler.prepare(unit, intent)
            if prepared is None:
                self._settle(unit, leased, Done())
            return prepared

        prepared = self._units.run(prepare)
        if prepared is None:
            return Done()
        answer = handler.call(prepared)

        def record(unit: U) -> Done | Again:
            self._fence(unit, leased)
            verdict = handler.record(unit, intent, prepared=prepared, answer=answer)
            self._settle(unit, leased, verdict)
            return verdict

        return self._units.run(record)

    def _fence(self, unit: U, leased: LeasedIntent) -> None:
        if not self._leases.still_ours(unit, leased):
            raise _LeaseLost(f"{leased.intent.kind} {leased.intent.subject_id}")

    def _settle(
        self, unit: U, leased: LeasedIntent, verdict: Done | Again, *, attempts: int | None = None
    ) -> None:
        intent = leased.intent
        now = self._clock.now()
        if isinstance(verdict, Done):
            self._leases.finish(unit, leased, now=now)
            return
        seconds = verdict.after_seconds
        if seconds is None:
            seconds = self._scheduled_seconds(intent)
            attempts = intent.attempt if attempts is None else attempts
        elif attempts is None:
            # An answer with a time of its own is no failure: the next failure is the first one.
            attempts = 0
        self._leases.reschedule(
            unit,
            leased,
            due_at=now + timedelta(seconds=seconds),
            attempts=attempts,
            reason=verdict.reason[:500],
        )

    def _postpone(self, leased: LeasedIntent, again: Again, *, attempts: int) -> None:
        def work(unit: U) -> None:
            self._fence(unit, leased)
            self._settle(unit, leased, again, attempts=attempts)

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
