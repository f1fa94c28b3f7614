"""The relay's side of the outbox table: one connection, and the leader's lock on it."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from octoco.events import Event
from octoco.outbox.ports import OutboxSize, OutboxUnavailable, StoredEvent

_READ: Final = """
    SELECT id, message_id, event_type, aggregate_id, occurred_at, data,
           correlation_id, causation_id, traceparent
    FROM outbox WHERE NOT aggregate_id = ANY(%(held_back)s) ORDER BY id LIMIT %(limit)s
"""
_LEAD: Final = (
    "SELECT pg_try_advisory_lock(hashtextextended('octoco.relay:' || current_schema(), 0))"
)
_STILL_THERE: Final = "SELECT 1"
_DELETE: Final = "DELETE FROM outbox WHERE id = ANY(%s)"
_MEASURE: Final = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(stored_at)), 0)
    FROM outbox
"""


class PostgresOutboxStore:
    """See `octoco.outbox.ports.OutboxStore`.

    Args:
        url: libpq connection URL of the service's own role; the leader's lock lives on it.
        service: Whose outbox it is.
    """

    def __init__(self, *, url: str, service: str) -> None:
        self._url = url
        self._service = service
        self._connection: Any = None
        self._leads = False

    def lead(self) -> bool:
        if self._leads:
            self._ask(_STILL_THERE)
        else:
            self._leads = bool(self._ask(_LEAD)[0][0])
        return self._leads

    def read(self, *, held_back: Collection[str], limit: int) -> Sequence[StoredEvent]:
        rows = self._ask(_READ, {"held_back": list(held_back), "limit": limit})
        return [self._stored(row) for row in rows]

    def delete(self, ids: Collection[int]) -> None:
        with self._cursor() as cursor:
            cursor.execute(_DELETE, (list(ids),))

    def measure(self) -> OutboxSize:
        ((waiting, age_seconds),) = self._ask(_MEASURE)
        return OutboxSize(waiting, float(age_seconds))

    def close(self) -> None:
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            with suppress(psycopg2.Error):
                connection.close()

    def _ask(self, statement: str, values: object = None) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                yield cursor
        except psycopg2.Error as error:
            self.close()
            raise OutboxUnavailable(
                f"The outbox cannot be reached ({type(error).__name__})."
            ) from error

    def _connect(self) -> Any:
        connection = psycopg2.connect(
            self._url,
            connect_timeout=5,
            application_name=f"{self._service}-relay",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )
        connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        return connection

    def _stored(self, row: tuple[Any, ...]) -> StoredEvent:
        place, message_id, event_type, aggregate_id, occurred_at, data, *context = row
        correlation_id, causation_id, traceparent = context
        return StoredEvent(
            place,
            Event(
                id=message_id,
                type=event_type,
                source=self._service,
                aggregate_id=aggregate_id,
                occurred_at=occurred_at,
                data=data,
                correlation_id=correlation_id,
                causation_id=causation_id,
                traceparent=traceparent,
            ),
        )
