"""The relay: one leader per service carries outbox rows to the broker, in order, confirmed."""

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg2
import psycopg2.extras
import structlog
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from octoco.events import Event
from octoco.messaging.publisher import BrokerUnavailable, ConfirmedPublisher, Fate
from octoco.telemetry.metrics import (
    OUTBOX_OLDEST_AGE,
    OUTBOX_WAITING,
    RELAY_LEADER,
    RELAY_PUBLISHED,
)

BATCH: Final = 500
POLL_SECONDS: Final = 0.5
LEADER_RETRY_SECONDS: Final = 1.0
HOLD_BACK_SECONDS: Final = 5.0

_READ = """
    SELECT id, message_id, event_type, aggregate_id, occurred_at, data,
           correlation_id, causation_id, traceparent
    FROM outbox WHERE NOT aggregate_id = ANY(%(held_back)s) ORDER BY id LIMIT %(batch)s
"""
_LEAD = "SELECT pg_try_advisory_lock(hashtextextended('octoco.relay:' || current_schema(), 0))"
_AGE = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(stored_at)), 0)
    FROM outbox
"""


class Relay:
    """Publishes what the outbox holds and deletes what is confirmed.

    There is no cursor: a row that commits late is simply found by the next read. A message that
    is returned or refused stays, holds back its own aggregate, and is tried again. Only one
    message of an aggregate is in flight at a time, so a held-back one is never overtaken.

    Args:
        url: libpq connection URL of the service's own role; the leader's lock lives on it.
        service: Whose outbox it is.
        publisher: Where the messages go.
    """

    def __init__(self, *, url: str, service: str, publisher: ConfirmedPublisher) -> None:
        self._url = url
        self._service = service
        self._publisher = publisher
        self._wake = threading.Event()
        self._held_back: dict[str, float] = {}
        self._log = structlog.get_logger("octoco.relay")

    def wake(self) -> None:
        """Say that there may be something to publish."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Lead or wait to lead until `stop` is set; the batch in hand is finished first."""
        while not stop.is_set():
            try:
                with contextlib.closing(self._connect()) as connection:
                    self._lead(connection, stop)
            except psycopg2.Error as error:
                self._log.warning("relay_lost_database", error=type(error).__name__)
            finally:
                RELAY_LEADER.set(0)
            stop.wait(LEADER_RETRY_SECONDS)
        self._publisher.close()

    def relay_once(self, connection: Any) -> int:
        """Publish one batch, at most one message of each aggregate.

        Args:
            connection: In autocommit, holding the leader's lock.

        Returns:
            How many messages were confirmed and deleted.

        Raises:
            BrokerUnavailable: the broker is away; nothing was deleted.
        """
        rows = self._read(connection)
        heads = _first_of_each_aggregate(rows)
        fates = self._publisher.publish([_to_event(row, self._service) for row in heads])
        confirmed = []
        for row, fate in zip(heads, fates, strict=True):
            RELAY_PUBLISHED.labels(fate=fate.value).inc()
            if fate is Fate.CONFIRMED:
                confirmed.append(row["id"])
            else:
                self._hold_back(row, fate)
        if confirmed:
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM outbox WHERE id = ANY(%s)", (confirmed,))
        return len(confirmed)

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

    def _lead(self, connection: Any, stop: threading.Event) -> None:
        while not stop.is_set() and not self._take_lead(connection):
            stop.wait(LEADER_RETRY_SECONDS)
        while not stop.is_set():
            RELAY_LEADER.set(1)
            try:
                published = self.relay_once(connection)
            except BrokerUnavailable as error:
                self._log.warning("relay_waits_for_broker", error=error.message)
                published = 0
                stop.wait(LEADER_RETRY_SECONDS)
            self._measure(connection)
            if not published:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()

    def _take_lead(self, connection: Any) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(_LEAD)
            return bool(cursor.fetchone()[0])

    def _read(self, connection: Any) -> Sequence[dict[str, Any]]:
        now = time.monotonic()
        self._held_back = {name: until for name, until in self._held_back.items() if until > now}
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(_READ, {"held_back": list(self._held_back), "batch": BATCH})
            return list(cursor.fetchall())

    def _hold_back(self, row: dict[str, Any], fate: Fate) -> None:
        self._held_back[row["aggregate_id"]] = time.monotonic() + HOLD_BACK_SECONDS
        self._log.error(
            "message_held_back",
            fate=fate.value,
            event_type=row["event_type"],
            message_id=row["message_id"],
            aggregate_id=row["aggregate_id"],
        )

    def _measure(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_AGE)
            waiting, age_seconds = cursor.fetchone()
        OUTBOX_WAITING.set(waiting)
        OUTBOX_OLDEST_AGE.set(float(age_seconds))


def _first_of_each_aggregate(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    heads: dict[str, dict[str, Any]] = {}
    for row in rows:
        heads.setdefault(row["aggregate_id"], row)
    return list(heads.values())


def _to_event(row: dict[str, Any], service: str) -> Event:
    return Event(
        id=row["message_id"],
        type=row["event_type"],
        source=service,
        aggregate_id=row["aggregate_id"],
        occurred_at=row["occurred_at"],
        data=row["data"],
        correlation_id=row["correlation_id"],
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
    )
