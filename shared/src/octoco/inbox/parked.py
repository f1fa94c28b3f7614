"""Events that came before what they build on: kept, and tried again until it is there."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

import sqlalchemy
import structlog

from octoco.context import context_of, work_context
from octoco.database.engine import Database
from octoco.database.units import PostgresUnit
from octoco.errors import TooEarly, Unavailable
from octoco.events import Event
from octoco.ports import UnitsOfWork
from octoco.telemetry.metrics import PARKED_EVENTS

U = TypeVar("U")
U_contra = TypeVar("U_contra", contravariant=True)

DELAY_SECONDS_MAX: Final = 30
BATCH: Final = 100

_PARK = """
    INSERT INTO parked_events (event_id, event, waits_for)
    VALUES (:event_id, CAST(:event AS jsonb), :waits_for) ON CONFLICT DO NOTHING
"""
_TAKE_OUT = sqlalchemy.text("DELETE FROM parked_events WHERE event_id = :event_id")
_COUNT = "SELECT count(*) FROM parked_events"
_DUE = """
    SELECT event_id, event FROM parked_events
    WHERE due_at <= clock_timestamp() ORDER BY parked_at LIMIT :limit
"""
_POSTPONE = """
    UPDATE parked_events SET attempts = attempts + 1,
        due_at = clock_timestamp()
            + make_interval(secs => least(power(2, least(attempts, 10)), :most))
    WHERE event_id = :event_id
"""


class ParkedStore(Protocol[U_contra]):
    """Where one service's parked events are kept."""

    def park(self, event: Event, *, waits_for: str) -> None:
        """Keep an event that is too early; keeping it again changes nothing.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def due(self, *, limit: int) -> Sequence[Event]:
        """Return events that are to be tried now, those parked first before the others.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def take_out(self, unit: U_contra, event_id: str) -> None:
        """Keep an event no longer, in the unit of work that has handled it."""
        ...

    def postpone(self, event_id: str) -> None:
        """Let an event wait longer each time, up to half a minute, before it is tried again.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def count(self) -> int:
        """Return how many are kept.

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

    def park(self, event: Event, *, waits_for: str) -> None:
        body = {**asdict(event), "occurred_at": event.occurred_at.isoformat()}
        self._database.statement(
            _PARK, {"event_id": event.id, "event": json.dumps(body), "waits_for": waits_for}
        )

    def due(self, *, limit: int) -> Sequence[Event]:
        rows = self._database.statement(_DUE, {"limit": limit})
        return [
            Event(**{**row.event, "occurred_at": datetime.fromisoformat(row.event["occurred_at"])})
            for row in rows
        ]

    def take_out(self, unit: PostgresUnit, event_id: str) -> None:
        unit.connection.execute(_TAKE_OUT, {"event_id": event_id})

    def postpone(self, event_id: str) -> None:
        self._database.statement(_POSTPONE, {"event_id": event_id, "most": DELAY_SECONDS_MAX})

    def count(self) -> int:
        return int(self._database.statement(_COUNT, {})[0][0])


class ParkedEvents(Generic[U]):
    """The parked events of one service.

    Args:
        store: Where they are kept.
        units: The service's units of work.
        handle: The consumer's way of handling an event inside a unit, inbox included.
    """

    def __init__(
        self,
        *,
        store: ParkedStore[U],
        units: UnitsOfWork[U],
        handle: Callable[[U, Event], object],
    ) -> None:
        self._store = store
        self._units = units
        self._handle = handle
        self._log = structlog.get_logger("octoco.parked")

    def park(self, event: Event, *, waits_for: str) -> None:
        """Keep an event that is too early; keeping it again changes nothing."""
        self._store.park(event, waits_for=waits_for)

    def take_up(self) -> int:
        """Try each due event once more.

        Returns:
            How many were handled and are parked no longer.

        Raises:
            Unavailable: the database is away.
        """
        handled = sum(self._try_again(event) for event in self._store.due(limit=BATCH))
        PARKED_EVENTS.set(self._store.count())
        return handled

    def _try_again(self, event: Event) -> bool:
        def work(unit: U) -> None:
            self._handle(unit, event)
            self._store.take_out(unit, event.id)

        try:
            with work_context(context_of(event)):
                self._units.run(work)
        except Unavailable:
            raise
        except TooEarly:
            self._store.postpone(event.id)
            return False
        except Exception:  # noqa: BLE001 - one that always fails must not stop the others
            self._log.exception("parked_event_failed", event_id=event.id, event_type=event.type)
            self._store.postpone(event.id)
            return False
        return True
