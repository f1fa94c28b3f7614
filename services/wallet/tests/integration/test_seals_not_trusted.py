"""What the sealer keeps outside is signed by a key it knows, and a file that vanished rings."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from octoco.errors import ConfigurationError
from octoco.testing import eventually
from wallet.adapters.postgres.seals import PostgresSeals
from wallet.adapters.seal_signatures import Ed25519Signer, public_key_of
from wallet.config import Settings
from wallet.domain.seals import Seal, SealChainBroken, SealKey
from wallet.entrypoints.sealing import FAILURES, HEALED, seal

from .own_database import own_database
from .sealing_books import KEY, NEXT_KEY, Books, books_of, prepared_by, seal_all


@pytest.fixture
def books(
    settings: Settings, postgres_admin_url: str, token_keys: Any, tmp_path: Path
) -> Iterator[Books]:
    with own_database(settings, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        yield books_of(database, tmp_path / "heads.jsonl")


def test_a_signature_that_no_known_key_made_is_not_kept_and_rings(books: Books) -> None:
    books.post_committed()
    seal_all(books)
    books.post_committed()
    prepared = prepared_by(books)
    books.sealing.seals.sign(number=prepared.number, key_id="test-1", signature=bytes(64))
    books.post_committed()
    rings = FAILURES.labels(error="SealChainBroken")._value
    before = rings.get()
    with pytest.raises(SealChainBroken, match="not signed by a key that is known"):
        seal(books.wallet, books.sealing)
    assert rings.get() == before + 1
    assert [head.number for head in books.heads.lines()] == [prepared.number - 1]


def test_whoever_signs_first_with_a_forged_signature_is_found_out(books: Books) -> None:
    class Overtaken(PostgresSeals):
        def sign(self, *, number: int, key_id: str, signature: bytes) -> Seal:
            super().sign(number=number, key_id=key_id, signature=bytes(64))
            return super().sign(number=number, key_id=key_id, signature=signature)

    books.sealing = replace(books.sealing, seals=Overtaken(books.wallet.database))
    books.post_committed()

    def is_found_out() -> bool:
        try:
            books.seal()
        except SealChainBroken:
            return True
        return False

    eventually(is_found_out, within_seconds=60, what="the forged signature")
    assert list(books.heads.lines()) == []


def test_a_chain_signed_by_another_key_is_not_adopted_while_the_file_is_missing(
    books: Books,
) -> None:
    books.post_committed()
    seal_all(books)
    books.heads_path.unlink()
    books.sealing = replace(books.sealing, signer=Ed25519Signer(NEXT_KEY))
    with pytest.raises(SealChainBroken, match="not signed by a key that is known"):
        books.seal()
    assert list(books.heads.lines()) == []
    knowing = Ed25519Signer(NEXT_KEY, [public_key_of(KEY)])
    books.sealing = replace(books.sealing, signer=knowing)
    books.seal()
    books.require_whole_chain()


def test_another_key_under_the_id_of_the_one_that_signs_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="holds another key test-1"):
        Ed25519Signer(KEY, [SealKey("test-1", public_key_of(NEXT_KEY).value)])


@pytest.mark.parametrize("empty", [False, True])
def test_a_file_of_heads_that_vanished_is_written_anew_and_rings(
    books: Books, capsys: pytest.CaptureFixture[str], *, empty: bool
) -> None:
    for _ in range(2):
        books.post_committed()
        seal_all(books)
    if empty:
        books.heads_path.write_bytes(b"")
    else:
        books.heads_path.unlink()
    before = HEALED._value.get()
    seal(books.wallet, books.sealing)
    assert HEALED._value.get() - before == len(list(books.heads.lines())) >= 2
    said = capsys.readouterr().out
    assert "ledger_seal_heads_were_missing" in said
    assert "error" in said
    books.require_whole_chain()


def test_one_head_that_a_crash_left_out_is_a_warning(
    books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    books.post_committed()
    seal_all(books)
    books.post_committed()
    prepared = prepared_by(books)
    signer = books.sealing.signer
    books.sealing.seals.sign(
        number=prepared.number, key_id=signer.key_id, signature=signer.sign(prepared.hash)
    )
    before = HEALED._value.get()
    seal(books.wallet, books.sealing)
    assert HEALED._value.get() == before + 1
    said = capsys.readouterr().out
    assert "ledger_seal_heads_healed" in said
    assert "ledger_seal_heads_were_missing" not in said
