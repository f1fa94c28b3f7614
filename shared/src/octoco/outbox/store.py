"""The relay's side of the outbox table: one connection, and the leader's lock on it.

The lock ends with the connection, so both ends must notice when the other one is gone. The leader
asks something every second; the server ends a session that is silent for `lease_seconds`, and a
leader that gets no answer for as long gives its connection up.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import psycopg2

from octoco.events import Event
from octoco.outbox.oldest import OldestPlace
from octoco.outbox.ports import OutboxSize, OutboxUnavailable, StoredEvent
from octoco.outbox.session import Session

LEASE_SECONDS: Final = 5
COUNTED_MAX: Final = 100_000
# So many rows that are deleted and still there cost a read two milliseconds.
DELETED_MAX: Final = 5_000

_SETTINGS: Final = {
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    # A delete that a crash takes back is a message published twice, which the inbox knows.
    "synchronous_commit": "off",
    # The oldest rows by the primary key, whatever the statistics of an ever changing table say.
    "enable_seqscan": "off",
}
_TIMEOUTS: Final = ("idle_session_timeout", "statement_timeout", "tcp_user_timeout")
_LEAD: Final = (
    "SELECT pg_try_advisory_lock(hashtextextended('octoco.relay:' || current_schema(), 0))"
)
_STILL_THERE: Final = "SELECT 1"
_READ: Final = """
    SELECT id, message_id, event_type, aggregate_id, occurred_at, data,
           correlation_id, causation_id, traceparent
    FROM outbox WHERE id >= %(first)s AND NOT aggregate_id = ANY(%(held_back)s)
    ORDER BY id LIMIT %(limit)s
"""
_DELETE: Final = "DELETE FROM outbox WHERE id = ANY(%(ids)s)"
_ARCHIVE: Final = """
    WITH confirmed AS (DELETE FROM outbox WHERE id = ANY(%(ids)s) RETURNING *)
    INSERT INTO outbox_archive (outbox_id, message_id, event_type, aggregate_id, occurred_at, data,
                                correlation_id, causation_id, traceparent, stored_at)
    SELECT id, message_id, event_type, aggregate_id, occurred_at,
           CASE WHEN event_type = ANY(%(without_body)s) THEN NULL ELSE data END,
           correlation_id, causation_id, traceparent, stored_at
    FROM confirmed
"""
_MEASURE: Final = """
    SELECT (SELECT count(*) FROM (
               SELECT FROM outbox WHERE id >= %(first)s LIMIT %(most)s) AS counted),
           coalesce(extract(epoch FROM clock_timestamp() - (
               SELECT stored_at FROM outbox WHERE id >= %(first)s ORDER BY id LIMIT 1)), 0)
"""


class PostgresOutboxStore:
    """See `octoco.outbox.ports.OutboxStore`.

    Args:
        url: libpq connection URL of the service's own role; the leader's lock lives on it, so a
            pooler in between must give a connection a server session of its own.
        service: Whose outbox it is.
        archives: Whether what is taken out goes to the archive, in the same statement.
        without_body: Event types that are archived without their bodies.
        lease_seconds: A leader that is silent, or unanswered, for so long leads no more.
    """

    def __init__(
        self,
        *,
        url: str,
        service: str,
        archives: bool = False,
        without_body: Collection[str] = (),
        lease_seconds: int = LEASE_SECONDS,
    ) -> None:
        self._url = url
        self._archives = archives
        self._without_body = list(without_body)
        self._service = service
        self._lease_seconds = lease_seconds
        self._session: Session | None = None
        self._leads = False
        self._oldest = OldestPlace(self._ask_any)
        self._deleted = 0

    def lead(self) -> bool:
        try:
            if self._session is None:
                self._session = self._connect()
            if self._leads:
                self._session.ask(_STILL_THERE)
            else:
                self._leads = bool(self._session.ask(_LEAD)[0][0])
        except psycopg2.Error as error:
            raise self._lost(error) from error
        return self._leads

    def read(self, *, held_back: Collection[str], limit: int) -> Sequence[StoredEvent]:
        values = {"first": self._oldest.place, "held_back": list(held_back), "limit": limit}
        rows = self._ask(_READ, values)
        return [self._stored(row) for row in rows]

    def delete(self, ids: Collection[int]) -> None:
        if self._archives:
            self._ask(_ARCHIVE, {"ids": list(ids), "without_body": self._without_body})
        else:
            self._ask(_DELETE, {"ids": list(ids)})
        self._deleted += len(ids)

    def measure(self) -> OutboxSize:
        # Who does not lead cannot know what the leader has deleted, and asks seldom.
        if self._deleted >= DELETED_MAX or not self._leads:
            self._deleted = 0
            self._oldest.look()
        ((waiting, age_seconds),) = self._ask_any(
            _MEASURE, {"first": self._oldest.place, "most": COUNTED_MAX}
        )
        return OutboxSize(waiting, float(age_seconds))

    def close(self) -> None:
        session, self._session, self._leads = self._session, None, False
        self._oldest = OldestPlace(self._ask_any)
        if session is not None:
            session.close()

    def _connect(self) -> Session:
        milliseconds = str(self._lease_seconds * 1000)
        return Session(
            self._url,
            application_name=f"{self._service}-relay",
            settings={**_SETTINGS, **dict.fromkeys(_TIMEOUTS, milliseconds)},
            answer_seconds=self._lease_seconds,
        )

    def _ask(self, statement: str, values: object) -> list[tuple[Any, ...]]:
        if not self._leads:
            raise OutboxUnavailable("The outbox's lead is not held.")
        return self._ask_any(statement, values)

    def _ask_any(self, statement: str, values: object) -> list[tuple[Any, ...]]:
        if self._session is None:
            raise OutboxUnavailable("The outbox is not connected.")
        try:
            return self._session.ask(statement, values)
        except psycopg2.Error as error:
            raise self._lost(error) from error

    def _lost(self, error: psycopg2.Error) -> OutboxUnavailable:
        self.close()
        return OutboxUnavailable(f"The outbox cannot be reached ({type(error).__name__}).")

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
