"""What PostgreSQL itself refuses, whoever writes: as the service's role, and as the owner."""

from collections.abc import Callable

import psycopg2
import pytest
from psycopg2 import extensions

from octoco.ids import new_id
from octoco.money import exponent_of

from .driving import Driver, zar

LEDGER_TABLES = ("currencies", "ledger_accounts", "transfers", "entries", "holds")


def refused(connection: extensions.connection, sql: str, *parameters: object) -> str:
    """Run a statement that must fail, and return its SQLSTATE."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
    except psycopg2.Error as error:
        return str(error.pgcode)
    finally:
        connection.rollback()
    return "nothing was refused"


@pytest.fixture
def user_id(driver: Driver) -> str:
    return driver.user_with("250.00")


@pytest.mark.parametrize("table", LEDGER_TABLES)
@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}"],
)
def test_the_service_cannot_write_the_ledgers_tables(
    service_connection: extensions.connection, table: str, statement: str
) -> None:
    assert refused(service_connection, statement.format(table)) == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_accounts SET balance = 1000000",
        "UPDATE entries SET amount = 1",
        "UPDATE transfers SET amount = 1",
        "UPDATE holds SET ended_by = NULL",
        "UPDATE currencies SET exponent = 0",
        "SELECT * FROM ledger_accounts FOR UPDATE",
        "ALTER TABLE entries DISABLE TRIGGER ALL",
        "ALTER TABLE entries DISABLE TRIGGER entries_are_applied",
        "DROP TRIGGER entries_are_append_only ON entries",
        "SET ROLE wallet_owner",
        "SET session_replication_role = replica",
        "CREATE FUNCTION wallet.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE wallet.mine (id integer)",
        "CREATE TEMPORARY TABLE ledger_accounts (id integer)",
        """
        SELECT book('k:1', 'deposit', 'usr', 1, 'ZAR', 's', now(), NULL, 1, false, 0,
                    'provider_clearing', -1, NULL, NULL)
        """,
        "SELECT book_batch('{}', '{}', now())",
        "SELECT take_back('k:1', 'refund', NULL, 1, 'ZAR', 'p', now())",
        "SELECT end_hold('txn', 1, now(), NULL)",
        "SELECT announce('[]')",
        "UPDATE transaction_events SET cause = 'other'",
        "DELETE FROM transaction_events",
        "DELETE FROM transactions",
        "UPDATE money_fact_answers SET outcome = 'refused'",
    ],
)
def test_the_service_cannot_reach_past_the_kernels_functions(
    service_connection: extensions.connection, statement: str
) -> None:
    assert refused(service_connection, statement) == "42501"


def test_the_service_cannot_grant_itself_anything(
    service_connection: extensions.connection,
) -> None:
    # PostgreSQL answers such a grant with a warning only; what counts is that nothing came of it.
    with service_connection.cursor() as cursor:
        cursor.execute("GRANT ALL ON entries TO wallet")
        cursor.execute(
            "SELECT array_agg(privilege_type::text) FROM information_schema.role_table_grants "
            "WHERE grantee = 'wallet' AND table_name = ANY(%s)",
            (list(LEDGER_TABLES),),
        )
        row = cursor.fetchone()
    service_connection.rollback()
    assert row is not None
    assert set(row[0]) == {"SELECT"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET amount = 1",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "UPDATE transfers SET amount = 1",
        "DELETE FROM transfers",
        "TRUNCATE transfers",
        "UPDATE ledger_accounts SET balance = 1000000 WHERE user_id IS NOT NULL",
        "DELETE FROM ledger_accounts",
        "DELETE FROM holds",
        "UPDATE currencies SET exponent = 3",
        "UPDATE transactions SET amount = 1",
        "DELETE FROM transactions",
        "UPDATE transaction_events SET cause = 'other'",
    ],
)
def test_even_the_owner_cannot_rewrite_what_was_booked(
    owner_connection: extensions.connection, user_id: str, statement: str
) -> None:
    assert refused(owner_connection, statement) == "WL001"


@pytest.mark.parametrize(
    "account",
    [
        "('usr_x', 'ZAR', 2, 'available', 5.00, 0)",
        "('usr_x', 'ZAR', 2, 'available', 0.00, 3)",
        "('usr_x', 'ZAR', 2, 'available', NULL, NULL)",
        "('usr_x', 'ZAR', 2, 'suspense', 0.00, 0)",
        "('usr_x', 'ZAR', 2, 'available', 0.000, 0)",
    ],
)
def test_even_the_owner_cannot_open_an_account_that_is_not_empty(
    owner_connection: extensions.connection, account: str
) -> None:
    insert = (
        "INSERT INTO ledger_accounts (user_id, currency, exponent, kind, balance, version) VALUES "
    )
    assert refused(owner_connection, insert + account) == "WL003"


INSERT = """
    INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, version,
                         balance_after, booked_at) VALUES
"""


def available_account(connection: extensions.connection, user_id: str) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, version FROM ledger_accounts "
            "WHERE user_id = %s AND currency = 'ZAR' AND kind = 'available'",
            (user_id,),
        )
        row = cursor.fetchone()
    assert row is not None
    return row


class Legs:
    """Entries to be inserted on a user's available account and on provider_clearing."""

    def __init__(self, account_id: int, version: int) -> None:
        self._account_id = account_id
        self.next_version = version + 1

    def clearing(self, currency: str, amount: str) -> str:
        account = (
            "(SELECT id FROM ledger_accounts WHERE kind = 'provider_clearing' "
            f"AND currency = '{currency}')"
        )
        return f"(9000001, 1, {account}, '{currency}', {amount}, NULL, NULL, now())"

    def own(self, currency: str, amount: str, version: int | None, balance_after: str) -> str:
        number = "NULL" if version is None else version
        return (
            f"(9000001, 2, {self._account_id}, '{currency}', {amount}, {number}, "
            f"{balance_after}, now())"
        )


# What is wrong with the entries, the entries, and the SQLSTATE that says so.
WRONG_ENTRIES: dict[str, tuple[Callable[[Legs], list[str]], str]] = {
    "unbalanced": (
        lambda legs: [
            legs.clearing("ZAR", "-10.00"),
            legs.own("ZAR", "11.00", legs.next_version, "261.00"),
        ],
        "WL002",
    ),
    "of one leg": (
        lambda legs: [legs.own("ZAR", "10.00", legs.next_version, "260.00")],
        "WL002",
    ),
    "balanced over two currencies only": (
        lambda legs: [
            legs.clearing("JPY", "-10"),
            legs.own("ZAR", "10.00", legs.next_version, "260.00"),
        ],
        "WL002",
    ),
    "in a currency that is not the account's": (
        lambda legs: [
            legs.clearing("JPY", "-10"),
            legs.own("JPY", "10", legs.next_version, "260"),
        ],
        "WL004",
    ),
    "too fine": (
        lambda legs: [
            legs.clearing("ZAR", "-10.001"),
            legs.own("ZAR", "10.001", legs.next_version, "260.001"),
        ],
        "WL004",
    ),
    "without a version on a user's account": (
        lambda legs: [legs.clearing("ZAR", "-10.00"), legs.own("ZAR", "10.00", None, "NULL")],
        "WL004",
    ),
    "with a gap in the versions": (
        lambda legs: [
            legs.clearing("ZAR", "-10.00"),
            legs.own("ZAR", "10.00", legs.next_version + 1, "260.00"),
        ],
        "WL004",
    ),
    "of a version that is taken": (
        lambda legs: [
            legs.clearing("ZAR", "-10.00"),
            legs.own("ZAR", "10.00", legs.next_version - 1, "260.00"),
        ],
        "23505",
    ),
    "with a wrong balance after": (
        lambda legs: [
            legs.clearing("ZAR", "-10.00"),
            legs.own("ZAR", "10.00", legs.next_version, "999.00"),
        ],
        "WL004",
    ),
    "before what was booked last": (
        lambda legs: [
            legs.clearing("ZAR", "-10.00"),
            legs.own("ZAR", "10.00", legs.next_version, "260.00").replace(
                "now()", "now() - interval '1 day'"
            ),
        ],
        "WL004",
    ),
    "below zero": (
        lambda legs: [
            legs.clearing("ZAR", "300.00"),
            legs.own("ZAR", "-300.00", legs.next_version, "-50.00"),
        ],
        "23514",
    ),
    "below zero with a balance after that hides it": (
        lambda legs: [
            legs.clearing("ZAR", "300.00"),
            legs.own("ZAR", "-300.00", legs.next_version, "0.00"),
        ],
        "WL004",
    ),
    "of nothing": (
        lambda legs: [
            legs.clearing("ZAR", "0.00"),
            legs.own("ZAR", "0.00", legs.next_version, "250.00"),
        ],
        "WL004",
    ),
}


@pytest.mark.parametrize("wrong", list(WRONG_ENTRIES))
def test_even_the_owner_cannot_insert_entries_that_do_not_fit(
    owner_connection: extensions.connection, user_id: str, wrong: str
) -> None:
    entries, sqlstate = WRONG_ENTRIES[wrong]
    legs = Legs(*available_account(owner_connection, user_id))
    assert refused(owner_connection, INSERT + ", ".join(entries(legs))) == sqlstate


def test_a_business_key_posts_once_whoever_writes(owner_connection: extensions.connection) -> None:
    key = new_id("test")
    insert = """
        INSERT INTO transfers (business_key, kind, amount, currency, subject, effective_at)
        VALUES (%s, 'fee', 1, 'ZAR', 's', now())
    """
    with owner_connection.cursor() as cursor:
        cursor.execute(insert, (key,))
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.execute(insert, (key,))
    owner_connection.rollback()


def test_a_hold_cannot_be_ended_twice_or_changed_even_by_the_owner(
    owner_connection: extensions.connection, driver: Driver, user_id: str
) -> None:
    bank_account_id = driver.new_bank_account(user_id)
    withdrawal = driver.request_withdrawal(user_id, zar("10.00"), bank_account_id=bank_account_id)
    change = "UPDATE holds SET amount = 1 WHERE subject = %s"
    assert refused(owner_connection, change, withdrawal.id) == "WL001"
    driver.fail_payout(withdrawal.id, zar("10.00"))
    end = "UPDATE holds SET outcome = 'settled', settled_amount = 10 WHERE subject = %s"
    assert refused(owner_connection, end, withdrawal.id) == "WL001"


Kernel = Callable[..., str]


@pytest.fixture
def kernel_refusal(service_connection: extensions.connection) -> Kernel:
    """Call a kernel function as the service; return the SQLSTATE it refuses with."""

    def call(function: str, *arguments: object) -> str:
        places = ", ".join(["%s"] * len(arguments))
        return refused(service_connection, f"SELECT {function}({places})", *arguments)

    return call


@pytest.mark.parametrize("amount", ["0", "-1", "10.001", "NaN", "Infinity", None])
def test_the_kernel_refuses_amounts_that_are_none(
    kernel_refusal: Kernel, user_id: str, amount: str | None
) -> None:
    key = new_id("test")
    arguments = (key, "deposit", user_id, amount, "ZAR", "s", "2026-01-01T00:00:00Z")
    assert kernel_refusal("post_transfer", *arguments) == "WL011"
    assert kernel_refusal("place_hold", key, user_id, amount, "ZAR", "2026-01-01T00:00:00Z") == (
        "WL011"
    )


def test_the_kernel_refuses_what_it_does_not_know(kernel_refusal: Kernel, user_id: str) -> None:
    at = "2026-01-01T00:00:00Z"
    key = new_id("test")
    refusals = {
        "unknown currency": ("post_transfer", key, "deposit", user_id, 1, "XXX", "s", at),
        "unknown posting": ("post_transfer", key, "gift", user_id, 1, "ZAR", "s", at),
        "hold by posting": ("post_transfer", key, "hold", user_id, 1, "ZAR", "s", at),
        "no user": ("post_transfer", key, "deposit", None, 1, "ZAR", "s", at),
        "no accounts": ("post_transfer", key, "deposit", "usr_none", 1, "ZAR", "s", at),
        "too much": ("place_hold", key, user_id, 1000, "ZAR", at),
        "no hold": ("settle_hold", key, 1, at),
        "no transfer": ("reverse_transfer", key, at),
    }
    found = {what: kernel_refusal(*call) for what, call in refusals.items()}
    assert found == {
        "unknown currency": "WL010",
        "unknown posting": "WL016",
        "hold by posting": "WL016",
        "no user": "WL015",
        "no accounts": "WL013",
        "too much": "WL014",
        "no hold": "WL017",
        "no transfer": "WL020",
    }


def test_the_ledgers_currencies_have_the_decimals_that_money_has(driver: Driver) -> None:
    rows = driver.rows("SELECT code, exponent FROM currencies")
    assert len(rows) > 150
    assert {row.code: row.exponent for row in rows} == {
        row.code: exponent_of(row.code) for row in rows
    }
