"""The databases that are measured: the ceiling's, and wallets with more and more in their books."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection

from octoco.database.migrate import migrate
from octoco.database.provision import provision_schema

from .server import Server

SQL: Final = Path(__file__).parent / "sql"
MIGRATIONS: Final = Path(__file__).parents[3] / "services" / "wallet" / "migrations"
PASSWORD: Final = "bench-only"
LIMIT: Final = "bench_limit"
CURRENCY: Final = "ZAR"
# Of the one user who gets a long history: as many rows as this, where there are enough.
HEAVY_TRANSACTIONS: Final = 100_000
HEAVY_USER: Final = 1
CHUNK: Final = 50_000
SEEDED_TABLES: Final = ("entries", "transactions", "transfers", "transaction_events", "holds")


@dataclass(frozen=True, slots=True)
class WalletDatabase:
    """A wallet's database.

    Args:
        name: Of the database.
        service_url: As the service's own role.
        owner_url: As the role that owns the schema.
    """

    name: str
    service_url: str
    owner_url: str


def user_id(number: int) -> str:
    """The id of the n-th user, from 1 on."""
    return f"usr_{number:026d}"


def make_limit_database(server: Server, *, users: int) -> None:
    """Make the ceiling's own database."""
    _create(server, LIMIT, template=None)
    with _admin(server, LIMIT) as admin, admin.cursor() as cursor:
        cursor.execute((SQL / "limit.sql").read_text(encoding="utf-8"), {"users": users})


def make_wallet_database(server: Server, name: str, *, users: int) -> WalletDatabase:
    """Make a wallet's database by its real migrations, with users and an empty ledger."""
    made = _provisioned(server, name)
    migrate(url=made.owner_url, migrations=MIGRATIONS)
    with _as_service(made) as service, service.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (user_id, first_seen_at, registered_at) SELECT "
            "'usr_' || lpad(i::text, 26, '0'), now(), now() FROM generate_series(1, %s) AS i",
            (users,),
        )
        cursor.execute(
            "SELECT count(open_ledger_accounts('usr_' || lpad(i::text, 26, '0'), %s)) "
            "FROM generate_series(1, %s) AS i",
            (CURRENCY, users),
        )
    with _admin(server, name) as admin, admin.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return made


def copy_wallet_database(server: Server, source: WalletDatabase, name: str) -> WalletDatabase:
    """Copy a database that nobody is connected to."""
    _create(server, name, template=source.name)
    # What the roles may do and see by default belongs to a database and is not copied with it.
    return _provisioned(server, name)


def seed(
    server: Server,
    database: WalletDatabase,
    *,
    entries: int,
    users: int,
    on_progress: Callable[[int], None],
) -> None:
    """Fill an empty ledger with consistent books of a year.

    Args:
        server: Where.
        database: Has the users, and nothing booked.
        entries: How many; two for each transfer.
        users: How many there are; `users - 1` must not be a multiple of 7919.
        on_progress: Told how many more transfers are in.
    """
    assert math.gcd(users - 1, 7919) == 1
    transfers = entries // 2
    ended = datetime.now(UTC) - timedelta(hours=1)
    facts: dict[str, object] = {
        "transfers": transfers,
        "users": users,
        # Eleven in twelve of the heavy user's transfers begin a transaction.
        "heavy": max(4, transfers * 11 // 12 // HEAVY_TRANSACTIONS),
        "began": ended - timedelta(days=365),
        "ended": ended,
    }
    statement = (SQL / "seed.sql").read_text(encoding="utf-8")

    def fill(firsts: range) -> None:
        with _filling(server, database.name) as admin, admin.cursor() as cursor:
            cursor.execute(_USERS, {"currency": CURRENCY})
            cursor.execute(_CLEARING, {"currency": CURRENCY})
            (clearing,) = cursor.fetchone() or (None,)
            for first in firsts:
                if stopping.is_set():
                    return
                last = min(first + CHUNK - 1, transfers)
                chunk = {"first": first, "last": last, "clearing": clearing}
                cursor.execute(statement, {**facts, **chunk})
                on_progress(last - first + 1)

    def make(statements: Sequence[str]) -> None:
        with _filling(server, database.name) as admin, admin.cursor() as cursor:
            for one in statements:
                cursor.execute(one)

    stopping = threading.Event()
    rebuild = _without_indexes(server, database.name)
    with ThreadPoolExecutor(2) as pool:
        try:
            starts = [range(1 + half * CHUNK, transfers + 1, 2 * CHUNK) for half in (0, 1)]
            list(pool.map(fill, starts))
            list(pool.map(make, rebuild))
        except BaseException:
            # Ctrl-C included: what is under way ends, and nothing more is begun.
            stopping.set()
            raise
    with _filling(server, database.name) as admin, admin.cursor() as cursor:
        cursor.execute(_BALANCES, {"ended": ended})
        cursor.execute(_OPEN_SAGAS)
        cursor.execute("SELECT setval(pg_get_serial_sequence('transfers', 'id'), %s)", (transfers,))
        cursor.execute("VACUUM (ANALYZE, FREEZE)")


def make_pending_deposits(
    server: Server, database: WalletDatabase, *, numbers: range, users: int
) -> None:
    """Store deposits that wait for their money, as `request_deposit` does, spread over the users.

    Args:
        server: Where.
        database: Whose users have ledger accounts.
        numbers: Of the deposits; see `deposit_id`.
        users: How many users there are.
    """
    with _as_service(database) as service, service.cursor() as cursor:
        cursor.execute(_PENDING, {"first": numbers[0], "last": numbers[-1], "users": users})


def deposit_id(number: int) -> str:
    """The id of a deposit made by `make_pending_deposits`."""
    return f"txn_9{number:025d}"


def _without_indexes(server: Server, database: str) -> Sequence[Sequence[str]]:
    """Drop the indexes of the tables that are filled: one that is built afterwards costs half.

    Returns:
        For each table the statements that make them again, exactly as they were.
    """
    with _filling(server, database) as admin, admin.cursor() as cursor:
        rebuild: dict[str, list[str]] = {}
        cursor.execute(_INDEXES, {"tables": list(SEEDED_TABLES)})
        for table, name, is_constraint, definition in cursor.fetchall():
            again = rebuild.setdefault(table, [])
            if is_constraint:
                cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
                again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
            else:
                cursor.execute(f"DROP INDEX {name}")
                again.append(definition)
        return list(rebuild.values())


_INDEXES: Final = """
    SELECT i.indrelid::regclass::text, coalesce(c.conname, x.relname)::text, c.oid IS NOT NULL,
           coalesce(pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid))
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
        AND c.contype IN ('p', 'u')
    WHERE i.indrelid = ANY (%(tables)s::regclass[])
      AND NOT EXISTS (
          SELECT FROM pg_constraint f WHERE f.conindid = i.indexrelid AND f.contype = 'f')
    ORDER BY i.indexrelid
"""
_USERS: Final = """
    CREATE TEMPORARY TABLE seeded_user ON COMMIT PRESERVE ROWS AS
    SELECT right(user_id, 26)::bigint AS number, user_id,
           max(id) FILTER (WHERE kind = 'available') AS available_id,
           max(id) FILTER (WHERE kind = 'held') AS held_id
    FROM ledger_accounts WHERE user_id IS NOT NULL AND currency = %(currency)s GROUP BY user_id;
    ANALYZE seeded_user;
"""
_CLEARING: Final = """
    SELECT id FROM ledger_accounts
    WHERE user_id IS NULL AND currency = %(currency)s AND kind = 'provider_clearing'
"""
_BALANCES: Final = """
    UPDATE ledger_accounts a
    SET balance = e.balance_after, version = e.version, moved_at = e.booked_at,
        opened_at = least(a.opened_at, %(ended)s - interval '1 year')
    FROM ledger_accounts b, LATERAL (
        SELECT version, balance_after, booked_at FROM entries
        WHERE ledger_account_id = b.id AND version IS NOT NULL ORDER BY version DESC LIMIT 1
    ) AS e
    WHERE a.id = b.id
"""
_OPEN_SAGAS: Final = """
    INSERT INTO open_sagas (user_id, transaction_id, kind, began_in_review)
    SELECT user_id, id, kind, false FROM transactions WHERE saga_step IS NOT NULL
"""
_PENDING: Final = """
    WITH deposits AS (
        INSERT INTO transactions (id, user_id, kind, status, amount, currency, created_at,
                                  updated_at, saga_step, saga_step_at, saga_step_due_at)
        SELECT 'txn_9' || lpad(i::text, 25, '0'),
               'usr_' || lpad((1 + i::bigint * 7919 %% %(users)s)::text, 26, '0'),
               'deposit', 'pending', 12.50, 'ZAR', now(), now(),
               'open_checkout', now(), now() + interval '5 minutes'
        FROM generate_series(%(first)s, %(last)s) AS i
        RETURNING id, created_at
    )
    INSERT INTO transaction_events (transaction_id, status, at, cause)
    SELECT id, 'pending', created_at, 'requested' FROM deposits
"""


def _provisioned(server: Server, name: str) -> WalletDatabase:
    provision_schema(
        server.admin_url,
        database=name,
        schema="wallet",
        owner_password=PASSWORD,
        service_password=PASSWORD,
    )
    return WalletDatabase(
        name,
        server.url(name, user="wallet", password=PASSWORD),
        server.url(name, user="wallet_owner", password=PASSWORD),
    )


def _create(server: Server, name: str, *, template: str | None) -> None:
    with _admin(server, "postgres") as admin, admin.cursor() as cursor:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(template))
        cursor.execute(statement)


@contextmanager
def _admin(server: Server, database: str) -> Iterator[connection]:
    opened = server.connect(database)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def _filling(server: Server, database: str) -> Iterator[connection]:
    """A superuser's connection that no trigger binds and that is in a hurry."""
    settings: Mapping[str, str] = {
        "search_path": "wallet",
        "session_replication_role": "replica",
        "synchronous_commit": "off",
        "work_mem": "256MB",
        "maintenance_work_mem": "512MB",
        "jit": "off",
    }
    with _admin(server, database) as admin:
        with admin.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
        yield admin


@contextmanager
def _as_service(database: WalletDatabase) -> Iterator[connection]:
    opened = psycopg2.connect(database.service_url, connect_timeout=5)
    opened.autocommit = True
    try:
        yield opened
    finally:
        opened.close()
