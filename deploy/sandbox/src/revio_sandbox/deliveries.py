"""The queue of webhooks: what is to be sent, in which lane, and what became of it."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from revio_sandbox.objects import Document
from revio_sandbox.outcomes import Outcome
from revio_sandbox.retry_schedule import ATTEMPTS_MAX, attempt_offset_seconds


@dataclass(frozen=True)
class Addressee:
    """Who gets a webhook: an address, and the name of the key that signs for it."""

    url: str
    key_name: str


@dataclass(frozen=True)
class Due:
    """One delivery whose next attempt is due."""

    id: int
    lane: str
    url: str
    key_name: str
    event: str
    object_id: str
    body: bytes
    signature: str


def render_body(document: Document, event: str) -> bytes:
    """Return the raw body of a webhook: the whole object, flat, with `event_type` added.

    Source: revio-api, section 6.1.
    """
    return json.dumps({"event_type": event, **document}, separators=(",", ":")).encode()


def is_success(status: int | None) -> bool:
    """Whether a receiver took a webhook: any 2xx, and nothing else."""
    return status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


class Deliveries:
    """The deliveries of one unit of work."""

    def __init__(self, connection: sqlite3.Connection, *, now: float) -> None:
        self._connection = connection
        self._now = now
        # Whether the threads have something new to look for once this unit has committed.
        self.changed = False

    def enqueue(
        self,
        addressee: Addressee,
        event: str,
        *,
        document: Document,
        outcome: Outcome,
        holding: bool,
    ) -> None:
        """Queue one event for one addressee, as often and as control wants it."""
        state = "dropped" if outcome.drop else "held" if holding or outcome.hold else "pending"
        body = render_body(document, event)
        for _ in range(1 + outcome.duplicates):
            self._insert(
                addressee,
                # One lane for each receiver and source object: nothing overtakes inside it.
                lane=f"{addressee.key_name} {addressee.url} {document['id']}",
                event=event,
                source=(str(document["type"]), str(document["id"])),
                body=body,
                signature=outcome.signature,
                state=state,
                attempts_max=ATTEMPTS_MAX,
            )

    def enqueue_raw(
        self,
        addressee: Addressee,
        event: str,
        *,
        source: tuple[str, str],
        body: bytes,
        signature: str,
    ) -> int:
        """Queue a body that control made or repeats, outside its object's lane.

        A forged signature is tried once only: a receiver that rightly refuses it must not be
        asked for 36 hours.
        """
        attempts_max = ATTEMPTS_MAX if signature == "valid" else 1
        return self._insert(
            addressee,
            lane="",
            event=event,
            source=source,
            body=body,
            signature=signature,
            state="pending",
            attempts_max=attempts_max,
        )

    def due(self, *, busy_lanes: Collection[str], limit: int) -> list[Due]:
        """Return deliveries to attempt now: the first of each lane that is not busy."""
        rows = self._connection.execute(
            "SELECT d.id, d.lane, d.url, d.key_name, d.event, d.object_id, d.body, d.signature"
            " FROM deliveries d INDEXED BY deliveries_pending"
            " WHERE d.state = 'pending' AND d.next_attempt_at <= ?"
            " AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.lane = d.lane"
            " AND e.state = 'pending' AND e.position < d.position)"
            " ORDER BY d.position LIMIT ?",
            (self._now, limit + len(busy_lanes)),
        )
        found = [Due(**dict(row)) for row in rows]
        return [due for due in found if due.lane not in busy_lanes][:limit]

    def next_due_at(self) -> float | None:
        """Return when the earliest retry lies in the future, or None when none waits."""
        row = self._connection.execute(
            "SELECT min(next_attempt_at) AS at FROM deliveries"
            " WHERE state = 'pending' AND next_attempt_at > ?",
            (self._now,),
        ).fetchone()
        return None if row["at"] is None else float(row["at"])

    def record(self, delivery_id: int, *, status: int | None, error: str, scale: float) -> None:
        """Write down one attempt and what follows from it; any 2xx ends the delivery."""
        row = self._connection.execute(
            "SELECT attempts, attempts_max, first_attempt_at, state FROM deliveries WHERE id = ?",
            (delivery_id,),
        ).fetchone()
        if row is None or row["state"] != "pending":
            return
        self._connection.execute(
            "INSERT INTO delivery_attempts (delivery_id, attempted_at, status, error_message)"
            " VALUES (?, ?, ?, ?)",
            (delivery_id, self._now, status, error),
        )
        first_at = self._now if row["first_attempt_at"] is None else row["first_attempt_at"]
        attempts = row["attempts"] + 1
        delivered = is_success(status)
        offset = attempt_offset_seconds(attempts, scale=scale)
        if delivered:
            state, next_at = "delivered", self._now
        elif offset is None or attempts >= row["attempts_max"]:
            state, next_at = "given_up", self._now
        else:
            state, next_at = "pending", first_at + offset
        self._connection.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, first_attempt_at = ?,"
            " next_attempt_at = ?, delivered_at = ?, last_status = ? WHERE id = ?",
            (
                state,
                attempts,
                first_at,
                next_at,
                self._now if delivered else None,
                status,
                delivery_id,
            ),
        )

    def hurry(self) -> None:
        """Make every waiting retry due now."""
        self.changed = True
        self._connection.execute(
            "UPDATE deliveries SET next_attempt_at = ? WHERE state = 'pending'", (self._now,)
        )

    def release(self, order: str | Sequence[int]) -> int:
        """Send what was held back, in the `given` order, `reversed`, or as the ids name it.

        Returns:
            How many deliveries were released.
        """
        self.changed = True
        direction = "DESC" if order == "reversed" else "ASC"
        rows = self._connection.execute(
            f"SELECT id FROM deliveries WHERE state = 'held' ORDER BY position {direction}"
        )
        held = [int(row["id"]) for row in rows]
        chosen = held if isinstance(order, str) else [one for one in order if one in held]
        for delivery_id in chosen:
            self._connection.execute(
                "UPDATE deliveries SET state = 'pending', next_attempt_at = ?, position = ?"
                " WHERE id = ?",
                (self._now, self._next_position(), delivery_id),
            )
        return len(chosen)

    def readdress(self, key_name: str, *, url: str | None) -> None:
        """Send what still waits for a webhook to its new address, or drop it with the webhook."""
        if url is None:
            self._connection.execute(
                "UPDATE deliveries SET state = 'dropped'"
                " WHERE key_name = ? AND state IN ('pending', 'held')",
                (key_name,),
            )
        else:
            self._connection.execute(
                "UPDATE deliveries SET url = ? WHERE key_name = ? AND state IN ('pending', 'held')",
                (url, key_name),
            )

    def newest_of(self, object_id: str, *, event: str = "") -> list[sqlite3.Row]:
        """Return the newest deliveries of an object, one for each receiver."""
        rows = self._connection.execute(
            "SELECT * FROM deliveries WHERE object_id = ? AND (? = '' OR event = ?)"
            " ORDER BY id DESC",
            (object_id, event, event),
        ).fetchall()
        by_receiver: dict[tuple[str, str], sqlite3.Row] = {}
        for row in rows:
            if row["event"] == rows[0]["event"]:
                by_receiver.setdefault((row["key_name"], row["url"]), row)
        return list(by_receiver.values())

    def newest(
        self, *, object_id: str = "", event: str = "", state: str = "", limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return deliveries for control, newest first, without their bodies' bytes."""
        rows = self._connection.execute(
            "SELECT id, object_type, object_id, event, url, state, attempts, last_status,"
            " signature, created_at, next_attempt_at, delivered_at, body FROM deliveries"
            " WHERE (? = '' OR object_id = ?) AND (? = '' OR event = ?) AND (? = '' OR state = ?)"
            " ORDER BY id DESC LIMIT ?",
            (object_id, object_id, event, event, state, state, limit),
        )
        return [{**dict(row), "body": json.loads(row["body"])} for row in rows]

    def of_object(self, object_id: str, *, object_type: str) -> list[dict[str, Any]]:
        """Return the deliveries of an object as the merchant may see them, newest first.

        Times are ISO 8601 here, and only here. Source: revio-api, section 6.4.
        """
        rows = self._connection.execute(
            "SELECT * FROM deliveries WHERE object_id = ? AND object_type = ? ORDER BY id DESC",
            (object_id, object_type),
        )
        return [self._shown(row) for row in rows.fetchall()]

    def counts(self) -> dict[str, int]:
        """Return how many deliveries are in each state."""
        rows = self._connection.execute(
            "SELECT state, count(*) AS number FROM deliveries GROUP BY state ORDER BY state"
        )
        return {row["state"]: row["number"] for row in rows}

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        attempts = self._connection.execute(
            "SELECT attempted_at, error_message FROM delivery_attempts"
            " WHERE delivery_id = ? ORDER BY id",
            (row["id"],),
        )
        return {
            "created_on": _iso(row["created_at"]),
            "delivered_on": None if row["delivered_at"] is None else _iso(row["delivered_at"]),
            "attempts": row["attempts"],
            "delivery_attempts": [
                {
                    "attempted_on": _iso(attempt["attempted_at"]),
                    "error_message": attempt["error_message"],
                }
                for attempt in attempts
            ],
            "url": row["url"],
            "event": row["event"],
            "payload": json.loads(row["body"]),
        }

    def _insert(
        self,
        addressee: Addressee,
        *,
        lane: str,
        event: str,
        source: tuple[str, str],
        body: bytes,
        signature: str,
        state: str,
        attempts_max: int,
    ) -> int:
        self.changed = True
        position = self._next_position()
        cursor = self._connection.execute(
            "INSERT INTO deliveries (position, lane, key_name, url, object_type, object_id, event,"
            " body, signature, state, attempts_max, created_at, next_attempt_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                position,
                lane or f"control {position}",
                addressee.key_name,
                addressee.url,
                *source,
                event,
                body,
                signature,
                state,
                attempts_max,
                self._now,
                self._now,
            ),
        )
        return int(cursor.lastrowid or 0)

    def _next_position(self) -> int:
        row = self._connection.execute(
            "SELECT coalesce(max(position), 0) + 1 AS next FROM deliveries"
        ).fetchone()
        return int(row["next"])


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
