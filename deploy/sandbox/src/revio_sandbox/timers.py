"""Timers: changes that come by themselves later, kept in the store so that a restart keeps them."""

import json
import sqlite3
from dataclasses import dataclass

from revio_sandbox.objects import Document


@dataclass(frozen=True)
class Timer:
    """One change that is due: a kind, the object it is about, and what it needs to know."""

    id: int
    kind: str
    object_id: str
    data: Document


class Timers:
    """The timers of one unit of work."""

    def __init__(self, connection: sqlite3.Connection, *, now: float) -> None:
        self._connection = connection
        self._now = now
        # Whether the timer thread has something new to look for once this unit has committed.
        self.changed = False

    def add(
        self, kind: str, object_id: str, *, after_seconds: float, data: Document | None = None
    ) -> None:
        """Let `kind` happen to the object `after_seconds` from now, by the sandbox's clock."""
        self.changed = True
        self._connection.execute(
            "INSERT INTO timers (due_at, kind, object_id, data) VALUES (?, ?, ?, ?)",
            (self._now + after_seconds, kind, object_id, json.dumps(data or {})),
        )

    def pop_due(self) -> Timer | None:
        """Take the earliest timer that is due; it is gone when the unit commits."""
        row = self._connection.execute(
            "SELECT id, kind, object_id, data FROM timers WHERE due_at <= ?"
            " ORDER BY due_at, id LIMIT 1",
            (self._now,),
        ).fetchone()
        if row is None:
            return None
        self._connection.execute("DELETE FROM timers WHERE id = ?", (row["id"],))
        return Timer(row["id"], row["kind"], row["object_id"], json.loads(row["data"]))

    def cancel(self, object_id: str) -> None:
        """Forget every timer of an object."""
        self._connection.execute("DELETE FROM timers WHERE object_id = ?", (object_id,))

    def next_due_at(self) -> float | None:
        """Return when the earliest timer is due, or None when none waits."""
        row = self._connection.execute("SELECT min(due_at) AS at FROM timers").fetchone()
        return None if row["at"] is None else float(row["at"])
