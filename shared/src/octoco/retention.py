"""How long what is only remembered is kept, and its deletion in small pieces."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog
from environs import Env, EnvError

from octoco.database.engine import Database
from octoco.errors import ConfigurationError, Unavailable
from octoco.ids import first_id
from octoco.telemetry.metrics import ROWS_PURGED

PURGE_EVERY_SECONDS: Final = 60.0
RUN_SECONDS_MAX: Final = 5.0
BATCH_ROWS: Final = 1000
# Where a run has found nothing more, nobody looks again for this long.
REST_SECONDS: Final = 3600.0
DAYS_MAX: Final = 36_500
# Whoever finds others at it for so long, run after run, no longer believes that they get on.
NO_TURN_SECONDS_MAX: Final = 600.0


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """For how many days rows are kept that only say what happened before.

    Args:
        inbox_days: Events handled: within it a repeat of an event is known as one. Longer than
            anything may lie about before somebody replays it.
        idempotency_keys_days: Keys of requests: within it a repeat gets the first one's answer.
        intents_days: Finished intents, of kinds that may be forgotten.
    """

    inbox_days: int = 90
    idempotency_keys_days: int = 30
    intents_days: int = 90


def read_retention(env: Env) -> RetentionSettings:
    """Read INBOX_KEEP_DAYS, IDEMPOTENCY_KEYS_KEEP_DAYS and INTENTS_KEEP_DAYS; all have defaults.

    Raises:
        ConfigurationError: one of them is out of bounds; the message names it and its bounds.
    """
    usual = RetentionSettings()
    return RetentionSettings(
        # The retry tiers and a broker that is away for a long weekend come to less.
        inbox_days=read_days(env, "INBOX_KEEP_DAYS", usual=usual.inbox_days, least=7),
        idempotency_keys_days=read_days(
            env, "IDEMPOTENCY_KEYS_KEEP_DAYS", usual=usual.idempotency_keys_days, least=1
        ),
        intents_days=read_days(env, "INTENTS_KEEP_DAYS", usual=usual.intents_days, least=1),
    )


def read_days(env: Env, name: str, *, usual: int, least: int) -> int:
    """Read for how many days something is kept.

    Args:
        env: The environment.
        name: Of the variable.
        usual: If it is not set.
        least: Fewer are refused.

    Raises:
        ConfigurationError: it is no whole number, or out of bounds.
    """
    try:
        days: int | None = env.int(name, usual)
    except EnvError:
        days = None
    if days is None or not least <= days <= DAYS_MAX:
        raise ConfigurationError(f"{name} must be a whole number from {least} to {DAYS_MAX}")
    return days


@dataclass(frozen=True, slots=True)
class Kept:
    """Which rows of a table are kept for how long.

    Args:
        table: Its name.
        days: How long.
        primary_key: Its columns.
        order: An indexed column that follows time; rows are looked for in its order, so that what
            is not old enough is never read. It is a time itself, or an id made by `new_id`.
        id_prefix: Of such an id; None where `order` is a time.
        only: SQL of what else must be true of a row that may go; `:before` is the moment before
            which what happened may be forgotten.
        parameters: Of `only`.
    """

    table: str
    days: int
    primary_key: str
    order: str
    id_prefix: str | None = None
    only: str = "true"
    parameters: Mapping[str, object] = field(default_factory=dict)


def kept_by_every_service(
    settings: RetentionSettings, *, forgettable_intents: Collection[str]
) -> Sequence[Kept]:
    """Return what is kept for how long of the tables that every service has.

    Args:
        settings: How long.
        forgettable_intents: Kinds whose subjects never come again. A finished intent of any other
            kind is kept for ever: it is what makes adding it once more change nothing.
    """
    return (
        # By the event's id, which follows time, because an index on handled_at would cost each
        # event that is handled; and by handled_at, because an old event may be handled late.
        Kept(
            "inbox",
            settings.inbox_days,
            primary_key="event_id",
            order="event_id",
            id_prefix="msg",
            only="handled_at < :before",
        ),
        Kept(
            "idempotency_keys",
            settings.idempotency_keys_days,
            primary_key="user_id, key",
            order="stored_at",
        ),
        *(
            Kept(
                "intents",
                settings.intents_days,
                primary_key="kind, subject_id",
                order="finished_at",
                only="kind = :kind AND finished_at IS NOT NULL",
                parameters={"kind": kind},
            )
            for kind in forgettable_intents
        ),
    )


class Purge:
    """Deletes rows that were kept long enough, a batch in each unit of work, one process at a time.

    How old a row is goes by the database's clock.

    Args:
        database: Where the tables are; the service's role may delete from them.
        kept: What is kept for how long.
        batch_rows: Most rows deleted in one unit of work.
        run_seconds_max: A run stops after this long; what is left is for the next one.
        no_turn_seconds_max: For so long it is no failure that others have the turn.
    """

    def __init__(
        self,
        database: Database,
        kept: Sequence[Kept],
        *,
        batch_rows: int = BATCH_ROWS,
        run_seconds_max: float = RUN_SECONDS_MAX,
        no_turn_seconds_max: float = NO_TURN_SECONDS_MAX,
    ) -> None:
        self._database = database
        self._run_seconds_max = run_seconds_max
        self._kept = kept
        self._batch_rows = batch_rows
        self._no_turn_seconds_max = no_turn_seconds_max
        self._had_turn_at = time.monotonic()
        self._resting_until: dict[int, float] = {}
        self._reached: dict[int, Any] = {}
        self._log = structlog.get_logger("octoco.retention")

    def run(self) -> int:
        """Delete what may go, for a few seconds at most; the next run goes on where this one stops.

        Returns:
            How many rows were deleted; none while another process is at it.

        Raises:
            Unavailable: the database is away, or others have had the turn for ten minutes.
        """
        with self._database.turn("purge", wait_seconds=0.05) as is_ours:
            if is_ours:
                self._had_turn_at = time.monotonic()
                return self._run()
        if time.monotonic() - self._had_turn_at > self._no_turn_seconds_max:
            raise Unavailable("Others have had the turn at deleting for too long.")
        return 0

    def _run(self) -> int:
        deadline = time.monotonic() + self._run_seconds_max
        deleted = 0
        for number, kept in enumerate(self._kept):
            if time.monotonic() >= self._resting_until.get(number, 0.0):
                deleted += self._purge(number, kept, deadline=deadline)
        return deleted

    def _purge(self, number: int, kept: Kept, *, deadline: float) -> int:
        before: datetime = self._database.statement(
            "SELECT now() - make_interval(days => :days)", {"days": kept.days}
        )[0][0]
        start, end = (
            ("-infinity", before)
            if kept.id_prefix is None
            else ("", first_id(kept.id_prefix, at=before))
        )
        sql = _statement(kept)
        deleted = 0
        while True:
            gone = self._database.statement(
                sql,
                {
                    **kept.parameters,
                    "before": before,
                    "start": self._reached.get(number, start),
                    "end": end,
                    "rows": self._batch_rows,
                },
            )[0]
            rows: int = gone.row_count
            deleted += rows
            ROWS_PURGED.labels(table=kept.table).inc(rows)
            if rows < self._batch_rows:
                self._reached.pop(number, None)
                self._resting_until[number] = time.monotonic() + REST_SECONDS
                break
            # The next batch begins here, and not among the remains of this one.
            self._reached[number] = gone.reached
            if time.monotonic() >= deadline:
                break
        if deleted:
            self._log.info("rows_purged", table=kept.table, rows=deleted, older_than=str(before))
        return deleted


def _statement(kept: Kept) -> str:
    # The condition stands twice: a row that has changed since it was found is looked at again.
    old = f"{kept.order} < :end AND ({kept.only})"
    return f"""
        WITH gone AS (
            DELETE FROM {kept.table} WHERE {old} AND ({kept.primary_key}) IN (
                SELECT {kept.primary_key} FROM {kept.table}
                WHERE {kept.order} >= :start AND {old}
                ORDER BY {kept.order} LIMIT :rows)
            RETURNING {kept.order}
        )
        SELECT count(*) AS row_count, max({kept.order}) AS reached FROM gone
    """
