"""The intents table, seen from the executor: leases, and what became of a try."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from octoco.context import WorkContext, new_traceparent
from octoco.database.engine import Database
from octoco.database.units import PostgresUnit
from octoco.intents.intent import Intent

U_contra = TypeVar("U_contra", contravariant=True)

_LEASE: Final = """
    UPDATE intents SET attempts = attempts + 1, lease = lease + 1,
        leased_until = CAST(:now AS timestamptz) + make_interval(secs => :lease_seconds)
    WHERE (kind, subject_id) IN (
        SELECT kind, subject_id FROM intents
        WHERE finished_at IS NULL AND due_at <= :now AND kind = ANY(:kinds)
          AND (leased_until IS NULL OR leased_until <= :now)
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING kind, subject_id, data, attempts, lease, created_at, due_at,
        correlation_id, causation_id, traceparent
"""
_FENCE: Final = """
    SELECT 1 FROM intents
    WHERE kind = %(kind)s AND subject_id = %(subject_id)s AND lease = %(lease)s
      AND finished_at IS NULL
    FOR UPDATE
"""
_FINISH: Final = """
    UPDATE intents SET finished_at = %(now)s, leased_until = NULL, last_reason = NULL
    WHERE kind = %(kind)s AND subject_id = %(subject_id)s
"""
_RESCHEDULE: Final = """
    UPDATE intents SET due_at = %(due_at)s, leased_until = NULL, attempts = %(attempts)s,
        last_reason = %(reason)s
    WHERE kind = %(kind)s AND subject_id = %(subject_id)s
"""


@dataclass(frozen=True, slots=True)
class LeasedIntent:
    """An intent that one executor has for a while.

    Args:
        intent: What is to be done.
        lease: The fencing token; the next lease of the same intent has a greater one.
        context: Of the work that wanted it.
    """

    intent: Intent
    lease: int
    context: WorkContext


class IntentLeases(Protocol[U_contra]):
    """What an executor asks of the place where intents are stored."""

    def lease_next(
        self, *, kinds: Collection[str], now: datetime, lease_seconds: float
    ) -> LeasedIntent | None:
        """Lease the intent that has been due for longest, and count the try.

        Args:
            kinds: Which may be leased.
            now: What is due and which leases have ended, timezone-aware UTC.
            lease_seconds: How long nobody else may lease it.

        Returns:
            None if nothing is due that nobody has leased.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def still_ours(self, unit: U_contra, leased: LeasedIntent) -> bool:
        """Lock the intent in the unit and say whether this lease is still its last one."""
        ...

    def finish(self, unit: U_contra, leased: LeasedIntent, *, now: datetime) -> None:
        """Mark it finished: it is never leased again."""
        ...

    def reschedule(
        self,
        unit: U_contra,
        leased: LeasedIntent,
        *,
        due_at: datetime,
        attempts: int,
        reason: str,
    ) -> None:
        """End the lease; the intent is due again later.

        Args:
            unit: In which the lease was found to be still ours.
            leased: Which.
            due_at: When, timezone-aware UTC.
            attempts: How many tries count as made.
            reason: Why, for the operator.
        """
        ...


class PostgresIntentLeases:
    """See `IntentLeases`.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease_next(
        self, *, kinds: Collection[str], now: datetime, lease_seconds: float
    ) -> LeasedIntent | None:
        rows = self._database.statement(
            _LEASE, {"now": now, "lease_seconds": lease_seconds, "kinds": list(kinds)}
        )
        for row in rows:
            intent = Intent(
                row.kind, row.subject_id, row.data, row.attempts, row.created_at, row.due_at
            )
            context = WorkContext(
                correlation_id=row.correlation_id,
                causation_id=row.causation_id,
                traceparent=row.traceparent or new_traceparent(),
            )
            return LeasedIntent(intent, row.lease, context)
        return None

    def still_ours(self, unit: PostgresUnit, leased: LeasedIntent) -> bool:
        row = unit.connection.exec_driver_sql(_FENCE, {**_identity(leased), "lease": leased.lease})
        return row.one_or_none() is not None

    def finish(self, unit: PostgresUnit, leased: LeasedIntent, *, now: datetime) -> None:
        unit.connection.exec_driver_sql(_FINISH, {**_identity(leased), "now": now})

    def reschedule(
        self,
        unit: PostgresUnit,
        leased: LeasedIntent,
        *,
        due_at: datetime,
        attempts: int,
        reason: str,
    ) -> None:
        unit.connection.exec_driver_sql(
            _RESCHEDULE,
            {**_identity(leased), "due_at": due_at, "attempts": attempts, "reason": reason},
        )


def _identity(leased: LeasedIntent) -> dict[str, Any]:
    return {"kind": leased.intent.kind, "subject_id": leased.intent.subject_id}
