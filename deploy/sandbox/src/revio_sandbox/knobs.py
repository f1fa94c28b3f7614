"""Knobs: outcomes that wait for the next matching call, each for a number of times."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from revio_sandbox.outcomes import ORDINARY, Outcome


@dataclass(frozen=True)
class Match:
    """What a call must be about for a knob to apply; empty matches everything."""

    object_id: str = ""
    reference: str = ""
    event: str = ""


class Knobs:
    """The knobs of one unit of work."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def set(self, operation: str, outcome: Outcome, *, times: int, match: Match) -> int:
        """Make the next `times` matching calls come to `outcome`; returns the knob's id."""
        cursor = self._connection.execute(
            "INSERT INTO knobs (operation, outcome, times, object_id, reference, event)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                operation,
                json.dumps(outcome.describe()),
                times,
                match.object_id,
                match.reference,
                match.event,
            ),
        )
        return int(cursor.lastrowid or 0)

    def take(self, operation: str, match: Match) -> Outcome | None:
        """Use up one time of the oldest knob that fits this call; None when there is none.

        A knob for `any` fits every call, but not webhooks: those are not calls.
        """
        row = self._connection.execute(
            "SELECT id, outcome, times FROM knobs"
            " WHERE (operation = ? OR (operation = 'any' AND ? <> 'webhook'))"
            " AND object_id IN ('', ?) AND reference IN ('', ?) AND event IN ('', ?)"
            " ORDER BY id LIMIT 1",
            (operation, operation, match.object_id, match.reference, match.event),
        ).fetchone()
        if row is None:
            return None
        if row["times"] > 1:
            self._connection.execute(
                "UPDATE knobs SET times = times - 1 WHERE id = ?", (row["id"],)
            )
        else:
            self._connection.execute("DELETE FROM knobs WHERE id = ?", (row["id"],))
        return Outcome(**json.loads(row["outcome"]))

    def take_for_event(self, match: Match) -> Outcome:
        """Return what control wants of this webhook; ordinary when nothing."""
        return self.take("webhook", match) or ORDINARY

    def waiting(self) -> list[dict[str, Any]]:
        """Return the knobs still waiting, oldest first."""
        rows = self._connection.execute("SELECT * FROM knobs ORDER BY id")
        return [{**dict(row), "outcome": json.loads(row["outcome"])} for row in rows]

    def clear(self) -> None:
        """Forget every knob."""
        self._connection.execute("DELETE FROM knobs")
