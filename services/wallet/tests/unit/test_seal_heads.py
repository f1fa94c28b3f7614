"""The file of heads: it only grows, and finds its way behind whatever a crash left."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wallet.adapters.seal_heads_file import SealHeadsFile
from wallet.domain.seals import SealChainBroken, SealHead, SealKey

KEY = SealKey("test-1", bytes(range(32)))


def test_another_head_under_the_same_number_is_not_kept(tmp_path: Path) -> None:
    heads = SealHeadsFile(tmp_path / "heads.jsonl")
    assert heads.last() is None
    first = _head(1)
    heads.append([first, _head(2)])
    heads.append([first, _head(2)])
    assert [head.number for head in heads.lines()] == [1, 2]
    with pytest.raises(SealChainBroken, match="Another seal 2"):
        heads.append([_head(2, of="another")])
    with pytest.raises(SealChainBroken, match="before seal 4"):
        heads.append([_head(4)])


def test_the_last_head_is_found_behind_whatever_a_crash_left(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    heads = SealHeadsFile(path)
    heads.append([_head(number) for number in range(1, 600)])
    with path.open("ab") as file:
        file.write(b'{"number": 600, "hash": "' + b"0" * 100_000)
    last = heads.last()
    assert last is not None
    assert last.number == 599
    heads.append([_head(600)])
    assert [head.number for head in heads.lines()] == list(range(1, 601))


def test_a_head_is_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    SealHeadsFile(path).append([_head(1)])
    said = json.loads(path.read_text("utf-8"))
    assert said["number"] == 1
    assert bytes.fromhex(said["hash"]) == _head(1).hash
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _head(number: int, of: str = "this") -> SealHead:
    hash_of_it = bytes(f"{of} {number}".ljust(32), "ascii")
    key = Ed25519PrivateKey.from_private_bytes(KEY.value)
    return SealHead(
        number=number,
        hash=hash_of_it,
        sealed_at=datetime(2026, 11, 22, tzinfo=UTC),
        key_id=KEY.key_id,
        signature=key.sign(hash_of_it),
    )
