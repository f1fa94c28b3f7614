"""Deliveries that a process may have died of: marked while they are handled again."""

from typing import Final, Protocol

from octoco.database.engine import Database

# What lies longer was acked before it could be struck off: nobody asks for it any more.
FORGET_AFTER_DAYS: Final = 7

_FOUND = "DELETE FROM suspect_deliveries WHERE delivery_key = :key RETURNING 1"
_MARK = "INSERT INTO suspect_deliveries (delivery_key) VALUES (:key) ON CONFLICT DO NOTHING"
_FORGET = """
    DELETE FROM suspect_deliveries WHERE begun_at < clock_timestamp() - make_interval(days => :days)
"""


class SuspectStore(Protocol):
    """Where one service's suspects are marked, each mark committed by itself."""

    def begin(self, key: str) -> bool:
        """Mark that a suspect is about to be handled.

        Returns:
            False if the mark was there: whoever left it has not lived to strike it off, and the
            suspect must not be handled now. The mark is taken away.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def end(self, key: str) -> None:
        """Strike off a suspect whose handling has ended, however it has.

        Raises:
            Unavailable: the database is away.
        """
        ...


class PostgresSuspectStore:
    """See `SuspectStore`.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, key: str) -> bool:
        if self._database.statement(_FOUND, {"key": key}):
            return False
        self._database.statement(_MARK, {"key": key})
        return True

    def end(self, key: str) -> None:
        self._database.statement(_FOUND, {"key": key})

    def forget(self) -> None:
        """Delete marks that nobody will ask for again.

        Raises:
            Unavailable: the database is away.
        """
        self._database.statement(_FORGET, {"days": FORGET_AFTER_DAYS})
