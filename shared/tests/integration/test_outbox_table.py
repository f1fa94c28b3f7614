"""The outbox table stays small and quick to read, and its archive holds what was confirmed."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

from octoco.database import Database
from octoco.database.tables import messaging_tables_v1
from octoco.outbox.archive import OutboxArchive
from octoco.outbox.ports import StoredEvent
from octoco.outbox.store import DELETED_MAX, PostgresOutboxStore
from octoco.testing.provisions import ProvisionedSchema

ROWS = 2000
ROUNDS = 12
SECRET_TYPE = "probe.secret.told.v1"
INSERT = """
    INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data, correlation_id)
    SELECT 'msg_' || i, %s, 'thing ' || mod(i, 100), now(),
           jsonb_build_object('n', i, 'text', repeat('x', 200)), 'cor'
    FROM generate_series(1, %s) AS i
"""


class Table:
    """The outbox of a schema that nobody else uses, and looks at its size."""

    def __init__(self, schema: ProvisionedSchema) -> None:
        self.schema = schema
        self.store = PostgresOutboxStore(url=schema.service_url, service="table")
        assert self.store.lead()

    def ask(self, statement: str, values: Sequence[object] | None = None) -> Any:
        with contextlib.closing(psycopg2.connect(self.schema.owner_url)) as owner:
            owner.autocommit = True
            with owner.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchone() if cursor.description is not None else None

    def insert(self, rows: int, event_type: str = "probe.thing.happened.v1") -> None:
        self.ask(INSERT, (event_type, rows))

    def read(self, limit: int = 500) -> list[StoredEvent]:
        return list(self.store.read(held_back=[], limit=limit))

    def carry_away(self) -> None:
        while read := self.read():
            self.store.delete([stored.id for stored in read])

    def megabytes(self) -> float:
        (size,) = self.ask("SELECT pg_total_relation_size('outbox')")
        return float(size) / 1e6

    def pages_of_a_read(self) -> int:
        """How much a read of the oldest rows looks at."""
        from octoco.outbox import store  # noqa: PLC0415 - the very statement that the relay reads by

        values = {"first": self.store._oldest.place, "held_back": [], "limit": 500}
        explained = self.store._ask(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {store._READ}", values
        )
        plan = explained[0][0][0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.fixture(scope="module")
def boxed(provisioned_schema: Callable[..., ProvisionedSchema]) -> ProvisionedSchema:
    schema = provisioned_schema("boxed", None)
    with (
        contextlib.closing(psycopg2.connect(schema.owner_url)) as owner,
        owner,
        owner.cursor() as cursor,
    ):
        cursor.execute(messaging_tables_v1("boxed"))
    return schema


@pytest.fixture
def table(boxed: ProvisionedSchema) -> Iterator[Table]:
    made = Table(boxed)
    made.ask("TRUNCATE outbox, outbox_archive")
    yield made
    made.store.close()


@pytest.fixture
def database(boxed: ProvisionedSchema) -> Iterator[Database]:
    made = Database(boxed.service_url, application_name="boxed")
    yield made
    made.dispose()


@contextlib.contextmanager
def old_snapshot(url: str) -> Iterator[None]:
    """Somebody who looks at the database for a long time, as a backup does."""
    with contextlib.closing(psycopg2.connect(url)) as reader:
        reader.set_isolation_level(ISOLATION_LEVEL_REPEATABLE_READ)
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM outbox")
            yield


def test_the_table_is_vacuumed_after_a_thousand_deleted_rows_however_large_it_is(
    table: Table,
) -> None:
    (options,) = table.ask("SELECT reloptions FROM pg_class WHERE oid = 'outbox'::regclass")
    assert "autovacuum_vacuum_scale_factor=0" in options
    assert "autovacuum_vacuum_threshold=1000" in options
    assert "autovacuum_vacuum_cost_delay=0" in options


def test_rounds_of_messages_leave_the_table_as_small_as_after_the_first(table: Table) -> None:
    sizes = []
    for _ in range(ROUNDS):
        table.insert(ROWS)
        table.carry_away()
        # What autovacuum does after the next look around; a test cannot wait for it.
        table.ask("VACUUM outbox")
        sizes.append(table.megabytes())
    assert max(sizes) < 2.5
    assert table.pages_of_a_read() < 50


def test_an_old_snapshot_costs_room_until_it_ends_and_reads_almost_nothing(table: Table) -> None:
    with old_snapshot(table.schema.service_url):
        for _ in range(ROUNDS):
            table.insert(ROWS)
            table.carry_away()
            table.ask("VACUUM outbox")
            table.store.measure()
        assert ROUNDS * ROWS > 4 * DELETED_MAX
        table.insert(500)
        kept = table.megabytes()
        assert table.pages_of_a_read() < 600, "of some 1,500 that are dead"
        table.carry_away()
    table.ask("VACUUM outbox")
    for _ in range(ROUNDS):
        table.insert(ROWS)
        table.carry_away()
        table.ask("VACUUM outbox")
    assert table.megabytes() <= kept + 0.5, "what the snapshot has cost is used again"


def test_reads_never_begin_after_a_row_that_may_still_appear(table: Table) -> None:
    with contextlib.closing(psycopg2.connect(table.schema.service_url)) as late:
        with late.cursor() as cursor:
            cursor.execute(INSERT, ("probe.thing.late.v1", 1))
        for _ in range(4):
            table.insert(DELETED_MAX)
            table.carry_away()
            table.store.measure()
        late.commit()
    assert [stored.event.type for stored in table.read()] == ["probe.thing.late.v1"]


def test_reads_begin_at_the_oldest_row_that_stays(table: Table) -> None:
    table.insert(1, "probe.thing.held.v1")
    (held,) = table.read()
    for _ in range(4):
        table.insert(DELETED_MAX)
        others = table.store.read(held_back=[held.event.aggregate_id], limit=DELETED_MAX)
        table.store.delete([stored.id for stored in others])
        table.store.measure()
    assert table.store._oldest.place == held.id
    assert table.read()[0] == held


def test_what_waits_is_counted_and_its_age_told(table: Table) -> None:
    assert table.store.measure().waiting == 0
    assert table.store.measure().oldest_age_seconds == 0
    table.insert(7)
    table.ask(
        "UPDATE outbox SET stored_at = now() - interval '1 minute' WHERE message_id = 'msg_1'"
    )
    size = table.store.measure()
    assert size.waiting == 7
    assert 60 <= size.oldest_age_seconds < 90


def archived(table: Table) -> list[tuple[Any, ...]]:
    with (
        contextlib.closing(psycopg2.connect(table.schema.owner_url)) as owner,
        owner.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT message_id, event_type, data, tableoid::regclass::text"
            " FROM outbox_archive ORDER BY outbox_id"
        )
        return cursor.fetchall()


def test_confirmed_messages_move_to_the_day_s_archive_and_secrets_do_not(
    table: Table, database: Database
) -> None:
    OutboxArchive(database, days=7).keep()
    OutboxArchive(database, days=7).keep()
    table.insert(2)
    table.insert(1, SECRET_TYPE)
    with contextlib.closing(
        PostgresOutboxStore(
            url=table.schema.service_url,
            service="boxed",
            archives=True,
            without_body=[SECRET_TYPE],
        )
    ) as store:
        table.store.close()
        assert store.lead()
        store.delete([stored.id for stored in store.read(held_back=[], limit=10)])
        assert store.read(held_back=[], limit=10) == []
    kept = archived(table)
    assert [(row[0], row[1]) for row in kept] == [
        ("msg_1", "probe.thing.happened.v1"),
        ("msg_2", "probe.thing.happened.v1"),
        ("msg_1", SECRET_TYPE),
    ]
    assert kept[0][2]["n"] == 1
    assert kept[2][2] is None
    assert {row[3] for row in kept} == {f"outbox_archive_{datetime.now(UTC):%Y%m%d}"}


def test_old_days_are_dropped_and_days_without_a_partition_lose_nothing(
    table: Table, database: Database
) -> None:
    now = datetime.now(UTC)
    old, young = now - timedelta(days=9), now - timedelta(days=2)
    table.ask(
        f"CREATE TABLE IF NOT EXISTS outbox_archive_{old:%Y%m%d} PARTITION OF outbox_archive"
        f" FOR VALUES FROM ('{old:%Y-%m-%d} 00:00:00+00')"
        f" TO ('{old + timedelta(days=1):%Y-%m-%d} 00:00:00+00')"
    )
    for name, at in (("old", old), ("older", old - timedelta(days=3)), ("young", young)):
        table.ask(
            "INSERT INTO outbox_archive (outbox_id, message_id, event_type, aggregate_id,"
            " occurred_at, data, correlation_id, stored_at, confirmed_at)"
            " VALUES (1, %s, 't', 'a', now(), '{}', 'c', now(), %s)",
            (name, at),
        )
    OutboxArchive(database, days=7).keep()
    assert [(row[0], row[3]) for row in archived(table)] == [("young", "outbox_archive_rest")]
    assert table.ask(f"SELECT to_regclass('outbox_archive_{old:%Y%m%d}')") == (None,)
    ahead = now + timedelta(days=3)
    assert table.ask(f"SELECT to_regclass('outbox_archive_{ahead:%Y%m%d}') IS NOT NULL") == (True,)


def test_the_service_may_have_the_archive_kept_and_change_nothing_in_it(table: Table) -> None:
    with contextlib.closing(psycopg2.connect(table.schema.service_url)) as service:
        service.autocommit = True
        with service.cursor() as cursor:
            for forbidden in (
                "DELETE FROM outbox_archive",
                "UPDATE outbox_archive SET data = NULL",
                "DROP TABLE outbox_archive",
                "TRUNCATE outbox_archive_rest",
            ):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(forbidden)
