"""How much lies where: one service's outbox, parked events, intents and queues."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pika.exceptions

from octoco.database.engine import Database
from octoco.messaging.topology import Topology

# From outside the relay's memory, what waits for longer than its first pause is held back, or the
# relay does not work at all.
HELD_BACK_SECONDS: Final = 5.0

_TABLES: Final = """
    SELECT
        (SELECT count(*) FROM outbox) AS waiting,
        (SELECT extract(epoch FROM clock_timestamp() - min(stored_at)) FROM outbox) AS waiting_age,
        (SELECT count(*) FROM (
            SELECT 1 FROM outbox GROUP BY aggregate_id
            HAVING min(stored_at) < clock_timestamp() - make_interval(secs => :held_back)
        ) AS held) AS held_back,
        (SELECT count(*) FROM parked_events) AS parked,
        (SELECT extract(epoch FROM clock_timestamp() - min(parked_at)) FROM parked_events)
            AS parked_age,
        (SELECT count(*) FROM intents WHERE finished_at IS NULL AND due_at <= clock_timestamp())
            AS due,
        (SELECT extract(epoch FROM clock_timestamp() - min(due_at)) FROM intents
         WHERE finished_at IS NULL AND due_at <= clock_timestamp()) AS due_age
"""
_WAITING: Final = """
    SELECT o.id, o.message_id, o.event_type, o.aggregate_id, o.correlation_id, o.stored_at,
           extract(epoch FROM clock_timestamp() - o.stored_at) AS age,
           (SELECT count(*) FROM outbox b WHERE b.aggregate_id = o.aggregate_id AND b.id < o.id)
               AS behind
    FROM outbox o
    WHERE CAST(:event_type AS text) IS NULL OR o.event_type = :event_type
    ORDER BY o.id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait, and for how many seconds the oldest one has; None if there is none."""

    count: int
    oldest_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class TableDepths:
    """What waits in a service's tables.

    Args:
        outbox: Messages that are not confirmed yet.
        held_back_aggregates: Aggregates whose first message waits for more than 5 s.
        parked_events: Events that came too early.
        due_intents: Calls that could be made now, those being made included.
    """

    outbox: Waiting
    held_back_aggregates: int
    parked_events: Waiting
    due_intents: Waiting


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message that waits in the outbox.

    Args:
        id: Its place.
        message_id: Of the event.
        event_type: Of the event.
        aggregate_id: What it is about.
        correlation_id: Of what it belongs to.
        stored_at: When, UTC.
        age_seconds: Since then, by the database's clock.
        behind: How many messages of its aggregate go before it.
    """

    id: int
    message_id: str
    event_type: str
    aggregate_id: str
    correlation_id: str
    stored_at: datetime
    age_seconds: float
    behind: int


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What a queue holds ready, and who consumes it.

    Args:
        name: Of the queue.
        messages: Ready to be delivered; None if there is no such queue.
        consumers: How many; those that ended and still hold messages are among them.
    """

    name: str
    messages: int | None
    consumers: int


def table_depths(database: Database) -> TableDepths:
    """Count what waits in a service's tables.

    Raises:
        Unavailable: the database is away.
    """
    row = database.statement(_TABLES, {"held_back": HELD_BACK_SECONDS})[0]
    return TableDepths(
        outbox=Waiting(row.waiting, _seconds(row.waiting_age)),
        held_back_aggregates=row.held_back,
        parked_events=Waiting(row.parked, _seconds(row.parked_age)),
        due_intents=Waiting(row.due, _seconds(row.due_age)),
    )


def outbox_rows(database: Database, *, event_type: str | None, limit: int) -> Sequence[OutboxRow]:
    """Return what waits in the outbox, oldest first.

    Args:
        database: Of the service's own role.
        event_type: Of this type only; None for all.
        limit: At most so many.

    Raises:
        Unavailable: the database is away.
    """
    rows = database.statement(_WAITING, {"event_type": event_type, "limit": limit})
    return [
        OutboxRow(
            id=row.id,
            message_id=row.message_id,
            event_type=row.event_type,
            aggregate_id=row.aggregate_id,
            correlation_id=row.correlation_id,
            stored_at=row.stored_at,
            age_seconds=float(row.age),
            behind=row.behind,
        )
        for row in rows
    ]


def queue_depths(connection: Any, topology: Topology) -> Sequence[QueueDepth]:
    """Ask for the depth of each of a service's queues; nothing is declared.

    Args:
        connection: A blocking connection.
        topology: Names the queues.

    Returns:
        The consuming queue, the dead one, and the retry tiers, in this order.

    Raises:
        pika.exceptions.AMQPError: the broker is away.
    """
    return [queue_depth(connection, queue.name) for queue in topology.queues]


def queue_depth(connection: Any, name: str) -> QueueDepth:
    """Ask for the depth of one queue.

    Raises:
        pika.exceptions.AMQPError: the broker is away.
    """
    # On a channel of its own, which the broker closes where there is no such queue.
    channel = connection.channel()
    try:
        method = channel.queue_declare(name, passive=True).method
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return QueueDepth(name, None, 0)
        raise
    channel.close()
    return QueueDepth(name, int(method.message_count), int(method.consumer_count))


NOT_FOUND: Final = 404


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
