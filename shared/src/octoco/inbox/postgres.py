"""The inbox table: an event handled before has no second effect."""

import sqlalchemy

_INSERT = sqlalchemy.text("INSERT INTO inbox (event_id) VALUES (:event_id) ON CONFLICT DO NOTHING")


class PostgresInbox:
    """See `octoco.ports.Inbox`. Each service is one consumer and has a table of its own."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def record(self, event_id: str) -> bool:
        return self._connection.execute(_INSERT, {"event_id": event_id}).rowcount == 1
