"""A ledger of its own that is sealed step by step, and looked at from outside."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg2 import extensions

from octoco.ids import new_id
from octoco.testing import eventually
from wallet.adapters.postgres.seals import PostgresSeals
from wallet.adapters.seal_heads_file import SealHeadsFile
from wallet.adapters.seal_signatures import Ed25519Signer
from wallet.bootstrap import Sealing, Wallet
from wallet.domain.seals import HASH_OF_NO_SEAL, Seal, SealingRun, SealKey
from wallet.use_cases.seal_ledger import seal_ledger

from .own_database import OwnDatabase

KEY = SealKey("test-1", bytes(range(32)))
NEXT_KEY = SealKey("test-2", bytes(range(1, 33)))


@dataclass
class Books:
    """A ledger of its own with a few users, and what seals it."""

    database: OwnDatabase
    sealing: Sealing
    heads: SealHeadsFile
    heads_path: Path

    @property
    def wallet(self) -> Wallet:
        return self.database.wallet

    def session(self) -> extensions.connection:
        return self.database.connect(self.database.service_url)

    def tamper(self, statement: str) -> None:
        """Do by hand, as a superuser whom no trigger binds, what nothing in the product does."""
        admin = self.database.connect(self.database.admin_url)
        with admin.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(statement)
        admin.commit()
        admin.close()

    def post(self, session: extensions.connection, *, amount: str = "10.00") -> int:
        """Post a deposit without committing it; returns the transfer's id."""
        purchase = new_id("pur")
        with session.cursor() as cursor:
            cursor.execute(
                "SELECT transfer_id FROM post_transfer(%s, 'deposit', 'usr_1', %s, 'ZAR', %s, %s)",
                (f"purchase:{purchase}", amount, purchase, datetime.now(UTC)),
            )
            (transfer_id,) = cursor.fetchone() or (0,)
        return int(transfer_id)

    def post_committed(self, count: int = 1) -> list[int]:
        session = self.session()
        posted = []
        for _ in range(count):
            posted.append(self.post(session))
            session.commit()
        session.close()
        return posted

    def seal(self, seals_max: int = 50) -> SealingRun:
        return seal_ledger(
            self.sealing.seals,
            signer=self.sealing.signer,
            heads=self.sealing.heads,
            seals_max=seals_max,
            on_sealed=lambda _: None,
            on_healed=lambda _: None,
        )

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        session = self.session()
        with session.cursor() as cursor:
            cursor.execute(query, parameters)
            rows = cursor.fetchall()
        session.close()
        return rows

    def seal_of(self, transfer_id: int) -> int | None:
        rows = self.rows(
            """
            SELECT s.number FROM ledger_seals s, transfers t
            WHERE t.id = %s AND (t.recorded_in, t.id) >= (s.from_xid, s.from_id)
              AND (t.recorded_in, t.id) < (s.up_to_xid, s.up_to_id)
            """,
            transfer_id,
        )
        assert len(rows) <= 1
        return rows[0][0] if rows else None

    def require_whole_chain(self) -> None:
        """The seals have no gap, cover what is below the last cut, and are kept outside."""
        seals = PostgresSeals(self.wallet.database).signed_after(0, limit=1000)
        at, previous_hash = (0, 0), HASH_OF_NO_SEAL
        for number, one in enumerate(seals, start=1):
            assert (one.number, one.from_xid, one.from_id) == (number, *at)
            assert one.previous_hash == previous_hash
            assert one.hash == one.hash_of_what_it_says()
            at, previous_hash = (one.up_to_xid, one.up_to_id), one.hash
        below = self.rows(
            "SELECT count(*) FROM transfers WHERE (recorded_in, id) < (%s::text::xid8, %s)", *at
        )
        assert below == [(sum(one.transfers for one in seals),)]
        assert [head.hash for head in self.heads.lines()] == [one.hash for one in seals]


def books_of(database: OwnDatabase, path: Path) -> Books:
    """Return the books of a new database, with a user in them and a key that signs."""
    heads = SealHeadsFile(path)
    sealing = Sealing(PostgresSeals(database.wallet.database), Ed25519Signer(KEY), heads)
    books = Books(database, sealing, heads, path)
    session = books.session()
    with session.cursor() as cursor:
        cursor.execute("SELECT open_ledger_accounts('usr_1', 'ZAR')")
    session.commit()
    session.close()
    return books


def seal_all(books: Books) -> None:
    """Seal until nothing waits: whatever runs elsewhere on the server holds the cut back."""

    def nothing_waits() -> bool:
        books.seal()
        return books.sealing.seals.backlog().transfers == 0

    eventually(nothing_waits, within_seconds=60, what="every transfer sealed")


def prepared_by(books: Books) -> Seal:
    """Prepare a seal as a run would that dies before it signs."""
    return eventually(books.sealing.seals.prepare, within_seconds=60, what="a seal prepared")
