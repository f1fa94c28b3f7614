"""Where the relay's reads begin, so that what was deleted is not walked over again and again.

While somebody holds an old snapshot (a backup, a forgotten session), rows that were deleted stay
in the table and in its index, and a read of the oldest rows passes all of them. This is no cursor:
it says nothing about what was published, only below which place there is no row and none can
still appear.
"""

from collections.abc import Callable
from typing import Any, Final

Ask = Callable[[str, object], list[tuple[Any, ...]]]

_LAST: Final = (
    "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM outbox_id_seq"
)
_WRITERS: Final = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'outbox'::regclass AND mode = 'RowExclusiveLock'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_FIRST: Final = """
    SELECT id FROM outbox WHERE id BETWEEN %(place)s AND %(last)s ORDER BY id LIMIT 1
"""


class OldestPlace:
    """A place before which the outbox holds nothing, for one session.

    Who inserts takes a lock on the table before a place is drawn, and keeps it until the row is
    visible or will never be. So when everybody has ended who held that lock just after place N was
    drawn last, no row up to N is still to come; the oldest one that is there then is where reads
    may begin. (Places must be drawn one by one: the sequence has no cache.)

    Args:
        ask: Runs one statement and returns its rows.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._last = 0
        self._writers: set[str] | None = None
        self.place = 0

    def look(self) -> None:
        """Move on, if whoever was inserting at the last look has ended; else leave it as it is."""
        if self._writers is not None:
            if self._writers & self._who_inserts():
                return
            first = self._ask(_FIRST, {"place": self.place, "last": self._last})
            self.place = first[0][0] if first else self._last + 1
        # In this order: whoever draws a place after this one is told of, or is of no matter.
        self._last = self._ask(_LAST, None)[0][0]
        self._writers = self._who_inserts()

    def _who_inserts(self) -> set[str]:
        return {name for (name,) in self._ask(_WRITERS, None)}
