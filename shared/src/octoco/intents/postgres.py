"""The intents table, seen from the unit of work that wants a call made."""

import json
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy

from octoco.clock import Clock
from octoco.context import current_context

# "At once" is at once for the database too, by whose clock intents are leased: a machine whose
# clock is ahead of it would make them late.
_INSERT = sqlalchemy.text(
    """
    INSERT INTO intents (kind, subject_id, data, due_at, correlation_id, causation_id, traceparent)
    VALUES (:kind, :subject_id, CAST(:data AS jsonb),
            coalesce(:due_at, least(:now, clock_timestamp())), :correlation_id, :causation_id,
            :traceparent)
    ON CONFLICT (kind, subject_id) DO NOTHING
    """
)
# By its key alone, as the executor finds it: see `octoco.intents.leases`.
_HURRY = sqlalchemy.text(
    """
    UPDATE intents SET due_at = least(due_at, :now, clock_timestamp())
    WHERE kind = :kind AND subject_id = :subject_id
      AND coalesce(finished_at, 'infinity') = 'infinity'
    """
)


class PostgresIntents:
    """See `octoco.ports.Intents`."""

    def __init__(self, connection: sqlalchemy.Connection, *, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def add(
        self,
        *,
        kind: str,
        subject_id: str,
        data: Mapping[str, object] | None = None,
        due_at: datetime | None = None,
    ) -> bool:
        context = current_context()
        result = self._connection.execute(
            _INSERT,
            {
                "kind": kind,
                "subject_id": subject_id,
                "data": json.dumps(dict(data or {})),
                "due_at": due_at,
                "now": self._clock.now(),
                "correlation_id": context.correlation_id,
                "causation_id": context.causation_id,
                "traceparent": context.traceparent,
            },
        )
        return result.rowcount == 1

    def hurry(self, *, kind: str, subject_id: str) -> bool:
        result = self._connection.execute(
            _HURRY, {"kind": kind, "subject_id": subject_id, "now": self._clock.now()}
        )
        return result.rowcount == 1
