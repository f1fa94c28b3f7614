"""Events that came before what they build on: kept, and tried again until it is there."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Final, Generic, TypeVar

import sqlalchemy
import structlog

from octoco.context import context_of, work_context
from octoco.database.engine import Database
from octoco.database.units import PostgresUnit
from octoco.errors import TooEarly, Unavailable
from octoco.events import Event
from octoco.ports import UnitsOfWork
from octoco.telemetry.metrics import PARKED_EVENTS

U = TypeVar("U", bound=PostgresUnit)

DELAY_SECONDS_MAX: Final = 30
BATCH: Final = 100

_PARK = sqlalchemy.text(
    """
    INSERT INTO parked_events (event_id, event, waits_for)
    VALUES (:event_id, CAST(:event AS jsonb), :waits_for) ON CONFLICT DO NOTHING
    """
)
_TAKE_OUT = sqlalchemy.text("DELETE FROM parked_events WHERE event_id = :event_id")
_DUE = """
    SELECT event_id, event FROM parked_events
    WHERE due_at <= clock_timestamp() ORDER BY parked_at LIMIT :batch
"""
_POSTPONE = """
    UPDATE parked_events SET attempts = attempts + 1,
        due_at = clock_timestamp()
            + make_interval(secs => least(power(2, least(attempts, 10)), :most))
    WHERE event_id = :event_id
"""


class ParkedEvents(Generic[U]):
    """The parked events of one service.

    Args:
        database: Where they are kept.
        units: The service's units of work.
        handle: The consumer's way of handling an event inside a unit, inbox included.
    """

    def __init__(
        self,
        *,
        database: Database,
        units: UnitsOfWork[U],
        handle: Callable[[U, Event], object],
    ) -> None:
        self._database = database
        self._units = units
        self._handle = handle
        self._log = structlog.get_logger("octoco.parked")

    def park(self, event: Event, *, waits_for: str) -> None:
        """Keep an event that is too early; keeping it again changes nothing."""
        body = {**asdict(event), "occurred_at": event.occurred_at.isoformat()}
        self._units.run(
            lambda unit: (
                unit.connection.execute(
                    _PARK,
                    {"event_id": event.id, "event": json.dumps(body), "waits_for": waits_for},
                ).rowcount
            )
        )

    def take_up(self) -> int:
        """Try each due event once more.

        Returns:
            How many were handled and are parked no longer.

        Raises:
            Unavailable: the database is away.
        """
        handled = 0
        for row in self._database.statement(_DUE, {"batch": BATCH}):
            fields = dict(row.event)
            fields["occurred_at"] = datetime.fromisoformat(fields["occurred_at"])
            handled += self._try_again(Event(**fields))
        count = self._database.statement("SELECT count(*) FROM parked_events", {})
        PARKED_EVENTS.set(int(count[0][0]))
        return handled

    def _try_again(self, event: Event) -> bool:
        def work(unit: U) -> None:
            self._handle(unit, event)
            unit.connection.execute(_TAKE_OUT, {"event_id": event.id})

        try:
            with work_context(context_of(event)):
                self._units.run(work)
        except Unavailable:
            raise
        except TooEarly:
            self._database.statement(_POSTPONE, {"event_id": event.id, "most": DELAY_SECONDS_MAX})
            return False
        except Exception:  # noqa: BLE001 - one that always fails must not stop the others
            self._log.exception("parked_event_failed", event_id=event.id, event_type=event.type)
            self._database.statement(_POSTPONE, {"event_id": event.id, "most": DELAY_SECONDS_MAX})
            return False
        return True
