"""Messages that an operator discarded: kept for good, with who, when and why."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from octoco.database.engine import Database
from octoco.messaging.masking import Masking

_KEEP: Final = """
    INSERT INTO discarded_messages
        (message_id, body_sha256, event_type, headers, body, reason, discarded_by)
    VALUES (:message_id, :body_sha256, :event_type, CAST(:headers AS jsonb), :body, :reason, :by)
    ON CONFLICT DO NOTHING
"""
_NEWEST: Final = """
    SELECT message_id, event_type, headers, body, reason, discarded_by, discarded_at
    FROM discarded_messages ORDER BY discarded_at DESC, message_id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class DiscardedMessage:
    """A message that is not to be handled any more.

    Args:
        id: Its message id, or `sha256:…` of its body.
        event_type: What it said it was.
        headers: Without secrets.
        body: Without secrets, as JSON-ready values.
        reason: Why it was discarded.
        by: Who discarded it.
        at: When, UTC.
    """

    id: str
    event_type: str | None
    headers: Mapping[str, Any]
    body: Any
    reason: str
    by: str
    at: datetime


class DiscardedMessages:
    """The table of one service; its role can add to it and read it, and nothing else.

    Nothing is ever taken out of it, so secrets are masked before they get there.

    Args:
        database: Of the service's own role.
        masking: Says what is secret.
    """

    def __init__(self, *, database: Database, masking: Masking) -> None:
        self._database = database
        self._masking = masking

    def keep(
        self,
        *,
        message_id: str,
        event_type: str | None,
        headers: Mapping[str, Any],
        body: bytes,
        reason: str,
        by: str,
    ) -> None:
        """Keep a message, committed on return; keeping the same one again changes nothing.

        The same are those of one id and one body.

        Args:
            message_id: Or what else it is known by.
            event_type: What it says it is.
            headers: As they came.
            body: As it came.
            reason: Why it is discarded.
            by: Who discards it.

        Raises:
            Unavailable: the database is away.
        """
        self._database.statement(
            _KEEP,
            {
                "message_id": _storable(message_id),
                "body_sha256": hashlib.sha256(body).hexdigest(),
                "event_type": None if event_type is None else _storable(event_type),
                "headers": _json(self._masking.headers(headers)),
                "body": _json(self._masking.body(event_type, body)),
                "reason": reason,
                "by": by,
            },
        )

    def newest(self, *, limit: int) -> Sequence[DiscardedMessage]:
        """Return what was discarded last, newest first.

        Raises:
            Unavailable: the database is away.
        """
        return [
            DiscardedMessage(
                id=row.message_id,
                event_type=row.event_type,
                headers=row.headers,
                body=json.loads(row.body),
                reason=row.reason,
                by=row.discarded_by,
                at=row.discarded_at,
            )
            for row in self._database.statement(_NEWEST, {"limit": limit})
        ]


def _json(value: object) -> str:
    # The database holds no NUL and no half of a surrogate pair, which JSON can spell.
    return json.dumps(_unspelled(value))


def _unspelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {_storable(name): _unspelled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_unspelled(each) for each in value]
    return _storable(value) if isinstance(value, str) else value


def _storable(text: str) -> str:
    without_halves = text.encode("utf-8", "backslashreplace").decode()
    return without_halves.replace("\x00", "\\x00")
