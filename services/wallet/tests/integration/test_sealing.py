"""Sealing: nothing committed is ever left out, whoever dies or commits late."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from octoco.testing import eventually
from wallet.adapters.seal_signatures import Ed25519Signer, Ed25519Verifier, public_key_of
from wallet.bootstrap import Sealing
from wallet.config import Settings
from wallet.domain.seals import (
    SealChainBroken,
    SealingRun,
)
from wallet.entrypoints.sealing import SEAL_AGE, UNSEALED, seal
from wallet.use_cases.seal_ledger import seal_ledger

from .own_database import own_database
from .sealing_books import KEY, NEXT_KEY, Books, books_of, prepared_by, seal_all


@pytest.fixture
def books(
    settings: Settings, postgres_admin_url: str, token_keys: Any, tmp_path: Path
) -> Iterator[Books]:
    with own_database(settings, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        yield books_of(database, tmp_path / "heads.jsonl")


def test_what_is_committed_is_sealed_signed_and_kept_outside(books: Books) -> None:
    posted = books.post_committed(3)
    seal_all(books)
    assert all(books.seal_of(transfer_id) for transfer_id in posted)
    books.require_whole_chain()
    verifier = Ed25519Verifier([public_key_of(KEY)])
    assert all(verifier.holds(head) for head in books.heads.lines())


def test_nothing_to_seal_makes_no_seal(books: Books) -> None:
    assert books.seal() == SealingRun(0, 0)
    books.post_committed()
    seal_all(books)
    seals = books.rows("SELECT count(*) FROM ledger_seals")
    assert books.seal() == SealingRun(0, 0)
    assert books.rows("SELECT count(*) FROM ledger_seals") == seals


def test_a_late_commit_is_sealed_by_a_following_seal_and_no_range_has_a_gap(books: Books) -> None:
    early = books.post_committed()[0]
    late_session = books.session()
    late = books.post(late_session)
    # Committed after, with a higher number and a higher id than the one that is held open.
    waiting = []
    other = books.session()
    with other.cursor() as cursor:
        cursor.execute("SELECT open_ledger_accounts('usr_2', 'ZAR')")
        cursor.execute(
            "SELECT transfer_id FROM post_transfer(%s, 'deposit', 'usr_2', 5, 'ZAR', 'p', now())",
            ("purchase:while-open",),
        )
        waiting.append((cursor.fetchone() or (0,))[0])
    other.commit()
    other.close()

    def early_is_sealed() -> bool:
        books.seal()
        return books.seal_of(early) is not None

    eventually(early_is_sealed, within_seconds=60, what="the early transfer sealed")
    first_cut = books.rows("SELECT max(number) FROM ledger_seals")[0][0]
    # What the open one could still stand before is not sealed either.
    assert books.seal_of(waiting[0]) is None
    late_session.commit()
    late_session.close()
    seal_all(books)
    late_seal = books.seal_of(late)
    assert late_seal is not None
    assert late_seal > first_cut
    assert books.seal_of(waiting[0]) is not None
    books.require_whole_chain()


def test_what_was_rolled_back_leaves_no_gap(books: Books) -> None:
    books.post_committed()
    session = books.session()
    books.post(session)
    session.rollback()
    session.close()
    books.post_committed()
    seal_all(books)
    books.require_whole_chain()
    assert sum(row[0] for row in books.rows("SELECT transfers FROM ledger_seals")) == 2


def test_a_backlog_is_sealed_in_slices_that_may_end_within_one_database_transaction(
    books: Books,
) -> None:
    admin = books.database.connect(books.database.admin_url)
    with admin.cursor() as cursor:
        # As an import would leave it: one transaction with more than a seal takes.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            """
            INSERT INTO transfers (business_key, kind, amount, currency, subject, effective_at)
            SELECT 'imported:' || i, 'suspense', 1, 'ZAR', 'i' || i, now()
            FROM generate_series(1, 45000) i
            """
        )
        cursor.execute(
            """
            INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, booked_at)
            SELECT t.id, leg, 1, 'ZAR', 1, now() FROM transfers t, generate_series(1, 2) leg
            """
        )
    admin.commit()
    admin.close()
    seal_all(books)
    slices = [row[0] for row in books.rows("SELECT transfers FROM ledger_seals ORDER BY number")]
    assert slices == [20000, 20000, 5000]
    books.require_whole_chain()


def test_a_run_stops_at_its_bound_and_the_next_goes_on(books: Books) -> None:
    books.post_committed()
    assert books.seal(seals_max=0) == SealingRun(0, 0)
    seal_all(books)
    books.require_whole_chain()


def test_steady_traffic_gets_one_seal_a_run_and_not_one_for_every_transfer(books: Books) -> None:
    for _ in range(3):
        books.post_committed()

        def run_with_traffic() -> int:
            # Somebody posts whenever a seal is made: there is always something that waits.
            return seal_ledger(
                books.sealing.seals,
                signer=books.sealing.signer,
                heads=books.sealing.heads,
                seals_max=50,
                on_sealed=lambda _: books.post_committed(),
                on_healed=lambda _: None,
            ).seals

        assert eventually(run_with_traffic, within_seconds=60, what="a seal made") == 1
    books.require_whole_chain()


def test_a_crash_before_the_signature_is_healed_by_the_next_run(books: Books) -> None:
    books.post_committed()
    prepared = prepared_by(books)
    books.post_committed()
    assert books.rows("SELECT signature FROM ledger_seals") == [(None,)]
    seal_all(books)
    assert books.seal_of(books.rows("SELECT min(id) FROM transfers")[0][0]) == prepared.number
    books.require_whole_chain()


def test_a_crash_before_the_head_is_kept_is_healed_by_the_next_run(books: Books) -> None:
    books.post_committed()
    prepared = prepared_by(books)
    signer = books.sealing.signer
    books.sealing.seals.sign(
        number=prepared.number, key_id=signer.key_id, signature=signer.sign(prepared.hash)
    )
    assert list(books.heads.lines()) == []
    assert books.seal().healed == 1
    books.require_whole_chain()


def test_a_crash_within_a_line_is_healed_by_the_next_run(books: Books) -> None:
    books.post_committed()
    seal_all(books)
    whole = books.heads_path.read_bytes()
    books.heads_path.write_bytes(whole[: len(whole) - 40])
    assert list(books.heads.lines()) == []
    books.seal()
    books.require_whole_chain()
    # Nothing that was written is ever taken away: the file may be one that only grows.
    assert books.heads_path.read_bytes().startswith(whole[: len(whole) - 40])


def test_a_line_that_lacks_only_its_end_is_kept_once_more(books: Books) -> None:
    books.post_committed()
    seal_all(books)
    books.heads_path.write_bytes(books.heads_path.read_bytes().rstrip(b"\n"))
    books.seal()
    first, second = books.heads.lines()
    assert first == second


def test_heads_that_were_archived_are_not_asked_for(books: Books) -> None:
    for _ in range(3):
        books.post_committed()
        seal_all(books)
    lines = books.heads_path.read_bytes().splitlines(keepends=True)
    books.heads_path.write_bytes(b"".join(lines[-1:]))
    books.post_committed()
    seal_all(books)
    assert [head.number for head in books.heads.lines()] == [len(lines), len(lines) + 1]


def test_many_sealers_at_once_make_one_chain(books: Books) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def keep(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not stop.is_set():
                    work()
            except BaseException as error:  # noqa: BLE001 - shown by the assertion below
                failed.append(error)

        return run

    threads = [threading.Thread(target=keep(books.seal)) for _ in range(3)]
    poster = threading.Thread(target=lambda: books.post_committed(120))
    for thread in (*threads, poster):
        thread.start()
    poster.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    seal_all(books)
    books.require_whole_chain()


def test_a_key_is_rotated_by_putting_a_new_one_in_front(books: Books) -> None:
    books.post_committed()
    seal_all(books)
    books.sealing = Sealing(books.sealing.seals, Ed25519Signer(NEXT_KEY), books.heads)
    books.post_committed()
    seal_all(books)
    assert {head.key_id for head in books.heads.lines()} == {"test-1", "test-2"}
    verifier = Ed25519Verifier([public_key_of(KEY), public_key_of(NEXT_KEY)])
    assert all(verifier.holds(head) for head in books.heads.lines())
    books.require_whole_chain()


def test_whoever_signs_second_changes_nothing(books: Books) -> None:
    books.post_committed()
    prepared = prepared_by(books)
    first = books.sealing.seals.sign(
        number=prepared.number, key_id="test-1", signature=Ed25519Signer(KEY).sign(prepared.hash)
    )
    second = books.sealing.seals.sign(
        number=prepared.number,
        key_id="test-2",
        signature=Ed25519Signer(NEXT_KEY).sign(prepared.hash),
    )
    assert second == first
    assert second.key_id == "test-1"


def test_clocks_that_are_set_back_do_not_set_back_seals(books: Books) -> None:
    books.post_committed()
    seal_all(books)
    ahead = datetime(2099, 1, 1, tzinfo=UTC)
    admin = books.database.connect(books.database.admin_url)
    with admin.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM ledger_seals")
        cursor.execute("SET session_replication_role = origin")
        cursor.execute(
            """
            INSERT INTO ledger_seals
            SELECT 1, '0', 0, pg_snapshot_xmin(pg_current_snapshot()), 0, 1, 2,
                   sha256('c'), decode(repeat('00', 32), 'hex'), sha256('h'), %s
            """,
            (ahead,),
        )
    admin.commit()
    admin.close()
    seals = books.sealing.seals
    seals.sign(number=1, key_id="test-1", signature=bytes(64))
    books.post_committed()
    assert prepared_by(books).sealed_at == ahead


def test_a_cut_that_goes_backwards_is_refused_and_rings(books: Books) -> None:
    books.post_committed()
    seal_all(books)
    admin = books.database.connect(books.database.admin_url)
    with admin.cursor() as cursor:
        # As after a restore into a cluster whose transactions are numbered from the beginning.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE ledger_seals SET up_to_xid = '9000000000000', up_to_id = 0")
    admin.commit()
    admin.close()
    with pytest.raises(SealChainBroken, match="restored into another cluster"):
        books.sealing.seals.prepare()
    session = books.session()
    session.set_session(isolation_level="READ COMMITTED")
    with session.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
        cursor.execute("SELECT * FROM prepare_seal()")
    assert (refused.value.pgcode, refused.value.diag.message_primary) == (
        "WL040",
        "seal_cut_goes_back",
    )
    session.close()


def test_nothing_is_signed_upon_a_chain_that_was_rewritten(books: Books) -> None:
    books.post_committed()
    seal_all(books)
    books.tamper("UPDATE ledger_seals SET hash = sha256('another chain')")
    books.post_committed()
    with pytest.raises(SealChainBroken, match="is not the one kept outside"):
        books.seal()
    assert len(list(books.heads.lines())) == books.rows("SELECT count(*) FROM ledger_seals")[0][0]


def test_nothing_is_signed_after_the_end_of_the_chain_was_cut(books: Books) -> None:
    for _ in range(2):
        books.post_committed()
        seal_all(books)
    books.tamper("DELETE FROM ledger_seals WHERE number > 1")
    with pytest.raises(SealChainBroken, match="is not the one kept outside"):
        books.seal()


def test_a_seal_that_is_not_what_its_hash_says_is_not_signed(books: Books) -> None:
    books.post_committed()
    prepared_by(books)
    books.tamper("UPDATE ledger_seals SET transfers = transfers + 1")
    with pytest.raises(SealChainBroken, match="not that of what it says"):
        books.seal()
    assert books.rows("SELECT signature FROM ledger_seals") == [(None,)]


@pytest.mark.parametrize(
    ("role", "statement", "refused"),
    [
        ("service", "DELETE FROM ledger_seals", "42501"),
        ("service", "TRUNCATE ledger_seals", "42501"),
        ("service", "UPDATE ledger_seals SET transfers = 9", "42501"),
        ("service", "INSERT INTO ledger_seals (number) VALUES (9)", "42501"),
        ("service", "ALTER TABLE ledger_seals DISABLE TRIGGER ALL", "42501"),
        ("service", "SELECT continue_the_chain()", "42501"),
        ("owner", "DELETE FROM ledger_seals", "WL001"),
        ("owner", "TRUNCATE ledger_seals", "WL001"),
        ("owner", "UPDATE ledger_seals SET transfers = 9", "WL001"),
        ("owner", "UPDATE ledger_seals SET key_id = 'other', signature = hash || hash", "WL001"),
        (
            "owner",
            """
            INSERT INTO ledger_seals
            SELECT number + 2, up_to_xid, up_to_id, up_to_xid, up_to_id + 1, 1, 1, content_hash,
                   hash, sha256(hash), sealed_at
            FROM ledger_seals
            """,
            "WL041",
        ),
        (
            "owner",
            """
            INSERT INTO ledger_seals
            SELECT number + 1, up_to_xid, up_to_id + 1, up_to_xid, up_to_id + 2, 1, 1,
                   content_hash, hash, sha256(hash), sealed_at
            FROM ledger_seals
            """,
            "WL041",
        ),
        ("service", "SELECT sign_seal(99, 'k', decode(repeat('00', 64), 'hex'))", "WL043"),
    ],
)
def test_the_database_refuses_whatever_would_break_the_chain(
    books: Books, role: str, statement: str, refused: str
) -> None:
    books.post_committed()
    seal_all(books)
    url = books.database.service_url if role == "service" else books.database.owner_url
    session = books.database.connect(url)
    with session.cursor() as cursor, pytest.raises(psycopg2.Error) as error:
        cursor.execute(statement)
    assert error.value.pgcode == refused
    session.close()


def test_sealing_needs_to_see_what_is_committed_meanwhile(books: Books) -> None:
    session = books.session()
    session.set_session(isolation_level="SERIALIZABLE")
    with session.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
        cursor.execute("SELECT * FROM prepare_seal()")
    assert refused.value.diag.message_primary == "seal_needs_read_committed"
    session.close()


def test_the_job_tells_and_measures(books: Books, capsys: pytest.CaptureFixture[str]) -> None:
    books.post_committed(2)
    eventually(
        lambda: seal(books.wallet, books.sealing).seals, within_seconds=60, what="a seal made"
    )
    seal_all(books)
    seal(books.wallet, books.sealing)
    (age,), (unsealed,) = SEAL_AGE.collect(), UNSEALED.collect()
    assert (age.samples[0].value, unsealed.samples[0].value) == (0, 0)
    assert "ledger_sealed" in capsys.readouterr().out
