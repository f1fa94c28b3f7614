"""The intents table, seen from the executor: leases, and what became of a try."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final, Protocol, TypeVar

from octoco.clock import Clock
from octoco.context import WorkContext
from octoco.database.engine import Database
from octoco.database.units import PostgresUnit
from octoco.intents.intent import Intent

U_contra = TypeVar("U_contra", contravariant=True)

# A kind's places are picked by themselves, so that no kind waits behind another one's backlog.
_LEASE: Final = """
    WITH due AS (
        SELECT found.kind, found.subject_id
        FROM unnest(CAST(:kinds AS text[]), CAST(:places AS integer[])) AS free (kind, places)
        CROSS JOIN LATERAL (
            SELECT kind, subject_id, due_at FROM intents
            WHERE kind = free.kind AND finished_at IS NULL
              AND due_at <= coalesce(CAST(:now AS timestamptz), now())
              AND (leased_until IS NULL
                   OR leased_until <= coalesce(CAST(:now AS timestamptz), now()))
            ORDER BY due_at LIMIT free.places FOR UPDATE SKIP LOCKED
        ) AS found
        ORDER BY found.due_at LIMIT :most
    )
    UPDATE intents SET attempts = attempts + 1, lease = lease + 1,
        leased_until = coalesce(CAST(:now AS timestamptz), clock_timestamp())
            + make_interval(secs => :lease_seconds)
    FROM due WHERE intents.kind = due.kind AND intents.subject_id = due.subject_id
    RETURNING intents.kind, intents.subject_id, data, attempts, lease, created_at, due_at,
        begun_at, answered_at, correlation_id, causation_id, traceparent
"""
_RENEW_WHERE_IT_MAY_WAIT: Final = """
    WITH ours AS (
        SELECT intents.kind, intents.subject_id
        FROM unnest(CAST(:kinds AS text[]), CAST(:subject_ids AS text[]),
                    CAST(:leases AS bigint[])) AS held (kind, subject_id, lease)
        JOIN intents USING (kind, subject_id)
        WHERE intents.lease = held.lease AND finished_at IS NULL AND leased_until IS NOT NULL
        ORDER BY 1, 2 FOR UPDATE OF intents
    )
    UPDATE intents SET leased_until = coalesce(CAST(:now AS timestamptz), clock_timestamp())
        + make_interval(secs => :lease_seconds)
    FROM ours WHERE intents.kind = ours.kind AND intents.subject_id = ours.subject_id
    RETURNING intents.kind, intents.subject_id
"""
# A row that its own unit has locked is about to be settled, and needs no longer lease.
_RENEW: Final = _RENEW_WHERE_IT_MAY_WAIT.replace("OF intents", "OF intents SKIP LOCKED")
# Not `finished_at IS NULL`: that lets the planner walk the index of what is due instead of going
# to the one row by its key, and under SERIALIZABLE whoever walks it loses to all who write there.
_UNFINISHED: Final = "coalesce(finished_at, 'infinity') = 'infinity'"
_OURS: Final = f"""
    kind = %(kind)s AND subject_id = %(subject_id)s AND lease = %(lease)s AND {_UNFINISHED}
"""
_FENCE: Final = f"SELECT 1 FROM intents WHERE {_OURS} FOR UPDATE"
_BEGIN: Final = f"""
    UPDATE intents SET answered_at = NULL,
        begun_at = coalesce(CAST(%(now)s AS timestamptz), clock_timestamp())
    WHERE {_OURS}
"""
_SETTLED: Final = """
    leased_until = NULL, begun_at = CASE WHEN %(fate)s = 'NOT_MADE'
        THEN CAST(%(begun_at)s AS timestamptz) ELSE begun_at END,
    answered_at = CASE %(fate)s WHEN 'NOT_MADE' THEN CAST(%(answered_at)s AS timestamptz)
        WHEN 'ANSWERED' THEN coalesce(CAST(%(now)s AS timestamptz), clock_timestamp()) END
"""
_FINISH: Final = f"""
    UPDATE intents SET {_SETTLED}, last_reason = NULL,
        finished_at = coalesce(CAST(%(now)s AS timestamptz), clock_timestamp())
    WHERE {_OURS}
"""
_RESCHEDULE: Final = f"""
    UPDATE intents SET {_SETTLED}, attempts = %(attempts)s, last_reason = %(reason)s,
        due_at = coalesce(CAST(%(now)s AS timestamptz), clock_timestamp())
            + make_interval(secs => %(after_seconds)s)
    WHERE {_OURS}
"""


class CallFate(Enum):
    """What is known, when a try ends, about the call that it marked begun."""

    ANSWERED = auto()  # what the answer means is recorded in the same unit
    UNANSWERED = auto()  # it was begun, or may have been: the next try finds `was_begun`
    NOT_MADE = auto()  # surely nothing was sent: the marks are as they were before this try


@dataclass(frozen=True, slots=True)
class LeasedIntent:
    """An intent that one executor has for a while.

    Args:
        intent: What is to be done.
        lease: The fencing token; the next lease of the same intent has a greater one.
        context: Of the work that wanted it.
        begun_at: The stored mark of the last call begun, as it was when the lease was taken, UTC.
        answered_at: Likewise of its answer; None where there is none.
    """

    intent: Intent
    lease: int
    context: WorkContext
    begun_at: datetime | None = None
    answered_at: datetime | None = None


class IntentLeases(Protocol[U_contra]):
    """What an executor asks of the place where intents are stored. It decides what time it is."""

    def lease_due(
        self, *, places: Mapping[str, int], most: int, lease_seconds: float
    ) -> Sequence[LeasedIntent]:
        """Lease what is due and leased by nobody, what is due for longest first; count the tries.

        Args:
            places: How many of each kind may be leased.
            most: How many in all.
            lease_seconds: How long nobody else may lease them.

        Raises:
            Unavailable: the database is away.
        """
        ...

    def renew(
        self, leased: Collection[LeasedIntent], *, lease_seconds: float, waits: bool = False
    ) -> set[tuple[str, str]]:
        """Let leases that are still the last ones of their intents last from now on again.

        Args:
            leased: Which.
            lease_seconds: How long, from now on.
            waits: For whoever is at an intent in this moment; else that one is left out.

        Returns:
            Kind and subject of those renewed. The others have been taken over, have ended, or,
            unless it waits, are being renewed or settled in this moment.

        Raises:
            Unavailable: the database is away, or whoever it waits for takes too long.
        """
        ...

    def begin(self, unit: U_contra, leased: LeasedIntent) -> bool:
        """Lock the intent in the unit and mark its call begun, without an answer.

        Returns:
            False, and nothing is marked, if this lease is not its last one any more.
        """
        ...

    def still_ours(self, unit: U_contra, leased: LeasedIntent) -> bool:
        """Lock the intent in the unit and say whether this lease is still its last one."""
        ...

    def finish(self, unit: U_contra, leased: LeasedIntent, *, fate: CallFate) -> None:
        """Mark it finished, in a unit that found it still ours: it is never leased again."""
        ...

    def reschedule(
        self,
        unit: U_contra,
        leased: LeasedIntent,
        *,
        after_seconds: float,
        attempts: int,
        reason: str,
        fate: CallFate,
    ) -> None:
        """End the lease, in a unit that found it still ours; the intent is due again later.

        Args:
            unit: In which that was found.
            leased: Which.
            after_seconds: When, counted from now.
            attempts: How many tries count as made.
            reason: Why, for the operator.
            fate: What is known about the call.
        """
        ...


class PostgresIntentLeases:
    """See `IntentLeases`.

    Args:
        database: Where the table is.
        clock: Of what is due and how long leases last. None is the database's own clock, the one
            that all executors share, however wrong those of their machines are.
    """

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock

    def lease_due(
        self, *, places: Mapping[str, int], most: int, lease_seconds: float
    ) -> Sequence[LeasedIntent]:
        rows = self._database.statement(
            _LEASE,
            {
                "kinds": list(places),
                "places": list(places.values()),
                "most": most,
                "lease_seconds": lease_seconds,
                "now": self._now(),
            },
        )
        return [_leased(row) for row in sorted(rows, key=lambda row: row.due_at)]

    def renew(
        self, leased: Collection[LeasedIntent], *, lease_seconds: float, waits: bool = False
    ) -> set[tuple[str, str]]:
        rows = self._database.statement(
            _RENEW_WHERE_IT_MAY_WAIT if waits else _RENEW,
            {
                "kinds": [one.intent.kind for one in leased],
                "subject_ids": [one.intent.subject_id for one in leased],
                "leases": [one.lease for one in leased],
                "lease_seconds": lease_seconds,
                "now": self._now(),
            },
        )
        return {(row.kind, row.subject_id) for row in rows}

    def begin(self, unit: PostgresUnit, leased: LeasedIntent) -> bool:
        return unit.connection.exec_driver_sql(_BEGIN, self._named(leased)).rowcount == 1

    def still_ours(self, unit: PostgresUnit, leased: LeasedIntent) -> bool:
        row = unit.connection.exec_driver_sql(_FENCE, self._named(leased))
        return row.one_or_none() is not None

    def finish(self, unit: PostgresUnit, leased: LeasedIntent, *, fate: CallFate) -> None:
        unit.connection.exec_driver_sql(_FINISH, {**self._named(leased), "fate": fate.name})

    def reschedule(
        self,
        unit: PostgresUnit,
        leased: LeasedIntent,
        *,
        after_seconds: float,
        attempts: int,
        reason: str,
        fate: CallFate,
    ) -> None:
        unit.connection.exec_driver_sql(
            _RESCHEDULE,
            {
                **self._named(leased),
                "after_seconds": after_seconds,
                "attempts": attempts,
                "reason": reason,
                "fate": fate.name,
            },
        )

    def _now(self) -> datetime | None:
        return None if self._clock is None else self._clock.now()

    def _named(self, leased: LeasedIntent) -> dict[str, Any]:
        return {
            "kind": leased.intent.kind,
            "subject_id": leased.intent.subject_id,
            "lease": leased.lease,
            "begun_at": leased.begun_at,
            "answered_at": leased.answered_at,
            "now": self._now(),
        }


def _leased(row: Any) -> LeasedIntent:
    intent = Intent(
        kind=row.kind,
        subject_id=row.subject_id,
        data=row.data,
        attempt=row.attempts,
        created_at=row.created_at,
        due_at=row.due_at,
        begun_at=row.begun_at if row.answered_at is None else None,
    )
    context = WorkContext(
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
        traceparent=row.traceparent,
    )
    return LeasedIntent(intent, row.lease, context, row.begun_at, row.answered_at)
