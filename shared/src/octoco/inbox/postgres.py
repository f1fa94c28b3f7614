"""The inbox table: an event handled before has no second effect."""

from collections.abc import Collection

import sqlalchemy

_INSERT = sqlalchemy.text("INSERT INTO inbox (event_id) VALUES (:event_id) ON CONFLICT DO NOTHING")
# In one order everywhere, so that two batches which share events wait and do not deadlock.
_INSERT_ALL = sqlalchemy.text(
    """
    INSERT INTO inbox (event_id) SELECT unnest(CAST(:event_ids AS text[])) ORDER BY 1
    ON CONFLICT DO NOTHING RETURNING event_id
    """
)


class PostgresInbox:
    """See `octoco.ports.Inbox`. Each service is one consumer and has a table of its own."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def record(self, event_id: str) -> bool:
        return self._connection.execute(_INSERT, {"event_id": event_id}).rowcount == 1

    def record_all(self, event_ids: Collection[str]) -> set[str]:
        rows = self._connection.execute(_INSERT_ALL, {"event_ids": list(event_ids)})
        return set(rows.scalars())
