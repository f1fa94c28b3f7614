"""Whatever a superuser could do to the books by hand is found, and named by the check it breaks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions

from octoco.ids import new_id
from octoco.testing import eventually
from wallet.adapters.postgres.ledger_audit import Evidence, Finding, findings_on
from wallet.adapters.postgres.ledger_checks import Check
from wallet.adapters.postgres.seal_checks import SEAL_CHECKS, SIGNATURES
from wallet.adapters.postgres.seals import PostgresSeals
from wallet.adapters.seal_heads_file import SealHeadsFile
from wallet.adapters.seal_signatures import Ed25519Signer, Ed25519Verifier, public_key_of
from wallet.config import Settings
from wallet.domain.seals import SealKey
from wallet.use_cases.seal_ledger import seal_ledger

from .driving import Driver, zar
from .own_database import OwnDatabase, own_database
from .tamperings import ONLY_SEALS_FIND, REWRITE_ROLLUPS, TAMPERINGS, WHAT_IT_SEALED

KEY = SealKey("test-1", bytes(range(32)))
THIEFS_KEY = SealKey("test-1", bytes(range(7, 39)))


@dataclass
class SealedBooks:
    """Books with one of everything, sealed in several seals, and what is known from outside."""

    database: OwnDatabase
    evidence: Evidence
    heads: SealHeadsFile
    user_id: str
    lonely_id: str

    def findings(self, cursor: extensions.cursor) -> list[Finding]:
        """Verify on the tamperer's own connection: what is not committed is taken back."""
        return list(
            findings_on(
                _Tampered(cursor),  # type: ignore[arg-type]
                evidence=self.evidence,
                kept=self.heads.size(),
                on_check=lambda _: None,
            )
        )


class _Tampered:
    """As much of a SQLAlchemy connection as verifying needs, on a bare cursor."""

    def __init__(self, cursor: extensions.cursor) -> None:
        self._cursor = cursor

    def exec_driver_sql(self, query: str, **_: Any) -> "_Rows":
        self._cursor.execute(query)
        if self._cursor.description is None:
            return _Rows([])
        names = [column.name for column in self._cursor.description]
        return _Rows([_Row(dict(zip(names, row, strict=True))) for row in self._cursor.fetchall()])


class _Row:
    def __init__(self, values: dict[str, Any]) -> None:
        self._mapping = values

    def __getattr__(self, name: str) -> Any:
        return self._mapping[name]


class _Rows(list[_Row]):
    def one_or_none(self) -> _Row | None:
        assert len(self) <= 1
        return self[0] if self else None


@pytest.fixture(scope="module")
def books(
    settings: Settings,
    postgres_admin_url: str,
    token_keys: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SealedBooks]:
    heads = SealHeadsFile(tmp_path_factory.mktemp("seals") / "heads.jsonl")
    with own_database(settings, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        seals = PostgresSeals(database.wallet.database)

        def sealed() -> bool:
            database.wallet.database.statement("SELECT roll_up_system_accounts()", {})
            seal_ledger(
                seals,
                signer=Ed25519Signer(KEY),
                heads=heads,
                seals_max=50,
                on_sealed=lambda _: None,
                on_healed=lambda _: None,
            )
            return seals.backlog().transfers == 0

        driver = Driver(database.wallet)
        lonely_id = driver.user_with("40.00")
        eventually(sealed, within_seconds=60, what="the first seal")
        user_id = _play(driver)
        eventually(sealed, within_seconds=60, what="the next seal")
        driver.user_with("7.00")
        eventually(sealed, within_seconds=60, what="the last seal")
        evidence = Evidence(Ed25519Verifier([public_key_of(KEY)]), heads)
        yield SealedBooks(database, evidence, heads, user_id, lonely_id)


def _play(driver: Driver) -> str:
    user_id = driver.user_with("250.00")
    bank_account_id = driver.new_bank_account(user_id)
    paid, failed, waiting = (
        driver.request_withdrawal(user_id, zar("20.00"), bank_account_id=bank_account_id)
        for _ in range(3)
    )
    driver.accept_payout(waiting.id, new_id("out"))
    driver.succeed_payout(paid.id, zar("20.00"), new_id("out"), fee="1.00")
    driver.fail_payout(failed.id, zar("20.00"))
    driver.pay(None, zar("3.00"), purchase_id=new_id("pur"), fee="0.10")
    driver.user_with("3000", currency="JPY")
    driver.user_with("1.250", currency="KWD")
    return user_id


@pytest.fixture
def tamperer(books: SealedBooks) -> Iterator[extensions.cursor]:
    """A superuser with every trigger off; nothing of what they do stays."""
    connection = psycopg2.connect(books.database.admin_url)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SET search_path = wallet;
            SET session_replication_role = replica;
            SET timezone = 'UTC';
            """
        )
        connection.commit()
        yield cursor
    connection.rollback()
    connection.close()


def named(findings: list[Finding]) -> set[str]:
    return {finding.check.name for finding in findings if not finding.holds}


def test_sound_books_are_found_sound(books: SealedBooks, tamperer: extensions.cursor) -> None:
    findings = books.findings(tamperer)
    assert named(findings) == set()
    tamperer.execute("SELECT count(*) FROM ledger_seals")
    assert (tamperer.fetchone() or (0,))[0] >= 3


@pytest.mark.parametrize("what", list(TAMPERINGS))
def test_what_a_superuser_could_do_by_hand_is_found_and_named(
    books: SealedBooks, tamperer: extensions.cursor, what: str
) -> None:
    tampering, expected = TAMPERINGS[what]
    tamperer.execute(tampering, {"user": books.user_id, "lonely": books.lonely_id})
    if what in ONLY_SEALS_FIND:
        tamperer.execute(REWRITE_ROLLUPS)
    findings = books.findings(tamperer)
    assert expected <= named(findings)
    assert all(finding.row for finding in findings if not finding.holds)
    if what in ONLY_SEALS_FIND:
        assert named(findings) == expected


def test_a_seal_that_was_signed_with_another_key_is_found(
    books: SealedBooks, tamperer: extensions.cursor
) -> None:
    tamperer.execute("SELECT number, hash FROM ledger_seals ORDER BY number DESC LIMIT 1")
    number, hash_of_it = tamperer.fetchone() or (0, b"")
    tamperer.execute(
        "UPDATE ledger_seals SET signature = %s WHERE number = %s",
        (Ed25519Signer(THIEFS_KEY).sign(bytes(hash_of_it)), number),
    )
    (finding,) = (one for one in books.findings(tamperer) if not one.holds)
    assert finding.check == SIGNATURES
    assert finding.row is not None
    assert (finding.row["number"], finding.row["why"]) == (
        str(number),
        "the signature does not fit",
    )


def test_a_whole_chain_that_was_rewritten_without_the_key_is_found(
    books: SealedBooks, tamperer: extensions.cursor
) -> None:
    tampering, _ = TAMPERINGS["every figure of a deposit is changed so that all of them fit"]
    tamperer.execute(tampering, {"lonely": books.lonely_id})
    tamperer.execute(REWRITE_ROLLUPS)
    tamperer.execute("DELETE FROM ledger_seals")
    tamperer.execute("SELECT number, hash FROM prepare_seal()")
    while (seal := tamperer.fetchone()) is not None:
        tamperer.execute(
            "SELECT FROM sign_seal(%s, %s, %s)",
            (seal[0], THIEFS_KEY.key_id, Ed25519Signer(THIEFS_KEY).sign(bytes(seal[1]))),
        )
        tamperer.execute("SELECT number, hash FROM prepare_seal()")
    assert named(books.findings(tamperer)) == {
        "each seal is signed by a key that is known",
        "the seals kept outside are those in the database",
    }


def test_a_function_that_was_replaced_vouches_for_nothing(
    books: SealedBooks, tamperer: extensions.cursor
) -> None:
    tamperer.execute(
        """
        UPDATE transfers SET effective_at = effective_at - interval '1 day';
        CREATE FUNCTION sha256(bytea) RETURNS bytea LANGUAGE sql AS
            'SELECT content_hash FROM wallet.ledger_seals LIMIT 1';
        CREATE FUNCTION string_agg(text, text) RETURNS text LANGUAGE sql AS 'SELECT $1'
        """
    )
    assert WHAT_IT_SEALED in named(books.findings(tamperer))


def test_heads_that_are_missing_outside_are_found(
    books: SealedBooks, tamperer: extensions.cursor, tmp_path: Path
) -> None:
    kept = SealHeadsFile(tmp_path / "heads.jsonl")
    kept.append([next(iter(books.heads.lines()))])
    evidence = Evidence(books.evidence.signatures, kept)
    found = SealedBooks(books.database, evidence, kept, "", "").findings(tamperer)
    assert named(found) == {"each signed seal is kept outside"}
    nothing = SealHeadsFile(tmp_path / "none.jsonl")
    evidence = Evidence(books.evidence.signatures, nothing)
    found = SealedBooks(books.database, evidence, nothing, "", "").findings(tamperer)
    assert named(found) == {"each signed seal is kept outside"}


# How a value of each type is changed for another one; what was nothing becomes something.
CHANGES = {
    "bigint": "coalesce({0}, 0) + 1000000",
    "smallint": "coalesce({0}, 0) + 100",
    "numeric": "coalesce({0}, 0) + 0.01",
    "text": "coalesce({0}, '') || 'x'",
    "timestamp with time zone": "{0} + interval '1 microsecond'",
    "xid8": "({0}::text::bigint + 1000000)::text::xid8",
    "bytea": "set_byte({0}, 0, (get_byte({0}, 0) + 1) %% 256)",
    "USER-DEFINED": "CASE {0}::text WHEN 'fee' THEN 'hold' ELSE 'fee' END::transfer_kind",
}


def _columns(cursor: extensions.cursor, table: str) -> list[tuple[str, str]]:
    cursor.execute(
        """
        SELECT column_name, CASE WHEN udt_name = 'xid8' THEN 'xid8' ELSE data_type END
        FROM information_schema.columns
        WHERE table_schema = 'wallet' AND table_name = %s ORDER BY ordinal_position
        """,
        (table,),
    )
    return [(str(name), str(kind)) for name, kind in cursor.fetchall()]


@pytest.mark.parametrize("table", ["transfers", "entries", "ledger_seals"])
def test_any_change_of_any_column_of_any_sealed_row_is_found(
    books: SealedBooks, tamperer: extensions.cursor, table: str
) -> None:
    # What the tables themselves refuse a superuser can have dropped before.
    tamperer.execute(
        """
        DO $$ DECLARE one record; BEGIN
            FOR one IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
                WHERE contype IN ('c', 'u')
                  AND conrelid IN ('transfers'::regclass, 'ledger_seals'::regclass)
            LOOP
                EXECUTE format('ALTER TABLE %%s DROP CONSTRAINT %%I', one.of, one.conname);
            END LOOP;
        END $$
        """,
        (),
    )
    tamperer.execute("ALTER TABLE transfers ALTER id DROP IDENTITY")
    tamperer.execute(f"SELECT ctid::text FROM {table} ORDER BY ctid")
    places = [row[0] for row in tamperer.fetchall()]
    assert places
    unseen = [
        f"{table}.{column} at {place}"
        for column, kind in _columns(tamperer, table)
        for place in places
        if not _is_found(books, tamperer, _change(table, column, kind), place)
    ]
    assert unseen == []


def _change(table: str, column: str, kind: str) -> str:
    return f"UPDATE {table} SET {column} = {CHANGES[kind].format(column)} WHERE ctid = %s::tid"


def _is_found(books: SealedBooks, tamperer: extensions.cursor, statement: str, place: str) -> bool:
    tamperer.execute("SAVEPOINT untouched")
    tamperer.execute(statement, (place,))
    assert tamperer.rowcount == 1
    # The check that reads the content names nearly all of it, so it goes first.
    checks = sorted(SEAL_CHECKS, key=lambda check: check.name != WHAT_IT_SEALED)
    found = any(_first_row(tamperer, check.query) for check in checks) or bool(
        named(books.findings(tamperer))
    )
    tamperer.execute("ROLLBACK TO SAVEPOINT untouched")
    return found


def _first_row(cursor: extensions.cursor, query: str) -> bool:
    cursor.execute(query)
    return cursor.fetchone() is not None


def test_every_check_is_broken_by_some_tampering(books: SealedBooks) -> None:
    tried: set[str] = set().union(*(expected for _, expected in TAMPERINGS.values()))
    tried.add("each signed seal is kept outside")
    assert {check.name for check in _all_checks(books)} == tried


def _all_checks(books: SealedBooks) -> list[Check]:
    told: list[Check] = []
    keep: Callable[[Check], None] = told.append
    books.database.wallet.database.read(
        lambda connection: findings_on(
            connection, evidence=books.evidence, kept=books.heads.size(), on_check=keep
        )
    )
    return told
