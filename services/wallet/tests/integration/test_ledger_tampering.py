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

KEY = SealKey("test-1", bytes(range(32)))
THIEFS_KEY = SealKey("test-1", bytes(range(7, 39)))
WHAT_IT_SEALED = "each seal covers what it sealed, unchanged"
"""Found by nothing but the seals where every figure was made to fit."""


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


# What is done, and the check that must name it. %(lonely)s has one deposit and nothing else.
TAMPERINGS = {
    "an amount of one leg is changed": (
        """
        UPDATE entries SET amount = amount + 1 WHERE (transfer_id, leg) = (
            SELECT transfer_id, leg FROM entries WHERE version IS NULL LIMIT 1)
        """,
        {"entries of each transfer sum to zero per currency", WHAT_IT_SEALED},
    ),
    "both legs are changed": (
        """
        UPDATE entries SET amount = amount * 2 WHERE transfer_id = (SELECT max(id) FROM transfers)
        """,
        {"each transfer moves the amount it names", "each balance equals its entries"},
    ),
    "an entry is deleted": (
        "DELETE FROM entries WHERE (transfer_id, leg) = (SELECT max(transfer_id), 1 FROM entries)",
        {"each transfer has two legs or more", WHAT_IT_SEALED},
    ),
    "an entry without a transfer is inserted": (
        """
        INSERT INTO entries SELECT 999999, leg, ledger_account_id, currency, amount, version,
            balance_after, booked_at FROM entries WHERE version IS NULL LIMIT 1
        """,
        {"each entry belongs to a transfer"},
    ),
    "a transfer is deleted": (
        "DELETE FROM transfers WHERE id = (SELECT max(id) FROM transfers)",
        {"each entry belongs to a transfer", "seals count every transfer below the last cut"},
    ),
    "a transfer is deleted with its entries": (
        """
        WITH gone AS (
            DELETE FROM transfers WHERE id = (
                SELECT min(id) FROM transfers WHERE user_id = %(user)s AND kind = 'deposit')
            RETURNING id
        )
        DELETE FROM entries WHERE transfer_id IN (SELECT id FROM gone)
        """,
        {
            "versions of each ledger account have no gap",
            "seals count every transfer below the last cut",
            WHAT_IT_SEALED,
        },
    ),
    "legs trade accounts": (
        """
        DROP INDEX entries_of_ledger_account;
        UPDATE entries e SET ledger_account_id = o.ledger_account_id, version = o.version,
            balance_after = o.balance_after
        FROM entries o
        WHERE o.transfer_id = e.transfer_id AND o.leg <> e.leg
          AND e.transfer_id = (SELECT max(id) FROM transfers)
        """,
        {"each transfer moves between the accounts of its kind", WHAT_IT_SEALED},
    ),
    "a transfer becomes one of another kind": (
        "UPDATE transfers SET kind = 'suspense' WHERE id = (SELECT max(id) FROM transfers)",
        {"each transfer moves between the accounts of its kind", WHAT_IT_SEALED},
    ),
    "a user is given the money of another": (
        """
        DROP INDEX ledger_accounts_of_user;
        UPDATE ledger_accounts a SET user_id = CASE a.user_id WHEN %(user)s
            THEN %(lonely)s ELSE %(user)s END
        WHERE a.user_id IN (%(user)s, %(lonely)s) AND currency = 'ZAR'
        """,
        {"each transfer moves money of no other user than its own"},
    ),
    "a transfer is put down to another user": (
        "UPDATE transfers SET user_id = %(lonely)s WHERE user_id = %(user)s",
        {"each transfer moves money of no other user than its own", WHAT_IT_SEALED},
    ),
    "the currency of entries is changed": (
        "UPDATE entries SET currency = 'USD' WHERE transfer_id = (SELECT max(id) FROM transfers)",
        {"entries have the currency and scale of their ledger account"},
    ),
    "a finer amount is booked than the currency has": (
        "UPDATE entries SET amount = round(amount, 3) WHERE currency = 'ZAR' AND version = 1",
        {"entries have the currency and scale of their ledger account", WHAT_IT_SEALED},
    ),
    "a business key posts twice": (
        """
        ALTER TABLE transfers DROP CONSTRAINT transfers_business_key_key;
        UPDATE transfers SET business_key = (
            SELECT business_key FROM transfers WHERE kind = 'deposit' ORDER BY id LIMIT 1)
        WHERE id = (SELECT max(id) FROM transfers WHERE kind = 'deposit')
        """,
        {"each business key has posted once", "each business key is that of its kind and subject"},
    ),
    "a business key is changed": (
        """
        UPDATE transfers SET business_key = business_key || 'x'
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {"each business key is that of its kind and subject", WHAT_IT_SEALED},
    ),
    "a subject is changed with its business key": (
        """
        UPDATE transfers SET subject = 'pur_x', business_key = 'purchase:pur_x'
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {"each completed deposit was credited once, to its user", WHAT_IT_SEALED},
    ),
    "a balance after is changed": (
        "UPDATE entries SET balance_after = balance_after + 1 WHERE version = 1",
        {"each balance_after is the sum of the entries up to it"},
    ),
    "a balance after is below zero": (
        "UPDATE entries SET balance_after = -1 WHERE version = 1",
        {"no balance was ever below zero"},
    ),
    "entries trade places in time": (
        "UPDATE entries SET booked_at = booked_at + interval '1 day' WHERE version = 1",
        {"time does not run backwards along a ledger account", WHAT_IT_SEALED},
    ),
    "the last entries are booked at another time": (
        """
        UPDATE entries SET booked_at = booked_at + interval '1 second'
        WHERE transfer_id = (SELECT max(id) FROM transfers)
        """,
        {WHAT_IT_SEALED},
    ),
    "a transfer is made effective on another day": (
        """
        UPDATE transfers SET effective_at = effective_at - interval '40 days'
        WHERE id = (SELECT min(id) FROM transfers)
        """,
        {WHAT_IT_SEALED},
    ),
    "a transfer moves to another database transaction": (
        """
        UPDATE transfers SET recorded_in = (SELECT max(recorded_in) FROM transfers)
        WHERE id = (SELECT min(id) FROM transfers)
        """,
        {WHAT_IT_SEALED},
    ),
    "a transfer moves above the last cut": (
        """
        UPDATE transfers SET recorded_in = pg_current_xact_id()
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {"seals count every transfer below the last cut", WHAT_IT_SEALED},
    ),
    "a balance is changed": (
        """
        UPDATE ledger_accounts SET balance = balance + 1
        WHERE user_id = %(user)s AND kind = 'available'
        """,
        {"each balance equals its entries"},
    ),
    "a balance is changed below zero": (
        """
        ALTER TABLE ledger_accounts DROP CONSTRAINT ledger_accounts_never_below_zero;
        UPDATE ledger_accounts SET balance = -1.00
        WHERE user_id = %(user)s AND kind = 'available' AND currency = 'ZAR'
        """,
        {"no balance is below zero", "each balance equals its entries"},
    ),
    "a system account is given a balance": (
        """
        UPDATE ledger_accounts SET balance = 0.00, version = 0
        WHERE user_id IS NULL AND kind = 'suspense' AND currency = 'ZAR'
        """,
        {"only the users' ledger accounts carry balances, and each kind has its owner"},
    ),
    "an entry of a system account is numbered": (
        """
        UPDATE entries SET version = 1, balance_after = 1
        WHERE version IS NULL AND transfer_id = (SELECT max(id) FROM transfers)
        """,
        {"only the entries of users' ledger accounts are numbered", WHAT_IT_SEALED},
    ),
    "a hold is removed": (
        "DELETE FROM holds WHERE ended_by IS NULL AND user_id = %(user)s",
        {
            "held equals the open holds",
            "open holds are those of open withdrawals",
            "each transfer that places or ends a hold has its hold",
        },
    ),
    "a hold is made larger": (
        "UPDATE holds SET amount = amount + 1 WHERE ended_by IS NULL AND user_id = %(user)s",
        {"held equals the open holds", "each hold is placed and ended by its own transfers"},
    ),
    "a hold is given to another user": (
        "UPDATE holds SET user_id = %(lonely)s WHERE ended_by IS NULL AND user_id = %(user)s",
        {"held equals the open holds", "each hold is placed and ended by its own transfers"},
    ),
    "the end of a hold is turned round": (
        """
        UPDATE holds SET outcome = 'released', settled_amount = NULL
        WHERE outcome = 'settled' AND user_id = %(user)s
        """,
        {"each hold is placed and ended by its own transfers"},
    ),
    "an ended hold is opened again": (
        """
        UPDATE holds SET outcome = NULL, settled_amount = NULL, ended_by = NULL
        WHERE outcome = 'settled' AND user_id = %(user)s
        """,
        {
            "held equals the open holds",
            "open holds are those of open withdrawals",
            "each transfer that places or ends a hold has its hold",
        },
    ),
    "a withdrawal is closed by hand": (
        """
        UPDATE transactions SET status = 'failed'
        WHERE status = 'processing' AND user_id = %(user)s
        """,
        {"open holds are those of open withdrawals"},
    ),
    "a transfer is made a reversal": (
        """
        UPDATE transfers SET kind = 'reversal', reverses = (SELECT min(id) FROM transfers)
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {
            "each reversal undoes one transfer, whole",
            "each reversal is the opposite of what it undoes",
            WHAT_IT_SEALED,
        },
    ),
    "a deposit is completed by hand": (
        """
        UPDATE transactions SET status = 'completed', provider_id = 'made_up'
        WHERE kind = 'deposit' AND user_id = %(user)s
        """,
        {"each completed deposit was credited once, to its user"},
    ),
    "a credited deposit is failed by hand": (
        "UPDATE transactions SET status = 'failed' WHERE kind = 'deposit' AND user_id = %(user)s",
        {"each credit has its completed deposit"},
    ),
    "a fee is told that was not booked": (
        "UPDATE fee_totals SET totals = totals || 9.00",
        {"the fees booked are the last totals told"},
    ),
    "more is taken back than a purchase brought in": (
        """
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, effective_at)
        SELECT 'refund:made-up', 'refund', user_id, amount + 1, currency, subject, effective_at
        FROM transfers WHERE user_id = %(lonely)s
        """,
        {"no more is taken back of a purchase than it brought in"},
    ),
    "an adjustment is approved by hand": (
        """
        INSERT INTO adjustments (id, user_id, currency, amount, reason, requested_by, decision,
                                 decided_by, decided_at, decision_reason)
        VALUES ('adj_' || repeat('0', 26), %(user)s, 'ZAR', 5, 'r', 'usr_' || repeat('0', 26),
                'approved', 'usr_' || repeat('1', 26), now(), 'r')
        """,
        {"each adjustment moved what one person asked for and another one approved"},
    ),
    "suspense pays out what it never had": (
        """
        UPDATE entries SET amount = -amount FROM ledger_accounts a
        WHERE a.id = ledger_account_id AND a.kind = 'suspense'
        """,
        {"no more leaves suspense for a purchase than it brought there"},
    ),
    "every figure of a deposit is changed so that all of them fit": (
        """
        UPDATE entries SET amount = amount * 10, balance_after = balance_after * 10
        WHERE transfer_id = (SELECT id FROM transfers WHERE user_id = %(lonely)s);
        UPDATE transfers SET amount = amount * 10 WHERE user_id = %(lonely)s;
        UPDATE ledger_accounts SET balance = balance * 10 WHERE user_id = %(lonely)s;
        UPDATE transactions SET amount = amount * 10 WHERE user_id = %(lonely)s
        """,
        {WHAT_IT_SEALED},
    ),
    "a deposit vanishes without a trace": (
        """
        DELETE FROM entries
        WHERE transfer_id = (SELECT id FROM transfers WHERE user_id = %(lonely)s);
        DELETE FROM transfers WHERE user_id = %(lonely)s;
        UPDATE ledger_accounts SET balance = 0.00, version = 0
        WHERE user_id = %(lonely)s AND kind = 'available';
        DELETE FROM transactions WHERE user_id = %(lonely)s
        """,
        {WHAT_IT_SEALED, "seals count every transfer below the last cut"},
    ),
    "a deposit is made up and dated back below the last cut": (
        """
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject,
                               effective_at, recorded_in)
        SELECT 'purchase:made_up', 'deposit', user_id, 5.00, 'ZAR', 'made_up', effective_at,
               recorded_in
        FROM transfers WHERE user_id = %(lonely)s;
        INSERT INTO entries
        SELECT (SELECT max(id) FROM transfers), e.leg, e.ledger_account_id, 'ZAR',
               sign(e.amount) * 5.00, e.version + 1, e.balance_after + 5.00, e.booked_at
        FROM entries e WHERE transfer_id = (
            SELECT min(id) FROM transfers WHERE user_id = %(lonely)s);
        UPDATE ledger_accounts SET balance = balance + 5.00, version = 2
        WHERE user_id = %(lonely)s AND kind = 'available';
        INSERT INTO transactions (id, user_id, kind, status, amount, currency, created_at,
                                  updated_at, provider_id, saga_step_at)
        SELECT 'made_up', user_id, kind, status, 5.00, currency, created_at, updated_at, 'made_up',
               saga_step_at
        FROM transactions WHERE user_id = %(lonely)s
        """,
        {WHAT_IT_SEALED, "seals count every transfer below the last cut"},
    ),
    "a rollup is deleted": (
        "DELETE FROM rollups WHERE number = 1",
        {"rollups are numbered without a gap, and each begins where the one before it ends"},
    ),
    "a rollup is dated back": (
        "UPDATE rollups SET first_booked_at = first_booked_at - interval '1 day' WHERE number = 1",
        {"each rollup says how much it covers, and when that was booked"},
    ),
    "a rollup is given another balance": (
        """
        UPDATE rollup_balances SET balance = balance + 1
        WHERE kind = 'provider_clearing' AND currency = 'ZAR' AND rollup = (
            SELECT max(rollup) FROM rollup_balances
            WHERE kind = 'provider_clearing' AND currency = 'ZAR')
        """,
        {"each rollup holds the sum of the entries up to it"},
    ),
    "a seal is given another hash": (
        "UPDATE ledger_seals SET hash = sha256('other') WHERE number = 2",
        {
            "the hash of each seal is that of what it says",
            "each seal holds the hash of the one before it",
            "each seal is signed by a key that is known",
            "the seals kept outside are those in the database",
        },
    ),
    "a seal is given another content": (
        "UPDATE ledger_seals SET content_hash = sha256('other') WHERE number = 2",
        {"the hash of each seal is that of what it says", WHAT_IT_SEALED},
    ),
    "a seal is dated back": (
        "UPDATE ledger_seals SET sealed_at = sealed_at - interval '1 year' WHERE number = 2",
        {
            "the hash of each seal is that of what it says",
            "seals do not run backwards in time",
        },
    ),
    "the range of a seal is moved": (
        "UPDATE ledger_seals SET from_id = from_id + 1 WHERE number = 2",
        {"each seal begins where the one before it ends"},
    ),
    "a seal in the middle is deleted": (
        "DELETE FROM ledger_seals WHERE number = 2",
        {
            "seals are numbered without a gap",
            "each seal begins where the one before it ends",
            "each seal holds the hash of the one before it",
            "the seals kept outside are those in the database",
        },
    ),
    "a signature is taken away": (
        "UPDATE ledger_seals SET key_id = NULL, signature = NULL WHERE number = 2",
        {
            "no seal but the last waits for its signature",
            "the seals kept outside are those in the database",
        },
    ),
    "a seal names another key": (
        "UPDATE ledger_seals SET key_id = 'test-9' WHERE number = 2",
        {"each seal is signed by a key that is known"},
    ),
    "the last seals are deleted": (
        "DELETE FROM ledger_seals WHERE number > 1",
        {"the seals kept outside are those in the database"},
    ),
    "all seals are deleted": (
        "DELETE FROM ledger_seals",
        {"the seals kept outside are those in the database"},
    ),
}
# Whoever changes the books can make the rollups fit as well.
REWRITE_ROLLUPS = """
    DELETE FROM rollup_balances; DELETE FROM rollups; SELECT roll_up_system_accounts()
"""
ONLY_SEALS_FIND = {
    "the last entries are booked at another time",
    "a transfer is made effective on another day",
    "a transfer moves to another database transaction",
    "every figure of a deposit is changed so that all of them fit",
    "the last seals are deleted",
    "all seals are deleted",
    "a seal names another key",
}


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
