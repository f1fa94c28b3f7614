"""What was kept long enough goes, in small batches; what is still needed stays."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.errors import Unavailable
from octoco.ids import first_id
from octoco.messaging.contracts import Contracts
from octoco.retention import Kept, Purge, RetentionSettings, kept_by_every_service
from octoco.telemetry.metrics import ROWS_PURGED
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.worker import Worker, WorkerParts

Units = PostgresUnitsOfWork[PostgresUnit]
SETTINGS = RetentionSettings(inbox_days=90, idempotency_keys_days=30, intents_days=60)
KEPT = kept_by_every_service(SETTINGS, forgettable_intents=["mail"])


def ago(**by: float) -> datetime:
    return datetime.now(UTC) - timedelta(**by)


def made(at: datetime, number: int = 0) -> str:
    """Return an id as it is made at a moment."""
    return first_id("msg", at=at)[:-6] + f"{number:06}"


def handle(database: Database, event_id: str, *, at: datetime) -> None:
    database.statement(
        "INSERT INTO inbox VALUES (:event_id, :at)", {"event_id": event_id, "at": at}
    )


def stored(database: Database, sql: str) -> list[Any]:
    return [row[0] for row in database.statement(sql, {})]


def test_events_are_remembered_for_as_long_as_they_are_kept(
    database: Database, units: Units
) -> None:
    long_ago, handled_late, recent = made(ago(days=91)), made(ago(days=91), 1), made(ago(days=89))
    handle(database, long_ago, at=ago(days=90, hours=1))
    handle(database, handled_late, at=ago(days=89))
    handle(database, recent, at=ago(days=89))
    assert Purge(database, KEPT).run() == 1
    assert not units.run(lambda unit: unit.inbox.record(handled_late))
    assert not units.run(lambda unit: unit.inbox.record(recent))
    assert units.run(lambda unit: unit.inbox.record(long_ago))


def test_a_requests_key_is_remembered_for_as_long_as_it_is_kept(
    database: Database, units: Units
) -> None:
    for key, days in (("old", 30.1), ("recent", 29.9)):
        database.statement(
            "INSERT INTO idempotency_keys VALUES ('usr', :key, 'hash', :key, :at)",
            {"key": key, "at": ago(days=days)},
        )
    assert Purge(database, KEPT).run() == 1
    claim = {"user_id": "usr", "request_hash": "hash"}
    assert units.run(lambda unit: unit.idempotency_keys.claim(key="recent", **claim)) == "recent"
    assert units.run(lambda unit: unit.idempotency_keys.claim(key="old", **claim)) is None


def test_a_finished_intent_goes_only_if_its_subject_never_comes_again(
    database: Database, units: Units
) -> None:
    for kind in ("mail", "payout"):
        for subject, finished in (
            ("long ago", ago(days=61)),
            ("recently", ago(days=59)),
            ("never", None),
        ):
            database.statement(
                "INSERT INTO intents (kind, subject_id, data, correlation_id, created_at, due_at,"
                " finished_at) VALUES (:kind, :subject, '{}', 'cor', :long_ago, :long_ago,"
                " :finished)",
                {
                    "kind": kind,
                    "subject": subject,
                    "long_ago": ago(days=400),
                    "finished": finished,
                },
            )
    assert Purge(database, KEPT).run() == 1
    assert set(stored(database, "SELECT kind || ' ' || subject_id FROM intents")) == {
        "mail recently",
        "mail never",
        "payout long ago",
        "payout recently",
        "payout never",
    }
    assert not units.run(lambda unit: unit.intents.add(kind="payout", subject_id="long ago"))


def fill_inbox(schema: ProvisionedSchema, *, old: int, recent: int) -> None:
    with psycopg2.connect(schema.owner_url) as connection, connection.cursor() as cursor:
        for count, at in ((old, ago(days=100)), (recent, ago(days=10))):
            cursor.execute(
                "INSERT INTO inbox SELECT %s || lpad(n::text, 6, '0'), %s"
                " FROM generate_series(1, %s) AS n",
                (first_id("msg", at=at)[:-6], at, count),
            )
        cursor.execute("ANALYZE inbox")
    connection.close()


def purged(table: str) -> float:
    return float(ROWS_PURGED.labels(table=table)._value.get())


def test_a_run_deletes_batch_after_batch_and_counts_the_rows(
    database: Database, schema: ProvisionedSchema
) -> None:
    fill_inbox(schema, old=25, recent=5)
    before = purged("inbox")
    assert Purge(database, KEPT, batch_rows=10).run() == 25
    assert purged("inbox") - before == 25
    assert stored(database, "SELECT count(*) FROM inbox") == [5]


def test_a_run_that_has_no_more_time_is_gone_on_with_by_the_next(
    database: Database, schema: ProvisionedSchema
) -> None:
    fill_inbox(schema, old=25, recent=5)
    purge = Purge(database, KEPT, batch_rows=10, run_seconds_max=0.0)
    assert [purge.run() for _ in range(4)] == [10, 10, 5, 0]


def test_one_process_purges_at_a_time(database: Database, schema: ProvisionedSchema) -> None:
    fill_inbox(schema, old=5, recent=5)
    other = Database(schema.service_url, application_name="probe", pool_size=2)
    with other.turn("purge", wait_seconds=1):
        assert Purge(database, KEPT).run() == 0
    assert Purge(database, KEPT).run() == 5
    other.dispose()


def test_who_gets_no_turn_for_long_does_not_say_that_all_is_done(
    database: Database, schema: ProvisionedSchema
) -> None:
    other = Database(schema.service_url, application_name="probe", pool_size=2)
    purge = Purge(database, KEPT, no_turn_seconds_max=0.0)
    with other.turn("purge", wait_seconds=1), pytest.raises(Unavailable):
        purge.run()
    assert purge.run() == 0
    other.dispose()


def test_every_worker_purges_by_its_own_settings(
    database: Database, units: Units, schema: ProvisionedSchema, contracts: Contracts
) -> None:
    recent, long_ago = made(ago(days=8)), made(ago(days=9))
    handle(database, recent, at=ago(days=6))
    handle(database, long_ago, at=ago(days=8))
    parts: WorkerParts[PostgresUnit] = WorkerParts(
        service="probe",
        database_url=schema.service_url,
        database=database,
        units=units,
        contracts=contracts,
        amqp_url="amqp://127.0.0.1:1/",
        subscriptions={},
        retention=RetentionSettings(inbox_days=7),
    )
    (job,) = [job for job in Worker(parts)._own_jobs() if job.name == "purge"]
    job.run()
    assert stored(database, "SELECT event_id FROM inbox") == [recent]


def rows_read(schema: ProvisionedSchema, kept: Sequence[Kept]) -> tuple[int, int]:
    """Return how often a purge read all of the inbox, and how many rows it read by an index."""
    counted = (
        "SELECT seq_scan, coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"
        " WHERE relname = 'inbox'"
    )
    admin = psycopg2.connect(schema.admin_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(counted)
        scans, fetched = cursor.fetchone() or (0, 0)
        # A session that has ended has told what it counted.
        database = Database(schema.service_url, application_name="purging", pool_size=2)
        Purge(database, kept).run()
        database.dispose()

        def has_ended() -> bool:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'purging'")
            return cursor.fetchone() is None

        eventually(has_ended, what="the sessions' end")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(counted)
        scans_after, fetched_after = cursor.fetchone() or (0, 0)
    admin.close()
    return scans_after - scans, fetched_after - fetched


@pytest.mark.usefixtures("database")
def test_a_purge_of_a_big_table_reads_what_it_deletes_and_nothing_else(
    schema: ProvisionedSchema,
) -> None:
    fill_inbox(schema, old=3000, recent=60_000)
    scans, fetched = rows_read(schema, KEPT)
    assert scans == 0
    assert 3000 <= fetched <= 3 * 3000
    scans, fetched = rows_read(schema, KEPT)
    # One dead row or another may still have to be looked at.
    assert scans == 0
    assert fetched <= 100
