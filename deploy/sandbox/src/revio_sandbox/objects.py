"""Purchases, payouts and payments as stored documents, with every earlier snapshot."""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass
class StoredObject:
    """An object as the API shows it, beside what only the sandbox knows about it."""

    document: Document
    private: Document = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The gateway's id."""
        return str(self.document["id"])

    @property
    def status(self) -> str:
        """The status now."""
        return str(self.document["status"])

    def move(
        self, status: str, *, now: float, related_object: dict[str, str] | None = None
    ) -> None:
        """Set `status` and append it to the history at `now` (unix seconds)."""
        entry: Document = {"status": status, "timestamp": int(now)}
        if related_object is not None:
            entry["related_object"] = related_object
        self.document["status"] = status
        if "status_history" in self.document:
            self.document["status_history"].append(entry)
        self.document["updated_on"] = int(now)


class Objects:
    """The objects of one unit of work."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, stored: StoredObject) -> None:
        """Store a new object and its first snapshot."""
        self._connection.execute(
            "INSERT INTO objects (id, type, status, reference, document, private)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                stored.id,
                stored.document["type"],
                stored.status,
                stored.document.get("reference") or "",
                json.dumps(stored.document),
                json.dumps(stored.private),
            ),
        )
        self._snapshot(stored)

    def save(self, stored: StoredObject) -> None:
        """Store the object's present form and keep it as a snapshot."""
        self._connection.execute(
            "UPDATE objects SET status = ?, document = ?, private = ? WHERE id = ?",
            (stored.status, json.dumps(stored.document), json.dumps(stored.private), stored.id),
        )
        self._snapshot(stored)

    def find(self, object_id: str, *, object_type: str | None = None) -> StoredObject | None:
        """Return the object with that id (and type, when given), or None."""
        row = self._connection.execute(
            "SELECT type, document, private FROM objects WHERE id = ?", (object_id,)
        ).fetchone()
        if row is None or (object_type is not None and row["type"] != object_type):
            return None
        return StoredObject(json.loads(row["document"]), json.loads(row["private"]))

    def newest(
        self, object_type: str, *, reference: str = "", status: str = "", limit: int = 50
    ) -> list[Document]:
        """Return up to `limit` documents, newest first, narrowed by reference and status."""
        rows = self._connection.execute(
            "SELECT document FROM objects WHERE type = ? AND (? = '' OR reference = ?)"
            " AND (? = '' OR status = ?) ORDER BY sequence DESC LIMIT ?",
            (object_type, reference, reference, status, status, limit),
        )
        return [json.loads(row["document"]) for row in rows]

    def snapshots(self, object_id: str) -> list[Document]:
        """Return every form the object had, oldest first."""
        rows = self._connection.execute(
            "SELECT document FROM snapshots WHERE object_id = ? ORDER BY sequence", (object_id,)
        )
        return [json.loads(row["document"]) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many objects of each type and status there are, as `type.status`."""
        rows = self._connection.execute(
            "SELECT type || '.' || status AS name, count(*) AS number FROM objects"
            " GROUP BY 1 ORDER BY 1"
        )
        return {row["name"]: row["number"] for row in rows}

    def _snapshot(self, stored: StoredObject) -> None:
        self._connection.execute(
            "INSERT INTO snapshots (object_id, status, document) VALUES (?, ?, ?)",
            (stored.id, stored.status, json.dumps(stored.document)),
        )
