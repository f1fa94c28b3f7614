"""Events that came before what they build on: kept, and tried again until it is there."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

import sqlalchemy
import structlog

from octoco.database.engine import Database
from octoco.database.units import PostgresUnit
from octoco.errors import Refusal, TooEarly, Unavailable
from octoco.events import Event
from octoco.messaging.steps import step_of_handling
from octoco.messaging.watch import Watch
from octoco.ports import UnitsOfWork
from octoco.telemetry.metrics import (
    PARKED_EVENTS,
    PARKED_OLDEST_AGE,
    PARKED_OVERDUE,
    count_handled,
)

U = TypeVar("U")
U_contra = TypeVar("U_contra", contravariant=True)

# Whoever has claimed an event and not said what became of it in this time is taken for dead.
LEASE_SECONDS: Final = 120
# One run of the job; what is due after it waits for the next one.
TAKE_UP_SECONDS: Final = 5.0

_PARK = """
    INSERT INTO parked_events (event_id, event, headers, waits_for, parked_at)
    VALUES (
        :event_id, CAST(:event AS jsonb), CAST(:headers AS jsonb), :waits_for,
        coalesce(CAST(:parked_at AS timestamptz), clock_timestamp())
    ) ON CONFLICT DO NOTHING
"""
_TAKE_OUT = "DELETE FROM parked_events WHERE event_id = :event_id"
# In the order in which they fall due, so that those which are early again and again, and fall
# due ever later, keep nobody waiting. A row that somebody else is claiming is passed over.
_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT event_id, begun_at FROM parked_events WHERE due_at <= clock_timestamp()
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE parked_events AS parked SET
        begun_at = clock_timestamp(), claim_id = :claim_id,
        due_at = clock_timestamp() + make_interval(secs => :lease)
    FROM due WHERE parked.event_id = due.event_id
    RETURNING parked.event, parked.headers, parked.parked_at, due.begun_at AS begun_before
"""
_GIVE_BACK = """
    UPDATE parked_events SET begun_at = NULL, due_at = clock_timestamp()
    WHERE claim_id = ANY(CAST(:claim_ids AS uuid[])) AND begun_at IS NOT NULL
"""
# 1 s, 2 s, 4 s ... 30 s, and for what has waited for long a twentieth of that, up to 5 minutes:
# a few that never become due must not cost what many that do would.
_POSTPONE = """
    UPDATE parked_events SET attempts = attempts + 1, begun_at = NULL,
        due_at = clock_timestamp() + make_interval(secs => least(
            power(2, least(attempts, 10)),
            greatest(30, least(300, extract(epoch FROM clock_timestamp() - parked_at) / 20))
        ))
    WHERE event_id = :event_id
"""
_MEASURE = """
    SELECT count(*) AS parked,
        coalesce(extract(epoch FROM clock_timestamp() - min(parked_at)), 0) AS age_seconds,
        count(*) FILTER (
            WHERE parked_at < clock_timestamp() - make_interval(secs => :overdue)
        ) AS overdue
    FROM parked_events
"""


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that was too early, claimed by whoever tries it now.

    Args:
        event: As it came.
        headers: What came with it, as far as JSON can hold it.
        parked_at: When it was parked first, timezone-aware UTC.
        died: Whether whoever claimed it before has never said what became of it.
    """

    event: Event
    headers: Mapping[str, Any]
    parked_at: datetime
    died: bool = False


@dataclass(frozen=True, slots=True)
class ParkedFigures:
    """How many events are parked, how long the oldest has been, and how many for too long."""

    count: int
    oldest_age_seconds: float
    overdue: int


GiveUp = Callable[[ParkedEvent, Exception | None], None]


class ParkedStore(Protocol[U_contra]):
    """Where one service's parked events are kept."""

    def park(
        self,
        event: Event,
        *,
        waits_for: str,
        headers: Mapping[str, Any],
        parked_at: datetime | None = None,
    ) -> None:
        """Keep an event that is too early; keeping it again changes nothing.

        Args:
            event: As it came.
            waits_for: What is missing, for operators.
            headers: What came with it; what JSON cannot hold is left out.
            parked_at: When it was parked first, timezone-aware, if that was before; else None.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def claim(self) -> ParkedEvent | None:
        """Take the event that has been due the longest; nobody else gets it for two minutes.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def take_out(self, unit: U_contra, event_id: str) -> None:
        """Keep an event no longer, in the unit of work that has handled it."""
        ...

    def remove(self, event_id: str) -> None:
        """Keep an event no longer that has been moved elsewhere.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def postpone(self, event_id: str) -> None:
        """Give a claimed event back, and let it wait longer each time before it is due again.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def measure(self, *, overdue_seconds: float) -> ParkedFigures:
        """Count what is kept.

        Args:
            overdue_seconds: What is parked for longer counts as overdue.

        Raises:
            Unavailable: the database is away.
        """
        ...


class PostgresParkedStore:
    """See `ParkedStore`.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # They may have been made all the same: nobody would be at the event, and two minutes
        # later it would be taken for one that a process has died of.
        self._unanswered_claims: list[str] = []

    def park(
        self,
        event: Event,
        *,
        waits_for: str,
        headers: Mapping[str, Any],
        parked_at: datetime | None = None,
    ) -> None:
        body = {**asdict(event), "occurred_at": event.occurred_at.isoformat()}
        self._database.statement(
            _PARK,
            {
                "event_id": event.id,
                "event": json.dumps(body),
                "headers": json.dumps({k: v for k, v in headers.items() if _is_json(v)}),
                "waits_for": waits_for,
                "parked_at": parked_at,
            },
        )

    def claim(self) -> ParkedEvent | None:
        if self._unanswered_claims:
            self._database.statement(_GIVE_BACK, {"claim_ids": self._unanswered_claims})
            self._unanswered_claims.clear()
        claim_id = str(uuid.uuid4())
        try:
            rows = self._database.statement(
                _CLAIM, {"lease": LEASE_SECONDS, "claim_id": claim_id}, is_repeatable=False
            )
        except Unavailable:
            self._unanswered_claims.append(claim_id)
            raise
        if not rows:
            return None
        occurred_at = datetime.fromisoformat(rows[0].event["occurred_at"])
        return ParkedEvent(
            event=Event(**{**rows[0].event, "occurred_at": occurred_at}),
            headers=rows[0].headers,
            parked_at=rows[0].parked_at,
            died=rows[0].begun_before is not None,
        )

    def take_out(self, unit: PostgresUnit, event_id: str) -> None:
        unit.connection.execute(sqlalchemy.text(_TAKE_OUT), {"event_id": event_id})

    def remove(self, event_id: str) -> None:
        self._database.statement(_TAKE_OUT, {"event_id": event_id})

    def postpone(self, event_id: str) -> None:
        self._database.statement(_POSTPONE, {"event_id": event_id})

    def measure(self, *, overdue_seconds: float) -> ParkedFigures:
        (row,) = self._database.statement(_MEASURE, {"overdue": overdue_seconds})
        return ParkedFigures(int(row.parked), float(row.age_seconds), int(row.overdue))


class ParkedEvents(Generic[U]):
    """The parked events of one service.

    Args:
        store: Where they are kept.
        units: The service's units of work.
        handle: The consumer's way of handling an event inside a unit, inbox included; it returns
            False for a duplicate.
        watch: Told what is in hand, so that a handler that hangs is noticed.
        overdue_seconds: What is parked for longer counts as overdue.
    """

    def __init__(
        self,
        *,
        store: ParkedStore[U],
        units: UnitsOfWork[U],
        handle: Callable[[U, Event], bool],
        watch: Watch,
        overdue_seconds: float,
    ) -> None:
        self._store = store
        self._units = units
        self._handle = handle
        self._watch = watch
        self._overdue_seconds = overdue_seconds
        # Claimed by this process, which lives, and not given back: the database had gone.
        self._not_given_back: set[str] = set()
        self._log = structlog.get_logger("octoco.parked")

    def park(
        self,
        event: Event,
        *,
        waits_for: str,
        headers: Mapping[str, Any],
        parked_at: datetime | None = None,
    ) -> None:
        """Keep an event that is too early; see `ParkedStore.park`."""
        self._store.park(event, waits_for=waits_for, headers=headers, parked_at=parked_at)

    def take_up(self, give_up: GiveUp) -> int:
        """Try what is due once more, for a few seconds at most.

        Args:
            give_up: Given each event that failed otherwise than by being too early, with what it
                failed with, or None if a process died of it. Moves it to where a delivery that
                fails in the same way goes, or raises `Unavailable`; then it stays parked.

        Returns:
            How many are parked no longer.

        Raises:
            Unavailable: the database is away.
        """
        self._give_back()
        until = time.monotonic() + TAKE_UP_SECONDS
        gone = 0
        while time.monotonic() < until and (parked := self._store.claim()) is not None:
            with step_of_handling(parked.event):
                gone += self._try_again(parked, give_up)
        figures = self._store.measure(overdue_seconds=self._overdue_seconds)
        PARKED_EVENTS.set(figures.count)
        PARKED_OLDEST_AGE.set(figures.oldest_age_seconds)
        PARKED_OVERDUE.set(figures.overdue)
        return gone

    def _try_again(self, parked: ParkedEvent, give_up: GiveUp) -> bool:
        event = parked.event
        log = self._log.bind(event_id=event.id, event_type=event.type)
        if parked.died:
            log.error("parked_event_process_died")
            return self._give_up(parked, None, give_up)
        try:
            with self._watch.over(f"parked event {event.id}"):
                first_time = self._units.run(lambda unit: self._handle_in(unit, event))
        except TooEarly:
            self._postpone(event.id)
            return False
        except Unavailable as error:
            # Passing, as far as anybody knows; whether it is the database shows at once.
            log.warning("parked_event_postponed", code=error.code)
            self._postpone(event.id)
            return False
        except Refusal as refusal:
            log.error("parked_event_refused", code=refusal.code)  # noqa: TRY400 - no stack for it
            return self._give_up(parked, refusal, give_up)
        except Exception as error:
            log.exception("parked_event_failed")
            return self._give_up(parked, error, give_up)
        count_handled(event.type, "handled" if first_time else "duplicate")
        log.info("parked_event_handled", duplicate=not first_time)
        return True

    def _handle_in(self, unit: U, event: Event) -> bool:
        first_time = self._handle(unit, event)
        self._store.take_out(unit, event.id)
        return first_time

    def _give_up(self, parked: ParkedEvent, error: Exception | None, give_up: GiveUp) -> bool:
        try:
            give_up(parked, error)
        except Unavailable:
            self._postpone(parked.event.id)
            return False
        # A process that dies here leaves the event in both places: the inbox knows it.
        self._store.remove(parked.event.id)
        return True

    def _postpone(self, event_id: str) -> None:
        self._not_given_back.add(event_id)
        self._give_back()

    def _give_back(self) -> None:
        for event_id in tuple(self._not_given_back):
            self._store.postpone(event_id)
            self._not_given_back.discard(event_id)


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
