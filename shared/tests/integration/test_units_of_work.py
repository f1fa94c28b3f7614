"""Units of work on real PostgreSQL: all or nothing, lost races run again, keys used once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
import sqlalchemy

from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork, engine
from octoco.errors import IdempotencyKeyInFlight, IdempotencyKeyReused, Unavailable
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema

Units = PostgresUnitsOfWork[PostgresUnit]


def count(database: Database, table: str) -> int:
    return int(
        database.read(lambda c: c.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
    )


def test_an_exception_takes_everything_back(units: Units, database: Database) -> None:
    def fail(unit: PostgresUnit) -> None:
        unit.inbox.record("msg_1")
        raise LookupError

    with pytest.raises(LookupError):
        units.run(fail)
    assert count(database, "inbox") == 0


def test_an_event_is_recorded_once(units: Units) -> None:
    assert units.run(lambda unit: unit.inbox.record("msg_1"))
    assert not units.run(lambda unit: unit.inbox.record("msg_1"))


def test_forty_racing_increments_are_all_counted(database: Database) -> None:
    database.run(lambda c: c.exec_driver_sql("INSERT INTO counters VALUES ('hot', 0)"))

    def increment(_: int) -> None:
        def work(connection: sqlalchemy.Connection) -> None:
            value = connection.exec_driver_sql("SELECT value FROM counters").scalar_one()
            connection.exec_driver_sql("UPDATE counters SET value = %s", (value + 1,))

        database.run(work, contended_on="hot", deadline_seconds=60)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))
    assert database.read(lambda c: c.exec_driver_sql("SELECT value FROM counters").scalar()) == 40


def test_a_connection_killed_before_commit_is_replaced_and_the_work_done_once(
    database: Database, schema: ProvisionedSchema
) -> None:
    tries = []

    def work(connection: sqlalchemy.Connection) -> None:
        tries.append(1)
        connection.exec_driver_sql("INSERT INTO effects VALUES ('x', 1)")
        if len(tries) == 1:
            _terminate(schema, connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        connection.exec_driver_sql("SELECT 1")

    database.run(work)
    assert len(tries) == 2
    assert count(database, "effects") == 1


_LOSE_THE_RACE = "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$"
_QUEUE = """
    SELECT granted, pid FROM pg_locks WHERE locktype = 'advisory' AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database()
    ) AND (classid::bigint << 32) + objid::bigint = hashtextextended('probe:crowd', 0)
"""


def test_who_has_lost_a_race_has_the_next_try_alone_among_those_who_want_the_same(
    database: Database,
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def lose_once(name: str) -> None:
        tries: list[str] = []

        def work(connection: sqlalchemy.Connection) -> None:
            tries.append(name)
            if len(tries) == 1:
                connection.exec_driver_sql(_LOSE_THE_RACE)
            order.append(f"{name} begins")
            if name == "first":
                inside.set()
                assert go_on.wait(10)
            order.append(f"{name} ends")

        database.run(work, contended_on="crowd")

    def queue() -> list[bool]:
        return sorted(row.granted for row in database.statement(_QUEUE, {}))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lose_once, "first")
        assert inside.wait(10)
        second = pool.submit(lose_once, "second")
        try:
            eventually(lambda: queue() == [False, True], what="one in front and one behind")
        finally:
            go_on.set()
        first.result(10)
        second.result(10)
    assert order == ["first begins", "first ends", "second begins", "second ends"]
    assert queue() == []


_GATES = """
    SELECT backend_xmin::text AS xmin FROM pg_stat_activity
    WHERE application_name = 'probe' AND state = 'idle in transaction'
        AND query LIKE '%pg_advisory_xact_lock%'
"""


def test_a_process_that_sleeps_in_front_of_the_queue_loses_its_place_and_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GATE_SECONDS_MAX", 0.2)
    awake = threading.Event()

    def lose_once(name: str) -> None:
        tries: list[str] = []

        def work(connection: sqlalchemy.Connection) -> None:
            tries.append(name)
            if len(tries) == 1:
                connection.exec_driver_sql(_LOSE_THE_RACE)
            connection.exec_driver_sql("INSERT INTO effects VALUES (%s, 1)", (name,))
            if name == "sleeper":
                assert awake.wait(10)

        database.run(work, contended_on="crowd")

    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(lose_once, "sleeper")
        try:
            eventually(lambda: database.statement(_QUEUE, {}), what="the sleeper in front")
            lose_once("other")
            assert count(database, "effects") == 1
        finally:
            awake.set()
        sleeper.result(10)
    assert count(database, "effects") == 2


def test_a_turn_that_is_held_for_too_long_goes_to_others_and_its_block_goes_on(
    database: Database, schema: ProvisionedSchema
) -> None:
    other = Database(schema.service_url, application_name="probe", pool_size=1)
    for _ in range(2):
        # Once more over the same only place of its pool, which must not be lost.
        with other.turn("it", wait_seconds=5, seconds_max=0.1) as was_theirs:
            with database.turn("it", wait_seconds=5) as is_ours:
                assert (was_theirs, is_ours) == (True, True)
            other.run(lambda c: c.exec_driver_sql("INSERT INTO effects VALUES ('x', 1)"))
    assert count(database, "effects") == 2
    with database.turn("it", wait_seconds=1), other.turn("it", wait_seconds=0.01) as is_theirs:
        assert not is_theirs
    with other.turn("it", wait_seconds=1) as is_theirs:
        assert is_theirs
    other.dispose()


def test_a_turn_holds_up_no_vacuum(database: Database) -> None:
    with database.turn("it", wait_seconds=1):
        assert [row.xmin for row in database.statement(_GATES, {})] == [None]
    assert database.statement(_GATES, {}) == []


def test_a_server_is_not_taken_for_silent_because_all_connections_are_in_use(
    schema: ProvisionedSchema,
) -> None:
    database = Database(schema.service_url, application_name="probe", pool_size=1)
    database.run(lambda _: database.check())
    database.dispose()


def test_the_server_gives_up_a_client_that_is_cut_off_within_half_a_minute(
    database: Database,
) -> None:
    names = ("idle", "interval", "count")
    found = [database.statement(f"SHOW tcp_keepalives_{name}", {})[0][0] for name in names]
    idle, interval, times = (int(value) for value in found)
    assert 0 < idle + interval * times <= 30
    assert database.statement("SHOW tcp_user_timeout", {})[0][0] == "25000"


_ADD_ONE = """
    INSERT INTO counters (name, value) VALUES (%(name)s, 1)
    ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value
"""


def test_forty_racing_calls_all_have_their_effect_and_none_surfaces(database: Database) -> None:
    def add_one(_: int) -> int:
        ((value,),) = database.call(
            _ADD_ONE, {"name": "called"}, contended_on="called", deadline_seconds=60
        )
        return int(value)

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(add_one, range(40)))
    assert sorted(values) == list(range(1, 41))


def test_a_call_is_a_serializable_unit_by_itself(database: Database) -> None:
    ((level,),) = database.call("SELECT current_setting('transaction_isolation')", {})
    assert level == "serializable"


def test_a_call_whose_connection_was_killed_is_made_again_on_another(
    database: Database, schema: ProvisionedSchema
) -> None:
    ((backend,),) = database.call("SELECT pg_backend_pid()", {})
    _terminate(schema, backend)
    ((value,),) = database.call(_ADD_ONE, {"name": "killed"})
    assert value == 1


def test_what_a_call_is_refused_with_reaches_its_caller_and_leaves_nothing(
    database: Database,
) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        database.call("INSERT INTO counters VALUES (%(name)s, NULL) RETURNING 1", {"name": "none"})
    assert database.call("SELECT name FROM counters WHERE name = 'none'", {}) == []


def test_nothing_can_be_written_while_reading(database: Database) -> None:
    with pytest.raises(Exception, match="read-only"):
        database.read(lambda c: c.exec_driver_sql("INSERT INTO effects VALUES ('x', 1)"))


def test_a_database_that_is_away_is_unavailable() -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none", application_name="probe")
    with pytest.raises(Unavailable):
        away.check()


def test_a_key_used_fifty_times_at_once_has_one_effect(units: Units, database: Database) -> None:
    barrier = threading.Barrier(25)

    def request(number: int) -> str:
        def work(unit: PostgresUnit) -> str:
            known = unit.idempotency_keys.claim(user_id="usr_1", key="k", request_hash="h")
            if known is not None:
                return known
            unit.connection.exec_driver_sql("INSERT INTO effects VALUES ('k', %s)", (number,))
            unit.idempotency_keys.store(
                user_id="usr_1", key="k", request_hash="h", resource_id=f"txn_{number}"
            )
            return f"txn_{number}"

        if number < 25:
            barrier.wait()
        try:
            return units.run(work)
        except IdempotencyKeyInFlight:
            return "in flight"

    with ThreadPoolExecutor(25) as pool:
        answers = set(pool.map(request, range(50))) - {"in flight"}
    assert len(answers) == 1
    assert count(database, "effects") == 1


def test_a_key_whose_first_request_is_still_running_is_in_flight(units: Units) -> None:
    claimed, go_on = threading.Event(), threading.Event()

    def first(unit: PostgresUnit) -> None:
        unit.idempotency_keys.claim(user_id="usr_1", key="k", request_hash="h")
        claimed.set()
        assert go_on.wait(10)

    running = threading.Thread(target=units.run, args=(first,))
    running.start()
    assert claimed.wait(10)
    try:
        with pytest.raises(IdempotencyKeyInFlight):
            units.run(
                lambda u: u.idempotency_keys.claim(user_id="usr_1", key="k", request_hash="h")
            )
    finally:
        go_on.set()
        running.join()


def test_a_key_with_another_request_is_refused(units: Units) -> None:
    def first(unit: PostgresUnit) -> None:
        unit.idempotency_keys.claim(user_id="usr_1", key="k", request_hash="one")
        unit.idempotency_keys.store(user_id="usr_1", key="k", request_hash="one", resource_id="t")

    units.run(first)
    with pytest.raises(IdempotencyKeyReused):
        units.run(lambda u: u.idempotency_keys.claim(user_id="usr_1", key="k", request_hash="two"))
    assert (
        units.run(lambda u: u.idempotency_keys.claim(user_id="usr_2", key="k", request_hash="two"))
        is None
    )


@pytest.mark.parametrize(("is_repeatable", "times"), [(True, 2), (False, 1)])
def test_a_statement_that_is_not_repeatable_is_run_once_even_if_its_connection_breaks(
    is_repeatable: bool,  # noqa: FBT001 - a parameter of pytest's
    times: int,
    database: Database,
) -> None:
    run: list[object] = []
    sqlalchemy.event.listen(database._statements, "before_cursor_execute", lambda *_: run.append(1))
    with pytest.raises(Unavailable):
        database.statement(
            "SELECT pg_terminate_backend(pg_backend_pid())", {}, is_repeatable=is_repeatable
        )
    assert len(run) == times


def _terminate(schema: ProvisionedSchema, pid: int) -> None:
    admin = psycopg2.connect(schema.admin_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    admin.close()


def test_statements_survive_a_server_that_kills_them_again_and_again(
    schema: ProvisionedSchema,
) -> None:
    # More often than the pool has places: none may be lost.
    database = Database(schema.service_url, application_name="probe", pool_size=2)
    over = threading.Event()
    unexpected: list[Exception] = []

    def ask() -> None:
        while not over.is_set():
            try:
                database.statement("SELECT pg_sleep(0.001)", {})
                database.read(lambda c: c.exec_driver_sql("SELECT pg_sleep(0.001)").scalar())
            except Unavailable:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
                unexpected.append(error)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for _ in range(40):
        _terminate_all(schema, application_name="probe")
    over.set()
    for asker in askers:
        asker.join()
    assert unexpected == []
    database.check()
    database.statement("SELECT 1", {})
    database.dispose()


def _terminate_all(schema: ProvisionedSchema, *, application_name: str) -> None:
    admin = psycopg2.connect(schema.admin_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            (application_name,),
        )
    admin.close()
