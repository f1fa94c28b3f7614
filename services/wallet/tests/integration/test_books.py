"""Rollups and balances as of an instant, against all entries summed up anew."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import extensions
from sqlalchemy.exc import DBAPIError

from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import eventually
from wallet.adapters.memory_books import BookedEntry, MemoryBooks
from wallet.adapters.postgres.rollups import roll_up, watch_ledger
from wallet.config import Settings
from wallet.domain.statements import KindBalance, Standing
from wallet.entrypoints import rolling_up

from .driving import Driver, zar
from .own_database import OwnDatabase, own_database

STORY_SEED = 20261122
TICK = timedelta(microseconds=1)


@pytest.fixture
def own(settings: Settings, postgres_admin_url: str, token_keys: Any) -> Iterator[OwnDatabase]:
    with own_database(settings, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        yield database


@pytest.fixture
def driver(own: OwnDatabase) -> Driver:
    return Driver(own.wallet)


def all_entries(driver: Driver) -> MemoryBooks:
    """Return the model: every question is answered from all entries there are."""
    rows = driver.rows(
        """
        SELECT e.*, t.kind::text AS transfer_kind, t.effective_at, a.user_id,
               a.kind::text AS account
        FROM entries e JOIN transfers t ON t.id = e.transfer_id
        JOIN ledger_accounts a ON a.id = e.ledger_account_id
        """
    )
    return MemoryBooks(
        [
            BookedEntry(
                transfer_id=row.transfer_id,
                transfer_kind=row.transfer_kind,
                effective_at=row.effective_at,
                transaction_id=None,
                user_id=row.user_id,
                account=row.account,
                money=Money(row.amount, row.currency),
                version=row.version,
                booked_at=row.booked_at,
            )
            for row in rows
        ]
    )


def kinds(driver: Driver, at: datetime | None = None) -> list[KindBalance]:
    found = driver.wallet.units.read(lambda unit: unit.books.kinds_as_of(at=at, currency=None))
    return sorted(found, key=_name)


def expected_kinds(model: MemoryBooks, at: datetime | None = None) -> list[KindBalance]:
    return sorted(model.kinds_as_of(at=at, currency=None), key=_name)


def _name(line: KindBalance) -> tuple[str, str]:
    return line.balance.currency, line.kind


def rolled_up(driver: Driver) -> None:
    """Roll up until nothing waits; what other tests write in this cluster holds the cut back."""

    def done() -> bool:
        roll_up(driver.wallet.database, rollups_max=50)
        return watch_ledger(driver.wallet.database).oldest_waiting_at is None

    eventually(done, within_seconds=60, what="the rollup")


def post_deposit(connection: extensions.connection, user_id: str, amount: str) -> None:
    purchase_id = new_id("pur")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT post_transfer(%s, 'deposit', %s, %s, 'ZAR', %s, now())",
            (f"purchase:{purchase_id}", user_id, amount, purchase_id),
        )


def test_a_balance_is_the_last_rollup_and_what_came_after(driver: Driver) -> None:
    assert roll_up(driver.wallet.database, rollups_max=5) == 0
    assert kinds(driver) == []
    driver.user_with("250.00")
    assert kinds(driver) == expected_kinds(all_entries(driver)) != []
    rolled_up(driver)
    assert kinds(driver) == expected_kinds(all_entries(driver))
    driver.user_with("3000", currency="JPY")
    driver.pay(None, zar("3.00"), purchase_id=new_id("pur"), fee="0.10")
    assert kinds(driver) == expected_kinds(all_entries(driver))
    rolled_up(driver)
    assert kinds(driver) == expected_kinds(all_entries(driver))


def test_where_nothing_moved_nothing_is_stored(driver: Driver) -> None:
    driver.user_with("250.00")
    rolled_up(driver)
    counted = "SELECT (SELECT count(*) FROM rollups), (SELECT count(*) FROM rollup_balances)"
    before = driver.rows(counted)
    for _ in range(3):
        assert roll_up(driver.wallet.database, rollups_max=5) == 0
    driver.user_with("3000", currency="JPY")
    rolled_up(driver)
    ((rollups, balances),) = before
    assert driver.rows(counted) == [(rollups + 1, balances + 2)]


def test_a_late_commit_is_in_no_rollup_before_it_and_in_every_balance_after(
    own: OwnDatabase, driver: Driver
) -> None:
    late_user, user_id = driver.user_with("1.00"), driver.user_with("2.00")
    rolled_up(driver)
    late = own.connect(own.service_url)
    post_deposit(late, late_user, "100.00")
    before_the_commit = datetime.now(UTC)
    for _ in range(3):
        deposit = driver.request_deposit(user_id, zar("5.00"))
        driver.pay(deposit.id, zar("5.00"), purchase_id=new_id("pur"))
        roll_up(driver.wallet.database, rollups_max=5)
        assert kinds(driver) == expected_kinds(all_entries(driver))
    # The late one wrote first, so what came after it waits for it as well.
    assert watch_ledger(driver.wallet.database).oldest_waiting_at is not None
    assert kinds(driver)[0].balance == zar("18.00")
    late.commit()
    late.close()
    assert kinds(driver)[0].balance == zar("118.00")
    rolled_up(driver)
    after = all_entries(driver)
    assert kinds(driver) == expected_kinds(after)
    # It was booked when it was booked, however late that could be seen.
    assert kinds(driver, before_the_commit)[0].balance == zar("103.00")
    assert kinds(driver, before_the_commit) == expected_kinds(after, before_the_commit)


def test_one_call_takes_no_more_than_its_bound_even_of_one_unit(
    own: OwnDatabase, driver: Driver
) -> None:
    seeded = own.connect(own.admin_url)
    with seeded.cursor() as cursor:
        cursor.execute(
            """
            SET session_replication_role = replica;
            INSERT INTO transfers (business_key, kind, amount, currency, subject, effective_at)
            SELECT 'fee:' || i, 'fee', 1, 'JPY', i::text, now() FROM generate_series(1, 20050) i;
            INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, booked_at)
            SELECT t.id, l.leg, a.id, 'JPY', l.amount, clock_timestamp()
            FROM transfers t
            CROSS JOIN (VALUES (1, 'provider_fees', -1), (2, 'provider_clearing', 1))
                AS l (leg, kind, amount)
            JOIN ledger_accounts a
                ON a.user_id IS NULL AND a.currency = 'JPY'
               AND a.kind = l.kind::ledger_account_kind;
            """
        )
    seeded.commit()
    seeded.close()
    taken = eventually(lambda: roll_up(driver.wallet.database, rollups_max=1), what="a rollup")
    assert taken == 2 * 20_000
    assert kinds(driver) == expected_kinds(all_entries(driver))
    rolled_up(driver)
    assert kinds(driver) == expected_kinds(all_entries(driver))
    assert driver.scalar("SELECT count(*) FROM rollups") == 2


def test_one_at_a_time_rolls_up(own: OwnDatabase, driver: Driver) -> None:
    driver.user_with("250.00")
    other = own.connect(own.service_url)
    with other.cursor() as cursor:
        eventually(lambda: _call(cursor, other, "roll_up_system_accounts()"), what="a rollup")
        driver.user_with("1.00")
        assert _call(cursor, other, "roll_up_system_accounts()") >= 0
        assert roll_up(driver.wallet.database, rollups_max=5) == 0
    other.rollback()
    other.close()
    rolled_up(driver)
    assert kinds(driver) == expected_kinds(all_entries(driver))


def _call(cursor: extensions.cursor, connection: extensions.connection, call: str) -> int:
    connection.rollback()
    cursor.execute(f"SET search_path = wallet; SELECT {call}")
    return int((cursor.fetchone() or (0,))[0])


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO rollups SELECT * FROM rollups",
        "UPDATE rollup_balances SET balance = balance + 1",
        "DELETE FROM booking_marks",
        "TRUNCATE rollup_balances",
        "ALTER TABLE rollups DISABLE TRIGGER ALL",
    ],
)
def test_rollups_are_written_by_the_kernel_alone_and_changed_by_nobody(
    own: OwnDatabase, driver: Driver, statement: str
) -> None:
    driver.user_with("250.00")
    rolled_up(driver)
    service = own.connect(own.service_url)
    with service.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(statement)
    service.close()
    if statement.startswith(("UPDATE", "DELETE", "TRUNCATE")):
        owner = own.connect(own.owner_url)
        with owner.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
            cursor.execute(statement)
        assert refused.value.pgcode == "WL001"
        owner.close()


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        ("number", "number + 2"),
        ("from_xid", "'7'"),
        ("from_id", "up_to_id + 1"),
        ("last_booked_at", "last_booked_at - interval '1 hour'"),
    ],
)
def test_a_rollup_made_by_hand_that_does_not_continue_the_last_is_refused(
    own: OwnDatabase, driver: Driver, column: str, wrong: str
) -> None:
    driver.user_with("250.00")
    rolled_up(driver)
    # What would continue the last one; each example changes one thing of it.
    following = {
        "number": "number + 1",
        "from_xid": "up_to_xid",
        "from_id": "up_to_id",
        "last_booked_at": "last_booked_at",
    }
    made_by_hand = """
        INSERT INTO rollups (number, from_xid, from_id, up_to_xid, up_to_id, entries,
                             first_booked_at, last_booked_at)
        SELECT {number}, {from_xid}, {from_id}, (up_to_xid::text::bigint + 9)::text::xid8, 0, 1,
               first_booked_at - interval '1 day', {last_booked_at}
        FROM rollups ORDER BY number DESC LIMIT 1
    """
    owner = own.connect(own.owner_url)
    with owner.cursor() as cursor:
        with pytest.raises(psycopg2.Error) as refused:
            cursor.execute(made_by_hand.format(**following | {column: wrong}))
        owner.rollback()
        cursor.execute("SET search_path = wallet")
        cursor.execute(made_by_hand.format(**following))
    assert (refused.value.pgcode, refused.value.diag.message_primary) == (
        "WL047",
        "rollup_out_of_chain",
    )
    owner.rollback()
    owner.close()


def test_nothing_is_final_while_one_that_booked_before_the_mark_is_open(
    own: OwnDatabase, driver: Driver
) -> None:
    def is_final(at: datetime) -> bool:
        return driver.wallet.units.read(lambda unit: unit.books.is_final(at))

    user_id = driver.user_with("1.00")
    writing = own.connect(own.service_url)
    post_deposit(writing, user_id, "2.00")
    with writing.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text, clock_timestamp()")
        open_xid, booked_until = cursor.fetchone() or ("", datetime.now(UTC))
    # No transaction that began later has ended, so a snapshot's end may be the open one's number.
    roll_up(driver.wallet.database, rollups_max=1)
    ((after_the_open_one, marked_by_itself),) = driver.rows(
        """
        SELECT next_xid > CAST(:open_xid AS xid8), next_xid::xid = xmin FROM booking_marks
        WHERE marked_at >= :at
        """,
        open_xid=open_xid,
        at=booked_until,
    )
    assert (after_the_open_one, marked_by_itself) == (True, True)
    assert not is_final(booked_until)
    writing.commit()
    writing.close()
    eventually(lambda: is_final(booked_until), within_seconds=60, what="the end of who was writing")


def test_numbers_of_transactions_that_went_back_are_refused_instead_of_lost(
    own: OwnDatabase, driver: Driver
) -> None:
    driver.user_with("250.00")
    rolled_up(driver)
    restored = own.connect(own.admin_url)
    with restored.cursor() as cursor:
        cursor.execute(
            """
            SET session_replication_role = replica;
            UPDATE rollups SET up_to_xid = '1000000000000'
            """
        )
    restored.commit()
    restored.close()
    for ask in (lambda: roll_up(driver.wallet.database, rollups_max=1), lambda: kinds(driver)):
        with pytest.raises(DBAPIError) as refused:
            ask()
        assert getattr(refused.value.orig, "pgcode", None) == "WL045"


def test_a_rollup_reads_what_is_committed_now_or_not_at_all(own: OwnDatabase) -> None:
    connection = own.connect(own.service_url)
    connection.set_session(isolation_level="REPEATABLE READ")
    with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
        cursor.execute("SELECT roll_up_system_accounts()")
    assert refused.value.pgcode == "WL046"
    connection.close()


def play_at_random(
    driver: Driver,
    random: Random,
    *,
    late: extensions.connection,
    other: extensions.connection,
) -> None:
    """Make books of three currencies, with rollups and late commits in between."""
    users = [driver.user_with("500.00") for _ in range(3)]
    purchases: list[tuple[str, Money]] = []
    has_late = False
    for _ in range(60):
        user_id = random.choice(users)
        move = random.choice(["deposit", "yen", "hold", "roll", "late", "commit", "chargeback"])
        if move == "deposit":
            money = zar(f"{random.randint(1, 90)}.{random.randint(0, 99):02d}")
            purchase_id = new_id("pur")
            driver.pay(driver.request_deposit(user_id, money).id, money, purchase_id=purchase_id)
            purchases.append((purchase_id, money))
        elif move == "yen":
            yen = Money.parse(str(random.randint(1, 900)), "JPY")
            driver.pay(driver.request_deposit(user_id, yen).id, yen, purchase_id=new_id("pur"))
        elif move == "hold" and driver.balance(user_id).available >= zar("5.00"):
            bank_account_id = driver.new_bank_account(user_id)
            withdrawal = driver.request_withdrawal(
                user_id, zar("5.00"), bank_account_id=bank_account_id
            )
            if random.random() < 0.5:
                driver.succeed_payout(withdrawal.id, zar("5.00"), new_id("out"), fee="0.50")
            else:
                driver.fail_payout(withdrawal.id, zar("5.00"))
        elif move == "chargeback" and purchases:
            purchase_id, money = purchases.pop()
            driver.charge_back(purchase_id, money, chargeback_id=new_id("chb"))
        elif move == "roll" and has_late:
            roll_up(driver.wallet.database, rollups_max=5)
        elif move == "roll":
            rolled_up(driver)
        elif move == "late" and not has_late:
            # Somebody else's, so that nobody waits for their lock.
            post_deposit(late, driver.user_with("1.00"), "7.00")
            has_late = True
        elif move == "commit":
            late.commit()
            has_late = False
    late.commit()
    cross(driver, late, other)
    rolled_up(driver)


def cross(driver: Driver, late: extensions.connection, other: extensions.connection) -> None:
    """Roll up what was booked later, before what was booked earlier and committed late."""
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
    post_deposit(late, driver.user_with("1.00"), "7.00")
    post_deposit(other, driver.user_with("1.00"), "8.00")
    other.commit()
    waits = "SELECT 1 FROM rollups WHERE last_booked_at >= :at"
    booked_at = driver.scalar("SELECT max(booked_at) FROM entries WHERE amount = 8")

    def taken() -> bool:
        roll_up(driver.wallet.database, rollups_max=5)
        return driver.scalar(waits, at=booked_at) is not None

    eventually(taken, within_seconds=60, what="the rollup")
    late.commit()


@pytest.fixture(scope="module")
def played(
    settings: Settings, postgres_admin_url: str, token_keys: Any
) -> Iterator[tuple[Driver, MemoryBooks]]:
    with own_database(settings, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        driver = Driver(database.wallet)
        late, other = (database.connect(database.service_url) for _ in range(2))
        play_at_random(driver, Random(STORY_SEED), late=late, other=other)
        late.close()
        other.close()
        yield driver, all_entries(driver)


def test_the_story_has_what_makes_it_hard(played: tuple[Driver, MemoryBooks]) -> None:
    driver, model = played
    assert driver.scalar("SELECT count(*) FROM rollups") >= 3
    assert len(model.entries) > 80
    later_but_booked_before = """
        SELECT count(*) FROM rollups a JOIN rollups b ON b.number > a.number
        WHERE b.first_booked_at < a.last_booked_at
    """
    assert driver.scalar(later_but_booked_before) >= 1


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_balances_as_of_any_instant_are_those_of_all_entries_until_then(
    played: tuple[Driver, MemoryBooks], data: st.DataObject
) -> None:
    driver, model = played
    instants = sorted({entry.booked_at for entry in model.entries})
    around = st.sampled_from(instants).flatmap(
        lambda at: st.sampled_from([at - TICK, at, at + TICK])
    )
    anywhere = st.integers(0, int((instants[-1] - instants[0]) / TICK)).map(
        lambda ticks: instants[0] + ticks * TICK
    )
    at = data.draw(around | anywhere)
    assert kinds(driver, at) == expected_kinds(model, at)
    user_id = data.draw(
        st.sampled_from(sorted({entry.user_id for entry in model.entries if entry.user_id}))
    )
    found = _moved(
        driver.wallet.units.read(lambda unit: unit.books.standings_as_of(user_id=user_id, at=at))
    )
    assert found == _moved(model.standings_as_of(user_id=user_id, at=at))


def _moved(standings: Any) -> list[Standing]:
    # The model knows no ledger accounts that nothing ever moved.
    return [one for one in standings if one != Standing.nothing(one.currency)]


def test_the_worker_rolls_up_and_shows_what_is_watched(driver: Driver) -> None:
    driver.user_with("250.00")
    driver.pay(None, zar("3.00"), purchase_id=new_id("pur"), fee="0.10")
    rolling_up.watch(driver.wallet)
    assert rolling_up.ROLLUP_AGE._value.get() > 0
    gauge = rolling_up.SYSTEM_BALANCE.labels("provider_clearing", "ZAR")
    assert gauge._value.get() == -252.9
    eventually(lambda: rolling_up.roll_up_ledger(driver.wallet), what="a rollup")
    rolled_up(driver)
    rolling_up.watch(driver.wallet)
    assert rolling_up.ROLLUP_AGE._value.get() == 0
    assert gauge._value.get() == -252.9
    assert rolling_up.IMBALANCE.labels("ZAR")._value.get() == 0


def test_a_running_balance_that_no_entry_explains_rings(own: OwnDatabase, driver: Driver) -> None:
    user_id = driver.user_with("250.00")
    superuser = own.connect(own.admin_url)
    with superuser.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE ledger_accounts SET balance = 250.01 WHERE user_id = %s AND kind = 'available' "
            "AND currency = 'ZAR'",
            (user_id,),
        )
    superuser.commit()
    superuser.close()
    rolling_up.watch(driver.wallet)
    assert rolling_up.IMBALANCE.labels("ZAR")._value.get() == 0.01
