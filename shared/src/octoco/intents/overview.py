"""Intents as people see them: how late each kind is, what is stuck, and a push for one of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy

from octoco.database.engine import Database
from octoco.errors import Refusal
from octoco.telemetry.metrics import INTENT_OLDEST_DUE_AGE, INTENTS_DUE

# An intent that is this late, or was tried this often without an answer, is worth a look.
STUCK_LATE_SECONDS: Final = 300
STUCK_ATTEMPTS: Final = 5
COUNTED_MAX: Final = 10_000

_STUCK: Final = f"""
    (leased_until IS NULL OR leased_until <= now())
    AND (attempts >= {STUCK_ATTEMPTS}
         OR due_at < now() - make_interval(secs => {STUCK_LATE_SECONDS}))
"""
_SHOWN: Final = """
    kind, subject_id, data, attempts, created_at, due_at, leased_until, begun_at, answered_at,
    last_reason, finished_at, correlation_id,
    extract(epoch FROM now() - due_at) AS late_seconds,
    CASE WHEN finished_at IS NOT NULL THEN 'finished' WHEN leased_until > now() THEN 'in hand'
        WHEN due_at <= now() THEN 'due' ELSE 'waiting' END AS state
"""
_LIST: Final = f"""
    SELECT {_SHOWN} FROM intents
    WHERE finished_at IS NULL AND (CAST(:kind AS text) IS NULL OR kind = :kind)
      AND (NOT :due OR due_at <= now()) AND (NOT :stuck OR ({_STUCK}))
    ORDER BY due_at, kind, subject_id LIMIT :limit
"""
_FIND: Final = f"SELECT {_SHOWN} FROM intents WHERE kind = :kind AND subject_id = :subject_id"
_PUSHES: Final = """
    SELECT pushed_at, pushed_by, reason FROM intent_pushes
    WHERE kind = :kind AND subject_id = :subject_id ORDER BY id
"""
_LOCK: Final = sqlalchemy.text(f"{_FIND} FOR UPDATE")
_PUSH: Final = sqlalchemy.text(
    """
    UPDATE intents SET due_at = least(due_at, clock_timestamp())
    WHERE kind = :kind AND subject_id = :subject_id
    """
)
_NOTE_PUSH: Final = sqlalchemy.text(
    """
    INSERT INTO intent_pushes (kind, subject_id, pushed_by, reason)
    VALUES (:kind, :subject_id, :pushed_by, :reason)
    """
)
# A few index lookups for each kind, however many intents wait for their time.
_MEASURE: Final = f"""
    WITH RECURSIVE kinds (kind) AS (
        (SELECT kind FROM intents WHERE finished_at IS NULL ORDER BY kind LIMIT 1)
        UNION ALL
        SELECT (SELECT intents.kind FROM intents
                WHERE finished_at IS NULL AND intents.kind > kinds.kind ORDER BY 1 LIMIT 1)
        FROM kinds WHERE kinds.kind IS NOT NULL
    )
    SELECT kind, due.due_count, coalesce(due.oldest_seconds, 0) AS oldest_seconds
    FROM kinds CROSS JOIN LATERAL (
        SELECT count(*) AS due_count,
            extract(epoch FROM clock_timestamp() - min(due_at)) AS oldest_seconds
        FROM (SELECT due_at FROM intents
              WHERE intents.kind = kinds.kind AND finished_at IS NULL AND due_at <= now()
              ORDER BY due_at LIMIT {COUNTED_MAX}) AS oldest_due
    ) AS due
    WHERE kind IS NOT NULL
"""


class IntentState(StrEnum):
    """Where an intent stands."""

    WAITING = "waiting"
    DUE = "due"
    IN_HAND = "in hand"
    FINISHED = "finished"


class IntentNotFound(Refusal):
    """There is no intent of this kind for this subject."""

    code = "intent_not_found"


class IntentFinished(Refusal):
    """The intent has reached its end and is never performed again."""

    code = "intent_finished"


@dataclass(frozen=True, slots=True)
class ShownIntent:
    """An intent as it is stored.

    Args:
        late_seconds: For how long it has been due; negative before that.
        is_unanswered: Whether its last call was begun and has no recorded answer. While it is in
            hand that is the usual state of affairs.
        data: As stored: it may hold secrets.
    """

    kind: str
    subject_id: str
    state: IntentState
    attempts: int
    created_at: datetime
    due_at: datetime
    late_seconds: float
    begun_at: datetime | None
    answered_at: datetime | None
    is_unanswered: bool
    last_reason: str | None
    finished_at: datetime | None
    correlation_id: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Push:
    """Somebody made an intent due at once."""

    pushed_at: datetime
    pushed_by: str
    reason: str | None


class IntentOverview:
    """What operators and metrics are told about a service's intents.

    Args:
        database: Where the tables are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._measured: set[str] = set()

    def unfinished(
        self, *, limit: int, kind: str | None = None, due: bool = False, stuck: bool = False
    ) -> Sequence[ShownIntent]:
        """Return what is still to be performed, what is due first before the rest.

        Args:
            limit: At most so many.
            kind: Of this kind only; None is all of them.
            due: Only what is due already.
            stuck: Only what nobody has in hand and is 5 minutes late or was tried 5 times since
                its last answer.

        Raises:
            Unavailable: the database is away.
        """
        rows = self._database.statement(
            _LIST, {"kind": kind, "due": due, "stuck": stuck, "limit": limit}
        )
        return [_shown(row) for row in rows]

    def find(self, *, kind: str, subject_id: str) -> tuple[ShownIntent, Sequence[Push]]:
        """Return an intent, finished or not, and who has pushed it.

        Raises:
            IntentNotFound: there is none.
            Unavailable: the database is away.
        """
        identity = {"kind": kind, "subject_id": subject_id}
        rows = self._database.statement(_FIND, identity)
        if not rows:
            raise IntentNotFound(f"There is no intent {kind} {subject_id}.")
        pushes = self._database.statement(_PUSHES, identity)
        return _shown(rows[0]), [Push(row.pushed_at, row.pushed_by, row.reason) for row in pushes]

    def push(
        self, *, kind: str, subject_id: str, pushed_by: str, reason: str | None
    ) -> ShownIntent:
        """Make an intent due now, and keep who did it and why.

        Nothing else changes: not whose lease it is, not what is known about its call. So whoever
        has it in hand keeps it, and what must not be done twice is not done twice by a push.

        Args:
            kind: Of the intent.
            subject_id: Likewise.
            pushed_by: Who says so.
            reason: Why, if they say.

        Returns:
            The intent as it was before. One that was due stays due as long as it was.

        Raises:
            IntentNotFound: there is none.
            IntentFinished: it is never performed again.
            Unavailable: the database is away.
        """
        identity = {"kind": kind, "subject_id": subject_id}

        def work(connection: sqlalchemy.Connection) -> ShownIntent:
            row = connection.execute(_LOCK, identity).one_or_none()
            if row is None:
                raise IntentNotFound(f"There is no intent {kind} {subject_id}.")
            if row.finished_at is not None:
                raise IntentFinished(
                    f"The intent {kind} {subject_id} was finished at {row.finished_at:%F %T} UTC;"
                    " it is not performed again."
                )
            connection.execute(_PUSH, identity)
            connection.execute(_NOTE_PUSH, {**identity, "pushed_by": pushed_by, "reason": reason})
            return _shown(row)

        return self._database.run(work)

    def measure(self, kinds: Iterable[str]) -> None:
        """Set the gauges of how late each kind is.

        Args:
            kinds: Those that are performed here; what is stored of others is measured as well.

        Raises:
            Unavailable: the database is away.
        """
        rows = self._database.statement(_MEASURE, {})
        self._measured.update(kinds, (row.kind for row in rows))
        found = {row.kind: row for row in rows}
        for kind in self._measured:
            row = found.get(kind)
            INTENTS_DUE.labels(kind=kind).set(0 if row is None else row.due_count)
            INTENT_OLDEST_DUE_AGE.labels(kind=kind).set(0 if row is None else row.oldest_seconds)


def _shown(row: Any) -> ShownIntent:
    return ShownIntent(
        kind=row.kind,
        subject_id=row.subject_id,
        state=IntentState(row.state),
        attempts=row.attempts,
        created_at=row.created_at,
        due_at=row.due_at,
        late_seconds=float(row.late_seconds),
        begun_at=row.begun_at,
        answered_at=row.answered_at,
        is_unanswered=(
            row.begun_at is not None and row.answered_at is None and row.finished_at is None
        ),
        last_reason=row.last_reason,
        finished_at=row.finished_at,
        correlation_id=row.correlation_id,
        data=row.data,
    )
